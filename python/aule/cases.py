"""The case table: one list that feeds the tests, `aule verify` and the benchmarks.

It lies in the package because `aule verify` runs it on machines that have neither the source tree nor torch; tests/cases.py
re-exports it. A new feature adds a field to `Case`, a line to `make_inputs` and rows to `conformance_cases`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ._arrays import LAYOUTS, LOWEST, Array, Layout, encode, place
from ._oracle import Rules

FLOAT_DTYPES = ("float32", "float16", "bfloat16", "float64")
QKV = ("q", "k", "v")


@dataclass(frozen=True)
class Case:
    """One attention call, its inputs drawn from `name` and `seed`.

    q (..., heads_q, seq_q, head_dim_qk), k (..., heads_kv, seq_k, head_dim_qk), v (..., heads_kv, seq_k, head_dim_v).
    causal: none, top-left, bottom-right. window: keys to the left and right, -1 unlimited.
    mask: None, bool, float32, or "same" for q's dtype. mask_shape broadcasts, right-aligned, to (..., heads_q, seq_q, seq_k).
    mask_values: random, hidden-rows, hidden, lowest, sprinkled (-inf), infinite (a +inf), nan, padded-left, padded-right.
    alibi: None, "heads" (heads_q) or "batch" (batch, heads_q) slopes. values: what q, k, v hold (normal, large, nan-row, rising, zero).
    layout, mask_layout: a `Layout`, or one for each of q, k, v. gradients: which of q, k, v, mask, sinks; "lse" feeds a dlse.
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
        return max(self.q[-3] if len(self.q) > 2 else 1, self.heads_kv)

    @property
    def heads_kv(self) -> int:
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
        """Multiplications and additions of the matrix products: two in forward, five more in backward (S, dP, dV, dK, dQ)."""
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


def _shapes(
    seq_q: int,
    seq_k: int,
    dim: int = 16,
    *,
    batch: int = 2,
    heads: int = 2,
    heads_kv: int | None = None,
    dim_v: int | None = None,
) -> dict[str, tuple[int, ...]]:
    heads_kv = heads if heads_kv is None else heads_kv
    return {
        "q": (batch, heads, seq_q, dim),
        "k": (batch, heads_kv, seq_k, dim),
        "v": (batch, heads_kv, seq_k, dim if dim_v is None else dim_v),
    }


def _ranks() -> Iterator[Case]:
    for lead in ((), (2,), (2, 3), (2, 1, 3), (2, 1, 2, 3)):
        yield Case(f"rank-{len(lead) + 2}", (*lead, 5, 16), (*lead, 9, 16), (*lead, 9, 8))
    yield Case("rank-q2-k4", (5, 16), (2, 3, 9, 16), (2, 3, 9, 16))
    yield Case("rank-q4-k3-v2", (2, 3, 5, 16), (3, 9, 16), (9, 16))
    yield Case(
        "rank-5-causal-gqa",
        (2, 2, 4, 17, 16),
        (2, 2, 2, 17, 16),
        (2, 2, 2, 17, 16),
        causal="top-left",
        dtype="bfloat16",
    )
    yield Case("rank-5-dropout", (2, 2, 2, 9, 16), (2, 2, 2, 9, 16), (2, 2, 2, 9, 16), dropout_p=0.5)


SIZES = (0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000)


def _sizes() -> Iterator[Case]:
    for index, size in enumerate(SIZES):
        other = SIZES[(index * 8 + 3) % len(SIZES)]
        kinds = ("none", "top-left", "bottom-right")
        half = ("float16", "bfloat16")[index % 2]
        shapes = {"heads": 1} if size == 1000 else {}
        yield Case(f"size-{size}x{size}", **_shapes(size, size, **shapes), causal=kinds[index % 3])
        yield Case(f"size-{size}x{other}", **_shapes(size, other, 32), causal=kinds[(index + 1) % 3])
        yield Case(f"size-{other}x{size}-{half}", **_shapes(other, size, 32), dtype=half, causal=kinds[(index + 2) % 3])
    yield Case("size-batch-0", **_shapes(5, 7, batch=0))
    yield Case("size-heads-0", **_shapes(5, 7, heads=0))
    yield Case("size-head-dim-0", **_shapes(5, 7, 0, dim_v=8))
    yield Case("size-head-dim-v-0", **_shapes(5, 7, 8, dim_v=0))
    yield Case("size-no-keys-mask", **_shapes(5, 0), mask="bool", mask_shape=(5, 0))
    yield Case("size-many-heads", **_shapes(2, 3, 4, batch=300, heads=220))
    yield Case("size-many-queries", **_shapes(70000, 3, 8, batch=1, heads=1))
    yield Case("size-many-keys", **_shapes(3, 70000, 8, batch=1, heads=1))


