"""The rules of a score spelled out in PyTorch operations, whole score matrices and all.

For what neither the library's kernels nor PyTorch's own can do: second derivatives and functorch transforms of calls
with softcap, windows, sinks or ALiBi. Same formulas and order as include/aule/aule.hpp.
"""

from __future__ import annotations

from typing import Any

import torch

from ._rules import NONE, TOP_LEFT, Rules


def attention(
    query: Any, key: Any, value: Any, mask: Any, alibi_slopes: Any, sinks: Any, rules: Rules
) -> tuple[torch.Tensor, torch.Tensor]:
    """(out, lse) of tensors with equal leading sizes; heads_q is a multiple of heads_kv. No dropout."""
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    q, k, v = query.to(wide), key.to(wide), value.to(wide)
    if q.ndim > 2 and q.shape[-3] != k.shape[-3]:
        k, v = (t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    seq_q, seq_k = q.shape[-2], k.shape[-2]
    scale = rules.scale if rules.scale is not None else max(q.shape[-1], 1) ** -0.5
    scores = (q @ k.mT) * scale
    if rules.softcap:
        scores = rules.softcap * torch.tanh(scores / rules.softcap)
    rows = torch.arange(seq_q, device=q.device)[:, None] + (0 if rules.causal == TOP_LEFT else seq_k - seq_q)
    distance = torch.arange(seq_k, device=q.device)[None, :] - rows
    if alibi_slopes is not None:
        scores = scores - alibi_slopes.to(wide)[..., None, None] * distance.abs()
    seen = _visible(distance, rules)
    if mask is not None and mask.dtype == torch.bool:
        seen = seen & mask
    elif mask is not None:
        scores = scores + mask.to(wide)
    scores = scores.masked_fill(~seen, float("-inf"))
    if sinks is not None:
        sink = sinks.to(wide)[:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sink], dim=-1)
    if scores.shape[-1] == 0:
        empty = scores.sum(-1)
        return (q.sum(-1, keepdim=True) * 0 + v.sum(-2, keepdim=True) * 0).to(query.dtype), empty - float("inf")
    nothing = (scores == float("-inf")).all(dim=-1, keepdim=True)
    safe = scores.masked_fill(nothing, 0.0)
    weights = torch.softmax(safe, dim=-1).masked_fill(nothing, 0.0)[..., :seq_k]
    lse = torch.logsumexp(safe, dim=-1).masked_fill(nothing[..., 0], float("-inf"))
    return (weights @ v).to(query.dtype), lse


def _visible(distance: torch.Tensor, rules: Rules) -> torch.Tensor:
    """distance: key less the query's own position, (seq_q, seq_k)."""
    seen = torch.ones_like(distance, dtype=torch.bool)
    if rules.causal != NONE:
        seen = seen & (distance <= 0)
    if rules.window_left >= 0:
        seen = seen & (distance >= -rules.window_left)
    if rules.window_right >= 0:
        seen = seen & (distance <= rules.window_right)
    return seen
