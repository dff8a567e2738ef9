"""Attention and its gradients in plain NumPy: the second opinion that the C++ reference back end is checked against.

Whole score matrices, no blocks, formulas written from the definition and not from the C++ sources. `compute` sets the
precision: float64 is the truth for float32 and half types, longdouble for float64; float32 is what a plain
implementation reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rules:
    """What a call asks for beside q, k and v; arrays are float64 or bool. `aule.flash_attention` explains them."""

    causal: str = "none"
    window: tuple[int, int] = (-1, -1)
    scale: float | None = None
    softcap: float = 0.0
    dropout_p: float = 0.0
    dropout_seed: int = 0
    mask: np.ndarray | None = None
    alibi_slopes: np.ndarray | None = None
    sinks: np.ndarray | None = None


@dataclass
class Result:
    """out (..., heads_q, seq_q, head_dim_v), lse (..., heads_q, seq_q), and gradients by name where asked for.

    magnitudes: the size of the terms that each result sums up; where they cancel, rounding is relative to it.
    score_terms: the same for the scores, whose absolute error is the relative error of everything that follows.
    largest_score: the largest finite one. spreads: root of the sum of squared terms, for gradients that sum over rows.
    """

    out: np.ndarray
    lse: np.ndarray
    gradients: dict[str, np.ndarray] = field(default_factory=dict)
    magnitudes: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    score_terms: float = 0.0
    largest_score: float = 0.0


def philox_words(seed: int, batch_heads: int, seq_q: int, seq_k: int) -> np.ndarray:
    """Philox 4x32-10 words, uint32 (batch_heads, seq_q, seq_k): word j % 4 of counter (j / 4, i, batch_head)."""
    low32 = np.uint64(0xFFFFFFFF)
    blocks = (seq_k + 3) // 4
    shape = (batch_heads, seq_q, blocks)
    heads = np.arange(batch_heads, dtype=np.uint64)[:, None, None]
    counter = [
        np.broadcast_to(np.arange(blocks, dtype=np.uint64), shape),
        np.broadcast_to(np.arange(seq_q, dtype=np.uint64)[:, None], shape),
        np.broadcast_to(heads & low32, shape),
        np.broadcast_to(heads >> np.uint64(32), shape),
    ]
    key = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        first = np.uint64(0xD2511F53) * counter[0]
        second = np.uint64(0xCD9E8D57) * counter[2]
        counter = [
            (second >> np.uint64(32)) ^ counter[1] ^ np.uint64(key[0]),
            second & low32,
            (first >> np.uint64(32)) ^ counter[3] ^ np.uint64(key[1]),
            first & low32,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    words = np.stack(counter, axis=-1).astype(np.uint32)
    return words.reshape(batch_heads, seq_q, 4 * blocks)[..., :seq_k]


def keep_factors(rules: Rules, leading: tuple[int, ...], seq_q: int, seq_k: int) -> np.ndarray:
    """What dropout multiplies probabilities with, 0 or 1 / (1 - p): (*leading, seq_q, seq_k); leading ends in heads."""
    if rules.dropout_p >= 1.0:
        return np.zeros((*leading, seq_q, seq_k))
    words = philox_words(rules.dropout_seed, int(np.prod(leading, dtype=np.int64)), seq_q, seq_k)
    threshold = min(int(rules.dropout_p * 2**32), 2**32 - 1)
    return np.where(words >= threshold, 1.0 / (1.0 - rules.dropout_p), 0.0).reshape(*leading, seq_q, seq_k)


def visible(rules: Rules, seq_q: int, seq_k: int) -> np.ndarray:
    """Which keys causal and window leave to a query, bool (seq_q, seq_k)."""
    query, key = np.arange(seq_q)[:, None], np.arange(seq_k)[None, :]
    centre = query if rules.causal == "top-left" else query + seq_k - seq_q
    seen = np.ones((seq_q, seq_k), dtype=bool)
    if rules.causal != "none":
        seen &= key <= centre
    left, right = rules.window
    if left >= 0:
        seen &= key >= centre - left
    if right >= 0:
        seen &= key <= centre + right
    return seen


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))


def _sum_to(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sums over the dimensions that broadcasting from `shape` made."""
    values = values.sum(axis=tuple(range(values.ndim - len(shape))))
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and values.shape[axis] != 1)
    return np.asarray(values.sum(axis=axes, keepdims=True))


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    rules: Rules,
    dout: np.ndarray | None = None,
    dlse: np.ndarray | None = None,
    compute: Any = np.float64,
) -> Result:
    """The result of q (..., heads_q, seq_q, head_dim_qk), k (..., heads_kv, seq_k, head_dim_qk), v (..., head_dim_v).

    Leading sizes broadcast; heads_q is a multiple of heads_kv. With `dout` also the gradients of q, k, v (of the
    broadcast sizes), mask (a floating one) and sinks.
    """
    with np.errstate(all="ignore"):
        return _attention(q, k, v, rules, dout, dlse, compute)