HEAD_DIMS = (1, 8, 16, 32, 40, 64, 72, 80, 96, 112, 128, 160, 192, 224, 256, 384, 512, 576)


def _head_dims() -> Iterator[Case]:
    for index, dim in enumerate(HEAD_DIMS):
        for dtype in ("float32", ("float16", "bfloat16")[index % 2]):
            yield Case(f"dim-{dim}-{dtype}", **_shapes(33, 65, dim, batch=1), dtype=dtype)
    for dim, dim_v in ((192, 128), (576, 512), (64, 128), (128, 64), (7, 3), (3, 7)):
        for dtype in ("float32", "bfloat16"):
            yield Case(
                f"dim-{dim}-{dim_v}-{dtype}",
                **_shapes(33, 65, dim, batch=1, dim_v=dim_v),
                dtype=dtype,
                causal="bottom-right",
            )


def _dtypes() -> Iterator[Case]:
    for dtype in FLOAT_DTYPES:
        yield Case(f"dtype-{dtype}", **_shapes(64, 64, 32), dtype=dtype)
        yield Case(f"dtype-{dtype}-lse", **_shapes(33, 49, 32), dtype=dtype, gradients=(*QKV, "lse"))
        if dtype != "float64":
            yield Case(f"dtype-{dtype}-512", **_shapes(512, 512, 64, batch=1), dtype=dtype)
            yield Case(f"dtype-{dtype}-512-causal", **_shapes(512, 512, 128, batch=1), dtype=dtype, causal="top-left")
            yield Case(f"dtype-{dtype}-long", **_shapes(3, 5000, 64, batch=1), dtype=dtype)


def _broadcast() -> Iterator[Case]:
    for name, q, k, v in (
        ("q-batch", (1, 4), (2, 4), (2, 4)),
        ("k-batch", (2, 4), (1, 4), (2, 4)),
        ("v-batch", (2, 4), (2, 4), (1, 4)),
        ("q-heads", (2, 1), (2, 4), (2, 4)),
        ("kv-heads", (2, 4), (2, 1), (2, 1)),
        ("k-heads", (2, 4), (2, 1), (2, 4)),
        ("all", (1, 4), (3, 1), (1, 1)),
    ):
        yield Case(f"broadcast-{name}", (*q, 9, 16), (*k, 17, 16), (*v, 17, 8), causal="bottom-right")


