"""Calls that scaled_dot_product_attention accepts: the rows of the contract on arguments, masks, values and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sdpa_tools import DTYPES, qkv, randn

INF = float("inf")
NAN = float("nan")
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Row = tuple[Tensors, dict[str, Any]]


def some(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensors:
    q, k, v = (randn(*shape, seed=index, dtype=dtype) for index, shape in enumerate(shapes))
    return q, k, v


def mask(*sizes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random; a bool mask shows the first key to everybody."""
    values = randn(*sizes, seed=4)
    if dtype != torch.bool:
        return values.to(dtype)
    shown = values > 0
    if sizes and sizes[-1] > 1:
        shown[..., 0] = True
    return shown if sizes else torch.tensor(True)


RANKS: dict[str, Row] = {
    "2": (some((5, 8), (7, 8), (7, 8)), {}),
    "3": (some((4, 5, 8), (4, 7, 8), (4, 7, 6)), {}),
    "4": (some((2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)), {}),
    "5": (some((3, 2, 4, 5, 8), (3, 2, 4, 7, 8), (3, 2, 4, 7, 8)), {}),
    "6": (some((1, 3, 2, 4, 5, 8), (2, 3, 2, 4, 7, 8), (2, 1, 2, 4, 7, 8)), {}),
    "2 and 4": (some((5, 8), (2, 4, 7, 8), (2, 4, 7, 8)), {}),
    "4 and 2": (some((2, 4, 5, 8), (7, 8), (7, 8)), {}),
    "4, 3, 2": (some((2, 4, 5, 8), (4, 7, 8), (7, 8)), {}),
    "3 and 4, grouped": (some((4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8)), {"enable_gqa": True}),
}
BROADCAST: dict[str, Row] = {
    "query's batch": (some((1, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)), {}),
    "key's batch": (some((2, 4, 5, 8), (1, 4, 7, 8), (2, 4, 7, 8)), {}),
    "value's batch": (some((2, 4, 5, 8), (2, 4, 7, 8), (1, 4, 7, 8)), {}),
    "query's heads": (some((2, 1, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)), {}),
    "key's heads": (some((2, 4, 5, 8), (2, 1, 7, 8), (2, 4, 7, 8)), {}),
    "value's heads": (some((2, 4, 5, 8), (2, 4, 7, 8), (2, 1, 7, 8)), {}),
    "key's and value's heads, not grouped": (some((2, 4, 5, 8), (2, 1, 7, 8), (2, 1, 7, 8)), {}),
    "all different": (some((1, 4, 5, 8), (3, 1, 7, 8), (1, 1, 7, 8)), {"is_causal": True}),
}
SCALES: dict[str, Row] = {
    repr(scale): (qkv(), {"scale": scale, "is_causal": causal})
    for scale, causal in (
        (None, True), (0.3, False), (2, False), (torch.tensor(0.3), False), (np.float32(0.3), False), (-0.7, False),
        (0, False), (0.0, True), (-0.5, True), (1e10, False), (1e30, False), (NAN, False), (True, False),
    )
}  # fmt: skip
MASKS: dict[str, Row] = {
    f"{'x'.join(map(str, shape)) or 'scalar'}, {dtype}": (qkv(), {"attn_mask": mask(*shape, dtype=dtype)})
    for shape in (
        (5, 7), (1, 7), (5, 1), (4, 5, 7), (1, 5, 7), (2, 1, 5, 7), (1, 4, 5, 7), (2, 1, 1, 7), (2, 4, 1, 7),
        (2, 4, 5, 1), (2, 4, 5, 7), (1, 1, 1, 1), (7,), (1,), (),
    )
    for dtype in (torch.bool, torch.float32)
}  # fmt: skip
MASKS |= {
    f"{dtype} with {mask_dtype} mask": (qkv(dtype=dtype), {"attn_mask": mask(4, 5, 7, dtype=mask_dtype)})
    for dtype in DTYPES
    for mask_dtype in dict.fromkeys((torch.bool, torch.float32, dtype))
}
MASKS |= {
    "rank 3": (qkv(())[0:3], {"attn_mask": mask(4, 5, 7)}),
    "rank 5": (qkv((3, 2)), {"attn_mask": mask(3, 1, 1, 5, 7)}),
    "rank 2": (some((5, 8), (7, 8), (7, 8)), {"attn_mask": mask(5, 7, dtype=torch.bool)}),
    "expanded": (qkv(), {"attn_mask": mask(2, 1, 1, 7).expand(2, 4, 5, 7)}),
    "expanded bool": (qkv(), {"attn_mask": mask(1, 1, 5, 7, dtype=torch.bool).expand(2, 4, 5, 7)}),
    "transposed": (qkv(), {"attn_mask": mask(2, 4, 7, 5).mT}),
    "every second column": (qkv(), {"attn_mask": mask(2, 4, 5, 14)[..., ::2]}),
    "at an offset": (qkv(), {"attn_mask": mask(3, 6, 8)[1, 1:, 1:]}),
    "grouped, dim_v of its own": (qkv(heads_kv=2, dim_v=3), {"attn_mask": mask(2, 4, 5, 7), "enable_gqa": True}),
    "broadcast query": (some((2, 4, 5, 8), (1, 1, 7, 8), (1, 1, 7, 8)), {"attn_mask": mask(2, 4, 5, 7)}),
    "-inf row": (qkv(), {"attn_mask": mask(5, 7).index_fill(0, torch.tensor([1, 4]), -INF)}),
    "hidden row": (qkv(), {"attn_mask": mask(5, 7, dtype=torch.bool).index_fill(0, torch.tensor([0, 2]), False)}),
    "lowest row": (qkv(), {"attn_mask": mask(5, 7).index_fill(0, torch.tensor([1]), torch.finfo().min)}),
    "lowest everywhere": (qkv(), {"attn_mask": torch.full((5, 7), torch.finfo().min)}),
    "+inf": (qkv(), {"attn_mask": mask(5, 7).index_put((torch.tensor([1]), torch.tensor([3])), torch.tensor(INF))}),
    "NaN": (qkv(), {"attn_mask": mask(5, 7).index_put((torch.tensor([1]), torch.tensor([3])), torch.tensor(NAN))}),
}
CAUSAL: dict[str, Row] = {
    "square": (qkv(seq_q=7), {"is_causal": True}),
    "more keys": (qkv(), {"is_causal": True}),
    "more queries": (qkv(seq_q=9), {"is_causal": True}),
    "one query sees key 0 only": (qkv(seq_q=1, seq_k=5), {"is_causal": True}),
    "one key, seen by all": (qkv(seq_q=5, seq_k=1), {"is_causal": True}),
    "grouped": (qkv(heads_kv=2), {"is_causal": True, "enable_gqa": True}),
    "dim_v of its own": (qkv(dim_v=3), {"is_causal": True}),
    "rank 3": (qkv(()), {"is_causal": True}),
    "rank 5, half": (qkv((2, 3), dtype=torch.bfloat16), {"is_causal": True}),
}
GROUPS: dict[str, Row] = {
    f"{heads} over {heads_kv}": (qkv(heads=heads, heads_kv=heads_kv), {"enable_gqa": True})
    for heads, heads_kv in ((4, 4), (4, 2), (6, 2), (4, 1), (7, 1), (8, 1), (32, 1), (64, 2))
}
GROUPS |= {
    "rank 3": (qkv((), heads_kv=2), {"enable_gqa": True}),
    "rank 5": (qkv((3, 2), heads_kv=2), {"enable_gqa": True}),
    "key 2, value 4": (some((2, 4, 5, 8), (2, 2, 7, 8), (2, 4, 7, 8)), {"enable_gqa": True}),
    "key 4, value 2": (some((2, 4, 5, 8), (2, 4, 7, 8), (2, 2, 7, 3)), {"enable_gqa": True}),
    "key 3, value 2": (some((6, 5, 8), (3, 7, 8), (2, 7, 8)), {"enable_gqa": True}),
    "broadcast batch": (some((3, 4, 5, 8), (1, 2, 7, 8), (1, 2, 7, 8)), {"enable_gqa": True, "is_causal": True}),
}
EMPTY: dict[str, Row] = {
    "no queries": (qkv(seq_q=0), {}),
    "no keys": (qkv(seq_k=0), {}),
    "no keys, causal": (qkv(seq_k=0), {"is_causal": True}),
    "no keys, mask": (qkv(seq_k=0), {"attn_mask": torch.zeros(5, 0)}),
    "no keys, bool mask": (qkv(seq_k=0), {"attn_mask": torch.ones(5, 0, dtype=torch.bool)}),
    "no batch": (qkv((0,)), {}),
    "no heads": (qkv(heads=0), {}),
    "no head_dim_qk: mean of value": (qkv(dim=0, dim_v=8), {}),
    "no head_dim_v": (qkv(dim_v=0), {}),
}


