"""Wrong calls: PyTorch's exceptions from aule.flash_attention and from the hook, and messages that help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention.bias import causal_lower_right

import aule
from contract_rows import NAN, mask, some
from sdpa_tools import ENTRIES, Attention, entry, math, qkv

Q, K, V = qkv()
RANK2 = some((5, 8), (7, 8), (7, 8))
WrongCall = Callable[[Attention], object]
#: name: (call, exception, patterns that flash_attention's message has: the argument, what was given)
WRONG: dict[str, tuple[WrongCall, type[Exception], tuple[str, ...]]] = {
    "seventh positional": (lambda f: f(Q, K, V, None, 0.0, False, 1.0), TypeError, ("positional",)),
    "out": (lambda f: f(Q, K, V, out=Q), TypeError, ("out",)),
    "unknown keyword": (lambda f: f(Q, K, V, is_casual=True), TypeError, ("is_casual",)),
    "no value": (lambda f: f(Q, K), TypeError, ("value",)),
    "is_causal int": (lambda f: f(Q, K, V, is_causal=1), TypeError, ("is_causal", "bool", "int")),
    "is_causal None": (lambda f: f(Q, K, V, is_causal=None), TypeError, ("is_causal", "bool", "None")),
    "is_causal tensor": (lambda f: f(Q, K, V, is_causal=torch.tensor(True)), TypeError, ("is_causal", "Tensor")),
    "enable_gqa int": (lambda f: f(Q, K, V, enable_gqa=1), TypeError, ("enable_gqa", "bool", "int")),
    "scale string": (lambda f: f(Q, K, V, scale="0.5"), TypeError, ("scale", "str")),
    "scale 1-D": (lambda f: f(Q, K, V, scale=torch.ones(1)), TypeError, ("scale", "Tensor")),
    "dropout_p None": (lambda f: f(Q, K, V, dropout_p=None), TypeError, ("dropout_p", "None")),
    "dropout_p 1.5": (lambda f: f(Q, K, V, dropout_p=1.5), RuntimeError, ("dropout", "between 0 and 1", "1.5")),
    "dropout_p -0.5": (lambda f: f(Q, K, V, dropout_p=-0.5), RuntimeError, ("dropout", "-0.5")),
    "query None": (lambda f: f(None, K, V), TypeError, ("query", "None")),
    "key None": (lambda f: f(Q, None, V), TypeError, ("key", "None")),
    "value None": (lambda f: f(Q, K, None), TypeError, ("value", "None")),
    "key NumPy": (lambda f: f(Q, K.numpy(), V), TypeError, ("key", "ndarray")),
    "attn_mask list": (lambda f: f(Q, K, V, [[True]]), TypeError, ("attn_mask", "list")),
    "attn_mask NumPy": (lambda f: f(Q, K, V, np.ones((5, 7), bool)), TypeError, ("attn_mask", "ndarray")),
    "query 1-D": (lambda f: f(Q[0, 0, 0], K, V), RuntimeError, ("query", "at least 2", "1")),
    "key 1-D": (lambda f: f(Q, K[0, 0, 0], V), RuntimeError, ("key", "at least 2", "1")),
    "value 0-D": (lambda f: f(Q, K, V[0, 0, 0, 0]), RuntimeError, ("value", "at least 2", "0")),
    "key half": (lambda f: f(Q, K.half(), V), RuntimeError, ("key", "float", "(?i)half|float16")),
    "value double": (lambda f: f(Q, K, V.double()), RuntimeError, ("value", "float", "double|float64")),
    "query int": (lambda f: f(Q.int(), K, V), RuntimeError, ("query", "(?i)int")),
    "all int": (lambda f: f(Q.int(), K.int(), V.int()), RuntimeError, ("query", "(?i)int")),
    "all int64": (lambda f: f(Q.long(), K.long(), V.long()), RuntimeError, ("query", "(?i)int64|long")),
    "all bool": (lambda f: f(Q.bool(), K.bool(), V.bool()), RuntimeError, ("query", "(?i)bool")),
    "all complex": (
        lambda f: f(*(t.to(torch.complex64) for t in (Q, K, V))), NotImplementedError, ("query", "(?i)complex"),
    ),
    "all fp8": (
        lambda f: f(*(t.to(torch.float8_e4m3fn) for t in (Q, K, V))), NotImplementedError, ("query", "(?i)float8"),
    ),
    "key on another device": (lambda f: f(Q, K.to("meta"), V), RuntimeError, ("key", "device", "meta")),
    "mask on another device": (
        lambda f: f(Q, K, V, torch.ones(5, 7, device="meta")), RuntimeError, ("attn_mask", "device", "meta"),
    ),
    "head_dim of key": (lambda f: f(Q, K[..., :4], V), RuntimeError, ("key", "8", "4")),
    "length of value": (lambda f: f(Q, K, V[:, :, :5]), RuntimeError, ("value", "7", "5")),
    "heads 4 and 2": (lambda f: f(Q, K[:, :2], V[:, :2]), RuntimeError, ("key", "4", "2", "enable_gqa")),
    "heads 4 and 3, grouped": (lambda f: f(Q, K[:, :3], V[:, :3], enable_gqa=True), RuntimeError, ("key", "4", "3")),
    "heads 2 and 4, grouped": (lambda f: f(Q[:, :2], K, V, enable_gqa=True), RuntimeError, ("key", "2", "4")),
    "value heads 3, grouped": (lambda f: f(Q, K[:, :2], V[:, :3], enable_gqa=True), RuntimeError, ("value", "4", "3")),
    "grouped without heads": (lambda f: f(*RANK2, enable_gqa=True), IndexError, ()),
    "batch 2 and 3": (lambda f: f(Q, *qkv((3,))[1:]), RuntimeError, ("key", "2", "3")),
    "batch of value": (lambda f: f(Q, K, qkv((3,))[2]), RuntimeError, ("value", "2", "3")),
    "mask as batch": (lambda f: f(Q, K, V, torch.ones(2, 5, 7)), RuntimeError, ("attn_mask", "2, 5, 7|2x5x7")),
    "mask of more batches": (lambda f: f(Q, K, V, torch.ones(3, 1, 5, 7)), RuntimeError, ("attn_mask", "3")),
    "mask of more heads": (lambda f: f(Q, K, V, torch.ones(2, 8, 5, 7)), RuntimeError, ("attn_mask", "8")),
    "mask enlarges": (
        lambda f: f(Q[:1], K[:1], V[:1], torch.ones(2, 1, 5, 7)), RuntimeError, ("attn_mask", "2, 1, 5, 7|2x1x5x7"),
    ),
    "mask of higher rank": (lambda f: f(Q, K, V, torch.ones(1, 2, 4, 5, 7)), RuntimeError, ("attn_mask", "5, 7|5x7")),
    "mask of more keys": (lambda f: f(Q, K, V, torch.ones(5, 8)), RuntimeError, ("attn_mask", "8")),
    "mask of more queries": (lambda f: f(Q, K, V, torch.ones(6, 7)), RuntimeError, ("attn_mask", "6")),
    "mask of key heads": (
        lambda f: f(Q, K[:, :2], V[:, :2], torch.ones(2, 5, 7), enable_gqa=True), RuntimeError, ("attn_mask", "2"),
    ),
    "causal and mask": (
        lambda f: f(Q, K, V, torch.ones(5, 7), is_causal=True), RuntimeError, ("attn_mask", "is_causal"),
    ),
    "causal and mask, all True": (
        lambda f: f(Q, K, V, torch.ones(5, 7, dtype=torch.bool), is_causal=True), RuntimeError,
        ("Explicit attn_mask should not be set when is_causal=True",),
    ),
    "causal and mask, rank 3": (
        lambda f: f(Q[0], K[0], V[0], torch.zeros(5, 7), is_causal=True), RuntimeError, ("attn_mask", "is_causal"),
    ),
    "causal and CausalBias": (
        lambda f: f(Q, K, V, causal_lower_right(5, 7), is_causal=True), ValueError,
        ("CausalBias should not be used with causal=True",),
    ),
    "CausalBias of another size": (lambda f: f(Q, K, V, causal_lower_right(5, 6)), RuntimeError, ("attn_mask", "6")),
}  # fmt: skip
MASK_DTYPES = (
    (torch.bfloat16, torch.float16), (torch.float16, torch.bfloat16), (torch.float32, torch.float64),
    (torch.float32, torch.float16), (torch.float64, torch.bfloat16), (torch.float32, torch.int64),
    (torch.float32, torch.uint8), (torch.float16, torch.int32),
)  # fmt: skip


#: A mask on the meta device makes PyTorch choose its own kernel for that device before the hook is asked.
NOT_THE_HOOKS = {"mask on another device"}


@pytest.mark.parametrize(
    ("name", "way"),
    [(name, way) for name in WRONG for way in ENTRIES if way == "function" or name not in NOT_THE_HOOKS],
)
def test_wrong_calls_raise_what_pytorch_raises(name: str, way: str) -> None:
    call, exception, _ = WRONG[name]
    with entry(way) as attend, pytest.raises(exception):
        call(attend)


@pytest.mark.parametrize("name", WRONG)
def test_messages_name_the_argument_and_what_was_given(name: str) -> None:
    call, exception, patterns = WRONG[name]
    with pytest.raises(exception) as caught:
        call(aule.flash_attention)
    missing = [pattern for pattern in patterns if not re.search(pattern, str(caught.value))]
    assert not missing, f"not in the message: {missing}: {caught.value}"


@pytest.mark.parametrize(("dtype", "mask_dtype"), MASK_DTYPES, ids=str)
def test_mask_types(attend: Attention, dtype: torch.dtype, mask_dtype: torch.dtype) -> None:
    tensors = qkv(dtype=dtype)
    with pytest.raises(RuntimeError, match="attn_mask") as caught:
        attend(*tensors, torch.zeros(5, 7, dtype=mask_dtype))
    if attend is aule.flash_attention:
        given = {torch.int64: "int64|long", torch.uint8: "uint8|unsigned char", torch.float16: "(?i)float16|half"}
        assert re.search(given.get(mask_dtype, "(?i)" + str(mask_dtype).removeprefix("torch.")), str(caught.value))


@pytest.mark.parametrize(
    ("call", "first"),
    [
        (lambda f: f(Q, K.half().to("meta"), V), "dtype"),
        (lambda f: f(Q[0, 0, 0], K.half(), V), "dtype"),
        (lambda f: f(Q[0, 0, 0], K.to("meta"), V), "device"),
        (lambda f: f(Q[0, 0, 0], K, V, torch.ones(5, 7, dtype=torch.int64)), "dimension"),
        (lambda f: f(Q, K[..., :4], V, torch.ones(5, 7, dtype=torch.int64)), "attn_mask dtype"),
    ],
    ids=["dtype, device", "dtype, rank", "device, rank", "rank, mask dtype", "mask dtype, sizes"],
)
def test_order_of_checks(attend: Attention, call: WrongCall, first: str) -> None:
    """dtype, device, rank, mask dtype, then the rest: a program that matches PyTorch's text finds it."""
    with pytest.raises(RuntimeError, match=first):
        call(attend)


