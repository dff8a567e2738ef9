"""Differentiable calls with every feature of aule.flash_attention, for gradcheck and opcheck."""

from __future__ import annotations

from typing import Any

import torch

from sdpa_tools import qkv, randn

DOUBLE = torch.float64
SINKS = randn(4, seed=5)
SLOPES = torch.tensor([0.5, 0.25, 0.125, 0.0625])
SHOWN = randn(4, 5, 7, seed=6) > -0.5
#: name: (arguments of qkv, options of flash_attention). float64 throughout, sinks and slopes are float32 by definition.
FEATURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "rank 2": ({"lead": None}, {}),
    "causal": ({}, {"is_causal": True}),
    "bottom-right, more queries": ({"seq_q": 9}, {"causal": "bottom-right"}),
    "scale": ({}, {"scale": -0.7}),
    "scale 0": ({}, {"scale": 0.0}),
    "window": ({}, {"window": (2, 1)}),
    "window, causal": ({"seq_q": 9}, {"window": (2, 0), "causal": True}),
    "softcap": ({}, {"softcap": 1.5}),
    "slopes": ({}, {"alibi_slopes": SLOPES}),
    "sinks": ({}, {"sinks": SINKS}),
    "bool mask": ({}, {"attn_mask": SHOWN}),
    "bias": ({}, {"attn_mask": randn(4, 5, 7, seed=4, dtype=DOUBLE)}),
    "bias of one row": ({}, {"attn_mask": randn(1, 7, seed=4, dtype=DOUBLE)}),
    "bias of one column": ({}, {"attn_mask": randn(2, 1, 5, 1, seed=4, dtype=DOUBLE)}),
    "bias of one number": ({}, {"attn_mask": randn(1, 1, 1, 1, seed=4, dtype=DOUBLE)}),
    "bias, softcap, window": (
        {}, {"attn_mask": randn(2, 4, 5, 7, seed=4, dtype=DOUBLE), "softcap": 2.0, "window": (3, 2)},
    ),
    "grouped": ({"heads_kv": 2}, {"enable_gqa": True}),
    "one key head": ({"heads_kv": 1, "dim_v": 3}, {"enable_gqa": True, "causal": "bottom-right"}),
    "dropout": ({}, {"dropout_p": 0.4}),
    "dropout, bias, grouped": (
        {"heads_kv": 2}, {"dropout_p": 0.3, "enable_gqa": True, "attn_mask": randn(5, 7, seed=4, dtype=DOUBLE)},
    ),
    "everything": (
        {"heads_kv": 2, "dim_v": 3},
        {
            "enable_gqa": True, "causal": "bottom-right", "window": (4, 0), "softcap": 3.0, "alibi_slopes": SLOPES,
            "sinks": SINKS, "attn_mask": randn(2, 1, 5, 7, seed=4, dtype=DOUBLE), "dropout_p": 0.2, "scale": 0.4,
        },
    ),
}  # fmt: skip


def feature(name: str) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Leaves (query, key, value and an additive mask), and the other options."""
    sizes, options = dict(FEATURES[name][0]), dict(FEATURES[name][1])
    if "lead" in sizes:
        leaves = [tensor[0] for tensor in qkv((), heads=1, dtype=DOUBLE)]
    else:
        leaves = list(qkv(**{"dim": 4, "lead": (2,), **sizes}, dtype=DOUBLE))
    mask = options.get("attn_mask")
    if mask is not None and mask.is_floating_point():
        leaves.append(options.pop("attn_mask"))
    return [leaf.detach().clone().requires_grad_() for leaf in leaves], options