def bshd(heads: int, seq: int, dim: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return randn(2, seq, heads, dim, seed=seed, dtype=dtype).transpose(1, 2)


LAYOUTS: dict[str, Row] = {
    "BSHD views": ((bshd(4, 5), bshd(4, 7, seed=1), bshd(4, 7, seed=2)), {"is_causal": True}),
    "packed QKV": (tuple(randn(2, 7, 3, 4, 8).permute(2, 0, 3, 1, 4)), {}),  # type: ignore[dict-item]
    "packed by head": (tuple(randn(2, 7, 4, 24).transpose(1, 2).split(8, -1)), {}),  # type: ignore[dict-item]
    "expanded heads": ((qkv()[0], *(t[:, :1].expand(-1, 4, -1, -1) for t in qkv()[1:])), {}),
    "expanded rows": (tuple(t[..., :1, :].expand(-1, -1, 6, -1) for t in qkv()), {}),  # type: ignore[dict-item]
    "expanded columns": (tuple(t[..., :1].expand(-1, -1, -1, 8) for t in qkv()), {}),  # type: ignore[dict-item]
    "every second column": (tuple(t[..., ::2] for t in qkv(dim=16)), {}),  # type: ignore[dict-item]
    "every third row": (tuple(t[..., ::3, :] for t in qkv(seq_q=15, seq_k=21)), {}),  # type: ignore[dict-item]
    "flipped": (tuple(t.flip(-1, -2) for t in qkv()), {}),  # type: ignore[dict-item]
    "transposed columns": ((randn(2, 4, 8, 5).mT, randn(2, 4, 8, 7, seed=1).mT, randn(2, 4, 6, 7, seed=2).mT), {}),
    "at an odd offset": (tuple(t[1:, 1:, 1:, 1:] for t in qkv((3,), dim=9)), {}),  # type: ignore[dict-item]
}
BIG = qkv(seq_q=16, seq_k=33, dim=16)
VALUES: dict[str, Row] = {
    "large scores": ((BIG[0] * 100, BIG[1] * 100, BIG[2]), {}),
    "overflowing scores": ((BIG[0] * 1e20, BIG[1] * 1e20, BIG[2]), {}),
    "overflowing scores, causal": ((BIG[0] * 1e20, BIG[1] * 1e20, BIG[2]), {"is_causal": True}),
    "overflowing scores, rank 3": (((BIG[0] * 1e20)[0], (BIG[1] * 1e20)[0], BIG[2][0]), {}),
    "NaN in a query": ((BIG[0].index_fill(2, torch.tensor([2]), NAN), *BIG[1:]), {}),
    "inf in a query": ((BIG[0].index_fill(2, torch.tensor([2]), INF), *BIG[1:]), {}),
    "NaN in every value": ((*BIG[:2], BIG[2].index_fill(3, torch.tensor([1]), NAN)), {}),
}
ACCEPTED = {
    f"{axis}: {name}": row
    for axis, rows in {
        "rank": RANKS, "broadcast": BROADCAST, "scale": SCALES, "mask": MASKS, "causal": CAUSAL, "groups": GROUPS,
        "empty": EMPTY, "layout": LAYOUTS, "values": VALUES,
    }.items()
    for name, row in rows.items()
}  # fmt: skip
