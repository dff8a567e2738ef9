"""The case table: one list that feeds the tests, `aule verify` and the benchmarks.

It lies in the package because `aule verify` runs it on machines that have neither the source tree nor torch;
tests/cases.py re-exports it. A new feature adds a field to `Case`, a line to `make_inputs` and rows here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ._arrays import LAYOUTS
from ._case import FLOAT_DTYPES, QKV, Case, Inputs, make_inputs


def _shapes(
    seq_q: int,
    seq_k: int,
    dim: int = 16,
    *,
    batch: int = 2,
    heads: int = 2,
    heads_kv: int | None = None,
    dim_v: int | None = None,
) -> dict[str, Any]:
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
    for dim, dim_v in ((12, 20), (28, 4)):  # matrix tiles that neither the heads nor whole vectors fill
        yield Case(f"dim-{dim}-{dim_v}-float16", **_shapes(33, 65, dim, batch=1, dim_v=dim_v), dtype="float16")


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
            wanted: tuple[str, ...] = QKV if mask == "bool" else (*QKV, "mask")
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


__all__ = ["FLOAT_DTYPES", "QKV", "Case", "Inputs", "bench_case", "conformance_cases", "make_inputs"]