PYTORCH_TEXTS = {
    "key half": "Expected query, key, and value to have the same dtype, but got query.dtype: ",
    "key on another device": "Expected query, key, and value to have the same device type",
    "query 1-D": "Expected query, key, and value to all be  at least 2 dimensional",
    "heads 4 and 3, grouped": "Number of heads in key and value must divide the number of heads in ",
    "dropout_p 1.5": "dropout probability has to be between 0 and 1, but got 1.5",
    "causal and mask": "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True",
}


@pytest.mark.parametrize("name", PYTORCH_TEXTS)
def test_texts_that_the_contract_quotes(attend: Attention, name: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(PYTORCH_TEXTS[name])):
        WRONG[name][0](attend)


def test_signature() -> None:
    """PyTorch's schema first, in its order, with its defaults; everything after is_causal by keyword only."""
    schema = torch.ops.aten.scaled_dot_product_attention.default._schema
    parameters = list(inspect.signature(aule.flash_attention).parameters.values())
    for argument, parameter in zip(schema.arguments, parameters, strict=False):
        assert parameter.name == argument.name
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert keyword_only == argument.kwarg_only
        default = inspect.Parameter.empty if parameter.default is inspect.Parameter.empty else parameter.default
        assert default == (argument.default_value if argument.has_default_value() else inspect.Parameter.empty)
    assert [parameter.name for parameter in parameters[8:]] == [
        "causal", "window", "softcap", "alibi_slopes", "sinks", "return_lse", "backend",
    ]  # fmt: skip
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters[6:])


