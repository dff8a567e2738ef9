"""CausalBias and dropout as PyTorch has them; lse, windows, softcap, slopes and sinks, which it does not have."""

from __future__ import annotations

import math as m
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.attention.bias import causal_lower_right, causal_upper_left

import aule
from contract_rows import INF, mask
from sdpa_tools import (
    DTYPES,
    HALF,
    Attention,
    assert_accurate,
    assert_as_pytorch,
    formula,
    outputs_and_gradients,
    qkv,
    randn,
)  # fmt: skip

Q, K, V = qkv()


# --------------------------------------------------------------------------------------------------- CausalBias


@pytest.mark.filterwarnings("ignore:Lower right causal bias will produce NaNs")
@pytest.mark.parametrize("seqs", [(5, 7), (7, 7), (7, 5), (1, 7)], ids=str)
@pytest.mark.parametrize(("bias", "causal"), [(causal_upper_left, "top-left"), (causal_lower_right, "bottom-right")])
def test_causal_bias(attend: Attention, bias: Callable[..., torch.Tensor], causal: str, seqs: tuple[int, int]) -> None:
    tensors = qkv(seq_q=seqs[0], seq_k=seqs[1])
    assert_as_pytorch(
        lambda query, key, value: attend(query, key, value, attn_mask=bias(*seqs)),
        tensors,
        expected=lambda query, key, value: formula(query, key, value, causal=causal)[0],
    )


def test_causal_bias_grouped(attend: Attention) -> None:
    tensors = qkv(heads_kv=2)
    out = attend(*tensors, attn_mask=causal_lower_right(5, 7), enable_gqa=True)
    wide = [tensor.double() for tensor in tensors]
    assert_accurate(out, formula(*wide, causal="bottom-right")[0], formula(*tensors, causal="bottom-right")[0])


# ------------------------------------------------------------------------------------------------------- dropout


def dropped(attend: Attention, seed: int, *, p: float = 0.4, size: int = 16, batch: int = 2) -> torch.Tensor:
    """The weights that a seed leaves, exactly: with zero queries and an identity for value they are 0 or 1/(S(1-p))."""
    torch.manual_seed(seed)
    zeros = torch.zeros(batch, 3, size, 8)
    out: torch.Tensor = attend(zeros, zeros, torch.eye(size).expand(batch, 3, size, size), dropout_p=p)
    return out


def test_dropout_repeats_with_the_seed(attend: Attention) -> None:
    assert torch.equal(dropped(attend, 1), dropped(attend, 1))
    assert not torch.equal(dropped(attend, 1), dropped(attend, 2))
    torch.manual_seed(3)
    first, second = (attend(Q, K, V, dropout_p=0.5) for _ in range(2))
    assert not torch.equal(first, second), "the generator did not move on"
    torch.manual_seed(3)
    assert torch.equal(first, attend(Q, K, V, dropout_p=0.5))


def test_dropout_draws_from_torchs_generator(attend: Attention) -> None:
    """A saved and restored state repeats the draw; without dropout the generator is left alone."""
    state = torch.get_rng_state()
    first = attend(Q, K, V, dropout_p=0.5)
    assert not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    attend(Q, K, V)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, attend(Q, K, V, dropout_p=0.5))


def test_dropout_scales_what_is_kept_and_differs_everywhere(attend: Attention) -> None:
    weights = dropped(attend, 4, p=0.4, size=64)
    kept = weights != 0
    torch.testing.assert_close(weights[kept], torch.full_like(weights[kept], 1 / (64 * 0.6)))
    count = kept.numel()
    assert abs(float(kept.float().mean()) - 0.6) < 5 * m.sqrt(0.24 / count)
    assert not torch.equal(kept[0, 0], kept[0, 1]) and not torch.equal(kept[0, 0], kept[1, 0])
    assert not torch.equal(kept[0, 0, 0], kept[0, 0, 1])