def _masks() -> Iterator[Case]:
    batch, heads, seq_q, seq_k = 2, 3, 17, 33
    shapes = {
        "LS": (seq_q, seq_k),
        "1S": (1, seq_k),
        "L1": (seq_q, 1),
        "S": (seq_k,),
        "HLS": (heads, seq_q, seq_k),
        "B1LS": (batch, 1, seq_q, seq_k),
        "1HLS": (1, heads, seq_q, seq_k),
        "B11S": (batch, 1, 1, seq_k),
        "BH1S": (batch, heads, 1, seq_k),
        "BHLS": (batch, heads, seq_q, seq_k),
        "1111": (1, 1, 1, 1),
    }
    common = _shapes(seq_q, seq_k, heads=heads, batch=batch)
    for letters, shape in shapes.items():
        for mask, dtype in (("bool", "float32"), ("float32", "float32"), ("float32", "bfloat16"), ("same", "float16")):
            wanted = QKV if mask == "bool" else (*QKV, "mask")
            yield Case(
                f"mask-{letters}-{mask}-{dtype}", **common, dtype=dtype, mask=mask, mask_shape=shape, gradients=wanted
            )
    full = (batch, heads, seq_q, seq_k)
    for values in ("hidden-rows", "hidden", "padded-left", "padded-right"):
        for mask, dtype in (("bool", "float32"), ("float32", "float32"), ("bool", "bfloat16"), ("same", "float16")):
            yield Case(
                f"mask-{values}-{mask}-{dtype}", **common, dtype=dtype, mask=mask, mask_shape=full, mask_values=values
            )
    for values in ("lowest", "sprinkled", "infinite", "nan"):
        for dtype in FLOAT_DTYPES:
            wanted = () if values in ("infinite", "nan") else (*QKV, "mask")
            yield Case(
                f"mask-{values}-{dtype}",
                **common,
                dtype=dtype,
                mask="same",
                mask_shape=full,
                mask_values=values,
                gradients=wanted,
            )
    yield Case("mask-float64", **common, dtype="float64", mask="same", mask_shape=full, gradients=(*QKV, "mask"))
    yield Case(
        "mask-float32-float64", **common, dtype="float64", mask="float32", mask_shape=full, gradients=(*QKV, "mask")
    )
    for layout in ("expanded-heads", "expanded-rows", "transposed", "step2", "flipped", "offset"):
        for mask in ("bool", "float32"):
            wanted = QKV if mask == "bool" else (*QKV, "mask")
            yield Case(
                f"mask-{mask}-{layout}",
                **common,
                mask=mask,
                mask_shape=full,
                mask_layout=LAYOUTS[layout],
                gradients=wanted,
            )
    for causal in ("top-left", "bottom-right"):
        yield Case(f"mask-and-{causal}", **common, mask="bool", mask_shape=full, causal=causal)
        yield Case(
            f"mask-padded-{causal}",
            **common,
            mask="bool",
            mask_shape=(batch, 1, 1, seq_k),
            mask_values="padded-left",
            causal=causal,
        )
    yield Case(
        "mask-gqa",
        **_shapes(17, 33, heads=6, heads_kv=2),
        mask="float32",
        mask_shape=(6, 17, 33),
        gradients=(*QKV, "mask"),
    )
    yield Case(
        "mask-large", **_shapes(130, 300, 64, batch=1), mask="float32", mask_shape=(130, 300), gradients=(*QKV, "mask")
    )
    yield Case(
        "mask-large-bool-bf16", **_shapes(300, 515, 64, batch=1), mask="bool", mask_shape=(300, 515), dtype="bfloat16"
    )


def _bands() -> Iterator[Case]:
    for seq_q, seq_k in ((33, 33), (1, 5), (5, 1), (17, 40), (40, 17), (200, 300)):
        for causal in ("top-left", "bottom-right"):
            yield Case(
                f"{causal}-{seq_q}x{seq_k}", **_shapes(seq_q, seq_k, heads=4, heads_kv=2, dim_v=24), causal=causal
            )
            yield Case(f"{causal}-{seq_q}x{seq_k}-bf16", **_shapes(seq_q, seq_k, 64), causal=causal, dtype="bfloat16")
    for left, right in ((3, -1), (-1, 2), (4, 4), (0, 0), (40, 0), (500, 500)):
        for seq_q, seq_k in ((50, 50), (20, 45), (45, 20)):
            yield Case(f"window-{left},{right}-{seq_q}x{seq_k}", **_shapes(seq_q, seq_k), window=(left, right))
        yield Case(
            f"window-{left},{right}-bottom-right", **_shapes(20, 45), window=(left, right), causal="bottom-right"
        )
        yield Case(f"window-{left},{right}-top-left", **_shapes(20, 45), window=(left, right), causal="top-left")
    for dtype in FLOAT_DTYPES:
        shapes = _shapes(260, 260, 64, batch=1, heads=2, heads_kv=1) if dtype != "float64" else _shapes(60, 60)
        yield Case(f"window-long-{dtype}", **shapes, window=(30, -1), causal="bottom-right", dtype=dtype)


