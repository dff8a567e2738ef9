"""NumPy arrays and DLPack objects: the rules of tensors, results of the caller's own kind."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import aule
from sdpa_tools import arrays, assert_accurate, formula, qkv, randn

NUMPY_DTYPES = (np.float16, np.float32, np.float64)


def assert_equals_torch(result: np.ndarray, inputs: list[np.ndarray], **options: Any) -> None:
    tensors = [torch.from_numpy(np.array(array)) for array in inputs]
    narrow = {key: torch.from_numpy(np.array(v)) if isinstance(v, np.ndarray) else v for key, v in options.items()}
    truth = formula(*(tensor.double() for tensor in tensors), **narrow)[0]
    accumulator = torch.float64 if tensors[0].dtype == torch.float64 else torch.float32
    yardstick = formula(*(tensor.to(accumulator) for tensor in tensors), **narrow)[0].to(tensors[0].dtype)
    assert_accurate(torch.from_numpy(np.array(result)), truth, yardstick)


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize(
    "options",
    [
        {}, {"scale": 0.3}, {"causal": "bottom-right"}, {"window": (2, 1)}, {"softcap": 2.0},
        {"attn_mask": randn(4, 5, 7).numpy()}, {"attn_mask": randn(5, 7).numpy() > -1},
        {"sinks": randn(4).numpy(), "alibi_slopes": np.array([0.5, 0.25, 0.1, 0.05], np.float32)},
    ],
    ids=lambda options: " ".join(options) or "plain",
)  # fmt: skip
def test_numpy_in_numpy_out(dtype: Any, options: dict[str, Any]) -> None:
    inputs = arrays(dtype)
    result = aule.flash_attention(*inputs, **options)
    assert type(result) is np.ndarray and result.dtype == dtype
    assert_equals_torch(result, inputs, **options)
    out, lse = aule.flash_attention(*inputs, **options, return_lse=True)
    assert np.array_equal(out, result) and type(lse) is np.ndarray and lse.shape == (2, 4, 5)
    assert lse.dtype == (np.float64 if dtype == np.float64 else np.float32)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


ARRANGED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Fortran order": np.asfortranarray,
    "backwards": lambda a: a[..., ::-1, ::-1].copy()[..., ::-1, ::-1],
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "BSHD view": lambda a: a.swapaxes(1, 2).copy().swapaxes(1, 2),
    "read-only": read_only,
    "broadcast": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "unaligned columns": lambda a: np.pad(a, [(0, 0)] * 3 + [(1, 2)])[..., 1:-2],
    "subclass": lambda a: a.view(type("Named", (np.ndarray,), {})),
}


@pytest.mark.parametrize("name", ARRANGED)
def test_numpy_layouts(name: str) -> None:
    inputs = [ARRANGED[name](array) for array in arrays()]
    copies = [array.copy() for array in inputs]
    result = aule.flash_attention(*inputs, causal="top-left")
    assert isinstance(result, np.ndarray) and result.flags.writeable
    assert not any(np.shares_memory(result, array) for array in inputs)
    assert all(np.array_equal(*pair) for pair in zip(inputs, copies, strict=True))
    assert_equals_torch(result, copies, causal="top-left")


def test_numpy_rules_are_those_of_tensors() -> None:
    """Broadcasting, grouped heads, ranks, empty arrays, full hidden rows."""
    for sizes, options in (
        ({"heads_kv": 2}, {"enable_gqa": True}),
        ({"seq_q": 9, "dim_v": 3}, {"causal": "bottom-right"}),
        ({"lead": ()}, {"is_causal": True}),
        ({"seq_k": 0}, {}),
        ({"lead": (0,)}, {}),
    ):
        tensors = qkv(**sizes)  # type: ignore[arg-type]
        expected = aule.flash_attention(*tensors, **options)  # type: ignore[arg-type]
        result = aule.flash_attention(*(tensor.numpy() for tensor in tensors), **options)  # type: ignore[arg-type]
        assert result.tobytes() == expected.contiguous().numpy().tobytes() and result.shape == expected.shape


WRONG_ARRAYS: dict[str, tuple[Callable[[list[np.ndarray]], object], tuple[type[Exception], ...], str]] = {
    "list": (lambda a: aule.flash_attention(a[0].tolist(), a[1], a[2]), (TypeError,), "query.*list"),
    "key None": (lambda a: aule.flash_attention(a[0], None, a[2]), (TypeError,), "key.*None"),
    "value tensor": (lambda a: aule.flash_attention(a[0], a[1], torch.from_numpy(a[2])), (TypeError,), "query|value"),
    "mask list": (lambda a: aule.flash_attention(*a, [[True]]), (TypeError,), "attn_mask.*list"),
    "mask int": (lambda a: aule.flash_attention(*a, np.ones((5, 7), int)), (RuntimeError, TypeError), "attn_mask.*int"),
    "int": (lambda a: aule.flash_attention(*(x.astype(int) for x in a)), (RuntimeError, TypeError), "query.*int64"),
    "objects": (lambda a: aule.flash_attention(*(x.astype(object) for x in a)), (TypeError,), "query.*object"),
    "complex": (
        lambda a: aule.flash_attention(*(x.astype(complex) for x in a)), (TypeError, NotImplementedError), "query",
    ),
    "big endian": (lambda a: aule.flash_attention(*(x.astype(">f4") for x in a)), (TypeError, RuntimeError), "query"),
    "mixed types": (lambda a: aule.flash_attention(a[0], a[1].astype(float), a[2]), (RuntimeError,), "key"),
    "1-D": (lambda a: aule.flash_attention(a[0][0, 0, 0], a[1], a[2]), (RuntimeError,), "query"),
    "head_dim": (lambda a: aule.flash_attention(a[0], a[1][..., :3], a[2]), (RuntimeError,), "key"),
    "heads": (lambda a: aule.flash_attention(a[0], a[1][:, :2], a[2][:, :2]), (RuntimeError,), "key"),
    "mask and causal": (
        lambda a: aule.flash_attention(*a, np.ones((5, 7), bool), is_causal=True), (RuntimeError,), "attn_mask",
    ),
    "dropout": (lambda a: aule.flash_attention(*a, dropout_p=2.0), (RuntimeError,), "dropout.*2.0"),
    "causal": (lambda a: aule.flash_attention(*a, causal="left"), (ValueError,), "causal.*left"),
    "nine dimensions": (lambda a: aule.flash_attention(*(x.reshape((1,) * 5 + x.shape) for x in a)),
                        (RuntimeError, ValueError), "query.*9|8"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_wrong_arrays(name: str) -> None:
    call, exceptions, pattern = WRONG_ARRAYS[name]
    with pytest.raises(exceptions, match=f"(?is){pattern}"):
        call(arrays())


class Other:
    """An array of another library: DLPack and the array API's namespace, nothing else."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return SimpleNamespace(from_dlpack=lambda other, **_: Other(np.from_dlpack(other).copy()), __name__="other")


def test_dlpack_objects_come_out_as_their_own_kind() -> None:
    inputs = arrays(heads_kv=2)
    out, lse = aule.flash_attention(*map(Other, inputs), enable_gqa=True, return_lse=True)
    assert type(out) is Other and type(lse) is Other
    expected = aule.flash_attention(*inputs, enable_gqa=True, return_lse=True)
    assert np.array_equal(out.data, expected[0]) and np.array_equal(lse.data, expected[1])
    masked = aule.flash_attention(*map(Other, inputs), Other(randn(5, 7).numpy()), enable_gqa=True)
    assert np.array_equal(masked.data, aule.flash_attention(*inputs, randn(5, 7).numpy(), enable_gqa=True))