def test_dropout_preserves_the_mean(attend: Attention) -> None:
    torch.manual_seed(0)
    tensors = qkv((64,), heads=4, seq_q=8, seq_k=64)
    with_dropout = attend(*tensors[:2], torch.ones(64, 4, 64, 4), dropout_p=0.3)
    assert abs(float(with_dropout.mean()) - 1) < 0.02


def test_dropout_of_everything_and_nothing(attend: Attention) -> None:
    assert not attend(Q, K, V, dropout_p=1.0).any()
    assert not attend(Q, K, V, dropout_p=1).any()
    assert torch.equal(attend(Q, K, V, dropout_p=0), attend(Q, K, V))
    results = outputs_and_gradients(attend, (Q, K, V), {"dropout_p": 1.0})
    assert all(gradient is not None and not gradient.any() for gradient in results.values())


# --------------------------------------------------------------------------- arguments that PyTorch does not have

EXTRA: dict[str, dict[str, Any]] = {
    "causal True": {"causal": "top-left"},
    "bottom-right": {"causal": "bottom-right"},
    "window": {"window": (2, 1)},
    "window, causal": {"window": (2, 0), "causal": "top-left"},
    "window, unlimited right": {"window": (1, -1), "causal": "bottom-right"},
    "softcap": {"softcap": 1.5},
    "slopes": {"alibi_slopes": torch.tensor([0.5, 0.25, 0.125, 0.0625])},
    "slopes of each batch, causal": {"alibi_slopes": randn(2, 4).abs(), "causal": "bottom-right"},
    "sinks": {"sinks": randn(4, seed=5)},
    "mask, window, sinks, softcap": {
        "attn_mask": mask(2, 4, 5, 7), "window": (3, 1), "sinks": randn(4, seed=5), "softcap": 2.0,
    },
    "bool mask, bottom-right": {"attn_mask": mask(5, 7, dtype=torch.bool), "causal": "bottom-right"},
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", EXTRA)
def test_extra_arguments(name: str, dtype: torch.dtype) -> None:
    """out, lse and gradients against the formula; grouped heads throughout."""
    tensors, options = qkv(heads_kv=2, dtype=dtype), dict(EXTRA[name])
    if dtype in HALF and isinstance(options.get("attn_mask"), torch.Tensor):
        options["attn_mask"] = options["attn_mask"].to(dtype) if "softcap" in options else options["attn_mask"]
    ours = {**options, "causal": True} if name == "causal True" else options
    out, lse = aule.flash_attention(*tensors, enable_gqa=True, return_lse=True, **ours)
    wide = {key: value.double() if key == "attn_mask" else value for key, value in options.items()}
    true_out, true_lse = formula(*(tensor.double() for tensor in tensors), **wide)
    accumulator = torch.float64 if dtype == torch.float64 else torch.float32
    yard_out, yard_lse = formula(*(tensor.to(accumulator) for tensor in tensors), **options)
    assert_accurate(out, true_out, yard_out.to(dtype))
    assert_accurate(lse, true_lse, yard_lse.to(accumulator), "lse")
    assert_as_pytorch(
        lambda **arguments: aule.flash_attention(**arguments, enable_gqa=True),
        tensors,
        ours,
        expected=lambda query, key, value, **rest: formula(query, key, value, **rest)[0],
        expected_options=options,
    )


def test_lse_is_the_logarithm_of_the_sum() -> None:
    for dtype, expected in ((torch.float64, torch.float64), *((dtype, torch.float32) for dtype in DTYPES[1:])):
        tensors = qkv(dtype=dtype)
        out, lse = aule.flash_attention(*tensors, return_lse=True)
        assert lse.dtype == expected and lse.shape == (2, 4, 5) and out.dtype == dtype
    _, lse = aule.flash_attention(*qkv(seq_q=9), causal="bottom-right", return_lse=True)
    assert torch.equal(lse[..., :2], torch.full((2, 4, 2), -INF)) and torch.isfinite(lse[..., 2:]).all()
    assert aule.flash_attention(*qkv(()), return_lse=True)[1].shape == (4, 5)
    assert aule.flash_attention(*(t[0, 0] for t in qkv()), return_lse=True)[1].shape == (5,)
