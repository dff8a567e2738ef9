"""A case of the case table (cases.py): what a call looks like, and the inputs that it draws."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ._arrays import LAYOUTS, LOWEST, Array, Layout, place
from ._oracle import Rules

FLOAT_DTYPES = ("float32", "float16", "bfloat16", "float64")
QKV = ("q", "k", "v")


@dataclass(frozen=True)
class Case:
    """One attention call, its inputs drawn from `name` and `seed`.

    q (..., heads_q, seq_q, head_dim_qk), k (..., heads_kv, seq_k, head_dim_qk), v (..., heads_kv, seq_k, head_dim_v).
    causal: none, top-left, bottom-right. window: keys to the left and right, -1 unlimited.
    mask: None, bool, float32, or "same" for q's dtype. mask_shape broadcasts to (..., heads_q, seq_q, seq_k).
    mask_values: random, hidden-rows, hidden, lowest, sprinkled (-inf), infinite, nan, padded-left, padded-right.
    alibi: None, "heads" (heads_q) or "batch" (batch, heads_q) slopes.
    values: normal, large, rising, zero, nan-row (in q), nan-key or infinite-key (in k).
    layout: a `Layout`, or one for each of q, k, v. gradients: of q, k, v, mask, sinks; "lse" feeds a dlse.
    """

    name: str
    q: tuple[int, ...]
    k: tuple[int, ...]
    v: tuple[int, ...]
    dtype: str = "float32"
    causal: str = "none"
    window: tuple[int, int] = (-1, -1)
    scale: float | None = None
    softcap: float = 0.0
    dropout_p: float = 0.0
    dropout_seed: int = 0x1234_5678_9ABC_DEF0
    mask: str | None = None
    mask_shape: tuple[int, ...] = ()
    mask_values: str = "random"
    alibi: str | None = None
    sinks: bool = False
    values: str = "normal"
    layout: Layout | tuple[Layout, Layout, Layout] = LAYOUTS["contiguous"]
    mask_layout: Layout = LAYOUTS["contiguous"]
    gradients: tuple[str, ...] = QKV
    seed: int = 0
    axis: str = field(default="", compare=False)

    @property
    def heads_q(self) -> int:
        """Query heads of the output."""
        return max(self.q[-3] if len(self.q) > 2 else 1, self.heads_kv)

    @property
    def heads_kv(self) -> int:
        """Heads of k and v."""
        return max(shape[-3] if len(shape) > 2 else 1 for shape in (self.k, self.v))

    @property
    def batch(self) -> tuple[int, ...]:
        """The leading sizes of the output, without heads."""
        return np.broadcast_shapes(self.q[:-3], self.k[:-3], self.v[:-3])

    @property
    def is_sdpa(self) -> bool:
        """Whether torch's scaled_dot_product_attention can express it (gradients of lse apart)."""
        extras = self.softcap or self.dropout_p or self.alibi or self.sinks or self.window != (-1, -1)
        return not extras and self.causal != "bottom-right" and not (self.mask and self.causal != "none")

    def layouts(self) -> tuple[Layout, Layout, Layout]:
        """Those of q, k and v."""
        return self.layout if isinstance(self.layout, tuple) else (self.layout, self.layout, self.layout)

    def visible_pairs(self) -> int:
        """(query, key) pairs of one head that causal and window leave; a mask is not looked at."""
        seq_q, seq_k = self.q[-2], self.k[-2]
        query = np.arange(seq_q, dtype=np.int64) + (0 if self.causal == "top-left" else seq_k - seq_q)
        first, last = np.zeros(seq_q, dtype=np.int64), np.full(seq_q, seq_k - 1, dtype=np.int64)
        if self.causal != "none":
            last = np.minimum(last, query)
        if self.window[1] >= 0:
            last = np.minimum(last, query + self.window[1])
        if self.window[0] >= 0:
            first = np.maximum(first, query - self.window[0])
        return int(np.maximum(last - first + 1, 0).sum())

    def flops(self, backward: bool = False) -> int:
        """Operations of the matrix products: two of them in forward, five more in backward (S, dP, dV, dK, dQ)."""
        pairs = int(np.prod(self.batch, dtype=np.int64)) * self.heads_q * self.visible_pairs()
        head_dim_qk, head_dim_v = self.q[-1], self.v[-1]
        per_pair = head_dim_qk + head_dim_v
        if backward:
            per_pair += 3 * head_dim_qk + 2 * head_dim_v
        return 2 * pairs * per_pair

    def __str__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._changed()]
        return f"Case({', '.join(shown)})"

    def _changed(self) -> Iterator[tuple[str, Any]]:
        for name, spec in self.__dataclass_fields__.items():
            value = self.__dict__[name]
            if name != "axis" and value != spec.default:
                yield name, value