def _groups() -> Iterator[Case]:
    for ratio in (1, 2, 3, 4, 7, 8, 32):
        yield Case(f"gqa-{ratio}", **_shapes(9, 33, heads=2 * ratio, heads_kv=2))
        yield Case(
            f"gqa-{ratio}-mqa-bf16",
            **_shapes(9, 33, 64, heads=ratio, heads_kv=1),
            causal="bottom-right",
            dtype="bfloat16",
        )
    yield Case("gqa-3d", (4, 9, 16), (2, 17, 16), (2, 17, 16))
    yield Case("gqa-unequal-kv", (2, 4, 9, 16), (2, 2, 17, 16), (2, 4, 17, 16), gradients=QKV)
    for dtype in FLOAT_DTYPES:
        for keys in (64, 1025):
            yield Case(f"decode-{keys}-{dtype}", **_shapes(1, keys, 64, batch=1, heads=8, heads_kv=2), dtype=dtype)
    for dtype in ("float32", "float16", "bfloat16"):
        yield Case(
            f"decode-bottom-right-{dtype}",
            **_shapes(3, 2049, 128, batch=1, heads=8, heads_kv=2),
            dtype=dtype,
            causal="bottom-right",
        )
        yield Case(
            f"decode-padded-{dtype}",
            **_shapes(1, 1500, 64, heads=4, heads_kv=2),
            dtype=dtype,
            mask="bool",
            mask_shape=(2, 1, 1, 1500),
            mask_values="padded-left",
        )
        yield Case(
            f"decode-window-{dtype}",
            **_shapes(1, 3000, 64, heads=4, heads_kv=2),
            dtype=dtype,
            causal="bottom-right",
            window=(100, -1),
        )
    yield Case(
        "decode-everything", **_shapes(2, 3000, 64, heads=4, heads_kv=2), **_EVERYTHING, mask_shape=(2, 4, 2, 3000)
    )


def _scales() -> Iterator[Case]:
    for scale in (0.0, -0.5, 2.0, 1e3, float("nan")):
        for causal in ("none", "top-left"):
            wanted = QKV if scale == scale else ()
            yield Case(f"scale-{scale}-{causal}", **_shapes(20, 20), scale=scale, causal=causal, gradients=wanted)


def _layouts() -> Iterator[Case]:
    common = _shapes(19, 37, 24, batch=2, heads=4)
    for name, layout in LAYOUTS.items():
        for dtype in ("float32", "bfloat16"):
            yield Case(f"layout-{name}-{dtype}", **common, dtype=dtype, layout=layout)
    mixed = (LAYOUTS["bshd"], LAYOUTS["flipped"], LAYOUTS["step2"])
    for dtype in FLOAT_DTYPES:
        yield Case(
            f"layout-mixed-{dtype}", **common, dtype=dtype, layout=mixed, causal="bottom-right", gradients=(*QKV, "lse")
        )


def _gradients() -> Iterator[Case]:
    for wanted in (("q",), ("k",), ("v",), ("q", "v"), ("lse", *QKV)):
        yield Case(
            f"gradient-{'-'.join(wanted)}",
            **_shapes(17, 33, heads=4, heads_kv=2),
            gradients=wanted,
            causal="bottom-right",
        )
    common = _shapes(17, 33, heads=4, heads_kv=2)
    yield Case("gradient-mask-only", **common, mask="float32", mask_shape=(4, 17, 33), gradients=("mask",))
    yield Case("gradient-sinks-only", **common, sinks=True, gradients=("sinks",))


_EVERYTHING: dict[str, Any] = {
    "causal": "bottom-right",
    "window": (25, -1),
    "softcap": 3.0,
    "dropout_p": 0.2,
    "mask": "float32",
    "alibi": "batch",
    "sinks": True,
    "gradients": (*QKV, "mask", "sinks", "lse"),
}