def _attention(q: Any, k: Any, v: Any, rules: Rules, dout: Any, dlse: Any, compute: Any) -> Result:
    batch = np.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    q, k, v = (np.broadcast_to(x, batch + x.shape[-3:]).astype(compute) for x in (q, k, v))
    heads_q, seq_q, head_dim = q.shape[-3:]
    heads_kv, seq_k = k.shape[-3:-1]
    group = heads_q // heads_kv if heads_kv else 1
    keys, vals = (np.repeat(x, group, axis=-3) for x in (k, v))
    scale = compute(rules.scale if rules.scale is not None else (1.0 / np.sqrt(head_dim) if head_dim else 1.0))

    raw = scale * np.matmul(q, np.swapaxes(keys, -1, -2))
    bent = np.tanh(raw / compute(rules.softcap)) if rules.softcap else None
    scores = raw if bent is None else compute(rules.softcap) * bent
    if rules.mask is not None and rules.mask.dtype != np.bool_:
        scores = scores + rules.mask.astype(compute)
    if rules.alibi_slopes is not None:
        offset = 0 if rules.causal == "top-left" else seq_k - seq_q
        distance = np.abs(np.arange(seq_q)[:, None] + offset - np.arange(seq_k)[None, :]).astype(compute)
        scores = scores - rules.alibi_slopes.astype(compute)[..., :, None, None] * distance
    seen = visible(rules, seq_q, seq_k)
    if rules.mask is not None and rules.mask.dtype == np.bool_:
        seen = seen & rules.mask
    scores = np.where(seen, scores, compute(-np.inf))

    top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    sinks = None if rules.sinks is None else rules.sinks.astype(compute)[:, None, None]
    if sinks is not None:
        top = np.maximum(top, sinks)
    nothing = top == -np.inf
    shift = np.where(nothing, compute(0), top)
    weights = np.exp(scores - shift)
    total = weights.sum(axis=-1, keepdims=True)
    sink_weight = None if sinks is None else np.exp(sinks - shift)
    if sink_weight is not None:
        total = total + sink_weight
    probabilities = np.where(nothing, compute(0), weights / total)
    keep = None
    if rules.dropout_p > 0:
        keep = keep_factors(rules, q.shape[:-2], seq_q, seq_k).astype(compute)
    dropped = probabilities if keep is None else probabilities * keep
    out = np.matmul(dropped, vals)
    lse = np.where(nothing, compute(-np.inf), np.log(total) + shift)[..., 0]
    sizes = np.abs(scale) * np.matmul(np.abs(q), np.swapaxes(np.abs(keys), -1, -2)) + np.abs(scores)
    finite = np.abs(scores) < 6e4  # beyond that lies what masks use for "hidden"
    result = Result(out, lse, score_terms=_largest(np.where(finite, sizes, 0)))
    result.largest_score = _largest(np.where(finite, scores, 0))
    result.magnitudes = {"out": _largest(np.matmul(dropped, np.abs(vals)))}
    if dout is None:
        return result

    dout = dout.astype(compute)
    extra = compute(0) if dlse is None else dlse.astype(compute)[..., None]
    ddropped = np.matmul(dout, np.swapaxes(vals, -1, -2))
    dprob = ddropped if keep is None else ddropped * keep
    delta = (probabilities * dprob).sum(axis=-1, keepdims=True)
    dscores = probabilities * (dprob - delta + extra)
    draw = dscores if bent is None else dscores * (1 - bent * bent)

    def per_kv_head(gradient: np.ndarray) -> np.ndarray:
        return np.asarray(gradient.reshape(*batch, heads_kv, group, *gradient.shape[-2:]).sum(axis=-3))

    result.gradients = {
        "q": scale * np.matmul(draw, keys),
        "k": per_kv_head(scale * np.matmul(np.swapaxes(draw, -1, -2), q)),
        "v": per_kv_head(np.matmul(np.swapaxes(dropped, -1, -2), dout)),
    }
    terms = probabilities * (np.abs(dprob) + np.abs(delta) + np.abs(extra))

    result.magnitudes |= {
        "q": _largest(scale * np.matmul(terms, np.abs(keys))),
        "k": _largest(per_kv_head(scale * np.matmul(np.swapaxes(terms, -1, -2), np.abs(q)))),
        "v": _largest(per_kv_head(np.matmul(np.swapaxes(np.abs(dropped), -1, -2), np.abs(dout)))),
    }
    if rules.mask is not None and rules.mask.dtype != np.bool_:
        result.gradients["mask"] = _sum_to(dscores, rules.mask.shape)
        result.magnitudes["mask"] = _largest(_sum_to(terms, rules.mask.shape))
        of_rows = terms.sum(axis=-1, keepdims=True) if rules.mask.shape[-1] == 1 else terms
        result.spreads["mask"] = _largest(np.sqrt(_sum_to(of_rows**2, rules.mask.shape)))
    if sinks is not None and sink_weight is not None:
        sink_prob = sink_weight / total
        result.gradients["sinks"] = _sum_to(sink_prob * (extra - delta), (heads_q, 1, 1))[:, 0, 0]
        sink_terms = sink_prob * (np.abs(extra) + np.abs(delta))
        result.magnitudes["sinks"] = _largest(_sum_to(sink_terms, (heads_q, 1, 1)))
        result.spreads["sinks"] = _largest(np.sqrt(_sum_to(sink_terms**2, (heads_q, 1, 1))))
    return result