# Arguments that PyTorch does not have.

EXTRA_WRONG: dict[str, tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = {
    "causal word": ({"causal": "diagonal"}, ValueError, ("causal", "top-left", "bottom-right", "diagonal")),
    "causal number": ({"causal": 1}, (TypeError, ValueError), ("causal", "1")),  # type: ignore[dict-item]
    "causal with a mask": ({"causal": True, "attn_mask": mask(5, 7)}, RuntimeError, ("attn_mask", "causal")),
    "both causal": ({"causal": "bottom-right", "is_causal": True}, ValueError, ("causal", "is_causal")),
    "window of one": ({"window": (3,)}, (TypeError, ValueError), ("window",)),  # type: ignore[dict-item]
    "window number": ({"window": 3}, (TypeError, ValueError), ("window", "3")),  # type: ignore[dict-item]
    "window fraction": ({"window": (1.5, 0)}, (TypeError, ValueError), ("window", "1.5|float")),  # type: ignore[dict-item]
    "softcap negative": ({"softcap": -1.0}, ValueError, ("softcap", "-1")),
    "softcap nan": ({"softcap": NAN}, ValueError, ("softcap", "nan")),
    "softcap string": ({"softcap": "30"}, TypeError, ("softcap", "str")),
    "sinks of other heads": ({"sinks": torch.zeros(3)}, ValueError, ("sinks", "4", "3")),
    "slopes of other heads": ({"alibi_slopes": torch.zeros(3)}, ValueError, ("alibi_slopes", "3")),
    "unknown backend": ({"backend": "abacus"}, (ValueError, NotImplementedError), ("backend", "abacus", "cpu")),  # type: ignore[dict-item]
    "backend number": ({"backend": 3}, (TypeError, ValueError), ("backend", "3|int")),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", EXTRA_WRONG)
def test_wrong_extra_arguments(name: str) -> None:
    options, exception, patterns = EXTRA_WRONG[name]
    with pytest.raises(exception) as caught:
        aule.flash_attention(Q, K, V, **options)
    missing = [pattern for pattern in patterns if not re.search(pattern, str(caught.value))]
    assert not missing, f"not in the message: {missing}: {caught.value}"


def test_tensors_that_no_kernel_reads() -> None:
    """Sparse and opaque layouts: an error that names the argument, no crash. Ten dimensions go to PyTorch."""
    ten = [tensor[(None,) * 6] for tensor in (Q, K, V)]
    assert "more than 8 dimensions" in aule.explain(*ten)
    torch.testing.assert_close(aule.flash_attention(*ten).reshape(Q.shape), math(Q, K, V))
    for tensor in (Q.to_sparse(), Q.to_mkldnn()):
        for way in ENTRIES:
            with entry(way) as attend, pytest.raises((RuntimeError, TypeError)):
                attend(tensor, K, V)
    with pytest.raises((RuntimeError, TypeError), match=r"key.*sparse|sparse.*key"):
        aule.flash_attention(Q, K.to_sparse(), V)