@dataclass(frozen=True)
class Inputs:
    """The arrays of a case, rank 3 or more and with equal head counts of k and v, as `aule._core` wants them."""

    q: Array
    k: Array
    v: Array
    mask: Array | None
    alibi_slopes: Array | None
    sinks: Array | None
    dout: np.ndarray  #: float64 values, rounded to q's dtype
    dlse: np.ndarray | None
    case: Case

    @cached_property
    def rules(self) -> Rules:
        """The options as the oracle takes them."""
        case = self.case
        return Rules(
            causal=case.causal,
            window=case.window,
            scale=case.scale,
            softcap=case.softcap,
            dropout_p=case.dropout_p,
            dropout_seed=case.dropout_seed,
            mask=None if self.mask is None else self.mask.values(),
            alibi_slopes=None if self.alibi_slopes is None else self.alibi_slopes.values(),
            sinks=None if self.sinks is None else self.sinks.values(),
        )

    @property
    def leading(self) -> tuple[int, ...]:
        """(..., heads_q) of the output."""
        return (*self.case.batch, self.q.shape[-3])


def make_inputs(case: Case) -> Inputs:
    """Draws the inputs of `case`: the same bits on every machine with the same NumPy."""
    rng = np.random.default_rng([case.seed, zlib.crc32(case.name.encode())])
    q, k, v = (
        _draw(rng, shape, case, operand, layout)
        for operand, shape, layout in zip(QKV, (case.q, case.k, case.v), case.layouts(), strict=True)
    )
    q = _with_heads(q, case.heads_q)
    k, v = _with_heads(k, case.heads_kv), _with_heads(v, case.heads_kv)
    leading = (*case.batch, case.heads_q)
    slopes = sinks = mask = None
    if case.alibi:
        shape = (case.heads_q,) if case.alibi == "heads" else (case.batch[-1], case.heads_q)
        slopes = place(shape, "float32", LAYOUTS["contiguous"], rng.uniform(0.01, 0.5, shape))
    if case.sinks:
        shape = (case.heads_q,)
        sinks = place(shape, "float32", LAYOUTS["contiguous"], rng.standard_normal(shape))
    if case.mask:
        mask = _draw_mask(rng, case)
    out_shape = (*leading, case.q[-2], case.v[-1])
    dout = place(out_shape, case.dtype, LAYOUTS["contiguous"], rng.standard_normal(out_shape)).values()
    dlse = (
        rng.standard_normal(out_shape[:-1]).astype(np.float32).astype(np.float64) if "lse" in case.gradients else None
    )
    return Inputs(q, k, v, mask, slopes, sinks, dout, dlse, case)


def _draw(rng: np.random.Generator, shape: tuple[int, ...], case: Case, operand: str, layout: Layout) -> Array:
    stored = layout.collapsed(shape)
    values = rng.standard_normal(stored)
    rows = stored[-2]
    if case.values == "large" and operand == "q":
        values *= 1e4 if case.dtype != "float16" else 3e3
    elif case.values == "rising" and operand == "k":  # the row maximum moves with nearly every key
        values *= np.linspace(0.01, 4.0, rows)[:, None]
    elif case.values == "nan-row" and operand == "q":
        values[..., min(1, rows - 1), 0] = np.nan
    elif case.values == "nan-key" and operand == "k":
        values[..., rows // 2, 0] = np.nan
    elif case.values == "infinite-key" and operand == "k":
        values[..., rows // 2, 0] = np.inf
    elif case.values == "zero":
        values *= 0.0
    return place(shape, case.dtype, layout, values)


def _with_heads(array: Array, heads: int) -> Array:
    """Rank 3 or more and `heads` heads: what aule.flash_attention does before it calls the core."""
    data = array.data if array.data.ndim > 2 else array.data[None]
    if data.shape[-3] == 1 and heads != 1:
        return array.view(np.broadcast_to(data, (*data.shape[:-3], heads, *data.shape[-2:])))
    if data.shape[-3] != heads:
        data = np.repeat(data, heads // data.shape[-3], axis=-3)
        return Array(data, array.dtype, data)
    return array.view(data)


def _draw_mask(rng: np.random.Generator, case: Case) -> Array:
    dtype = case.dtype if case.mask == "same" else str(case.mask)
    stored = case.mask_layout.collapsed(case.mask_shape)
    kind = case.mask_values
    hidden, shown = (False, True) if dtype == "bool" else (-np.inf, 0.0)
    if kind.startswith("padded"):
        columns = np.arange(stored[-1])
        lengths = rng.integers(1, stored[-1] + 1, size=stored[:-1])[..., None]
        seen = columns < lengths if kind == "padded-right" else columns >= stored[-1] - lengths
        values = np.where(seen, shown, hidden)
    else:
        values = rng.random(stored) < 0.7 if dtype == "bool" else rng.standard_normal(stored)
    rows = stored[-2] if len(stored) > 1 else 1
    third = (np.arange(rows) % 3 == 1)[:, None] & np.ones(stored[-1] if stored else 1, dtype=bool)
    if kind == "hidden":
        values = np.full(stored, hidden)
    elif kind == "hidden-rows":
        values = np.where(third, hidden, values)
    elif kind == "lowest":
        values = np.where(third, LOWEST[dtype], values)
    elif kind == "sprinkled":
        values = np.where(rng.random(stored) < 0.3, -np.inf, values)
    elif kind in ("infinite", "nan"):
        values[..., rows // 2, stored[-1] // 2] = np.inf if kind == "infinite" else np.nan
    return place(case.mask_shape, dtype, case.mask_layout, values)