def _features() -> Iterator[Case]:
    for dtype in FLOAT_DTYPES:
        common = {**_shapes(37, 41, 32, heads=4, heads_kv=2), "dtype": dtype}
        for causal in ("none", "top-left", "bottom-right"):
            yield Case(f"softcap-{causal}-{dtype}", **common, softcap=1.5, causal=causal)
            yield Case(f"alibi-{causal}-{dtype}", **common, alibi="heads", causal=causal)
            yield Case(f"sinks-{causal}-{dtype}", **common, sinks=True, causal=causal, gradients=(*QKV, "sinks"))
        yield Case(f"alibi-batch-{dtype}", **common, alibi="batch")
        yield Case(f"dropout-{dtype}", **common, dropout_p=0.3)
        yield Case(
            f"softcap-mask-{dtype}", **common, softcap=30.0, mask="same", mask_shape=(37, 41), gradients=(*QKV, "mask")
        )
        yield Case(
            f"sinks-hidden-rows-{dtype}",
            **common,
            sinks=True,
            mask="bool",
            mask_shape=(37, 41),
            mask_values="hidden-rows",
            gradients=(*QKV, "sinks", "lse"),
        )
        yield Case(f"everything-{dtype}", **common, **_EVERYTHING, mask_shape=(2, 1, 37, 41))
        yield Case(f"everything-bshd-{dtype}", **common, **_EVERYTHING, mask_shape=(4, 37, 41), layout=LAYOUTS["bshd"])
    yield Case(
        "everything-long", **_shapes(140, 270, 64, heads=4, heads_kv=2, dim_v=48), **_EVERYTHING, mask_shape=(140, 270)
    )
    for p in (0.1, 0.5, 1.0):
        yield Case(f"dropout-{p}-causal", **_shapes(130, 130, 32), dropout_p=p, causal="top-left")
    yield Case("dropout-seed-0", **_shapes(33, 35), dropout_p=0.5, dropout_seed=0)
    yield Case("dropout-seed-max", **_shapes(33, 35), dropout_p=0.5, dropout_seed=2**64 - 1)


def _values() -> Iterator[Case]:
    for dtype in FLOAT_DTYPES:
        yield Case(f"values-large-{dtype}", **_shapes(20, 40), dtype=dtype, values="large")
        yield Case(f"values-nan-row-{dtype}", **_shapes(20, 40), dtype=dtype, values="nan-row", gradients=())
        yield Case(f"values-nan-key-{dtype}", **_shapes(20, 40), dtype=dtype, values="nan-key", gradients=())
        yield Case(f"values-infinite-key-{dtype}", **_shapes(20, 40), dtype=dtype, values="infinite-key", gradients=())
        yield Case(f"values-zero-{dtype}", **_shapes(20, 40), dtype=dtype, values="zero")
        keys = 1500 if dtype != "float64" else 150
        yield Case(f"values-rising-{dtype}", **_shapes(5, keys, 32), dtype=dtype, values="rising")
    yield Case("values-nan-row-causal", **_shapes(20, 40), values="nan-row", causal="bottom-right", gradients=())
    yield Case("values-nan-row-decode", **_shapes(1, 700, heads=4, heads_kv=2), values="nan-row", gradients=())


_AXES = {
    "rank": _ranks, "size": _sizes, "head dim": _head_dims, "dtype": _dtypes, "broadcast": _broadcast, "mask": _masks,
    "causal, window": _bands, "heads": _groups, "scale": _scales, "layout": _layouts, "gradient": _gradients,
    "feature": _features, "values": _values,
}  # fmt: skip


@lru_cache
def conformance_cases() -> tuple[Case, ...]:
    """Every case that a back end has to get right, in the order of sdpa-contract section 4. Names are unique."""
    cases = tuple(replace(case, axis=axis) for axis, make in _AXES.items() for case in make())
    names = [case.name for case in cases]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated, f"case names occur twice: {sorted(repeated)}"
    return cases


def bench_case(
    name: str, batch: int, heads: int, seq_q: int, seq_k: int, dim: int, *, heads_kv: int | None = None, **fields: Any
) -> Case:
    """A case of a benchmark: plain shapes, no verification of its own."""
    return Case(name, **_shapes(seq_q, seq_k, dim, batch=batch, heads=heads, heads_kv=heads_kv), **fields)


__all__ = ["FLOAT_DTYPES", "QKV", "Case", "Inputs", "bench_case", "conformance_cases", "encode", "make_inputs"]
