"""The rows of the benchmarks, and the factors over PyTorch that they have to reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ._bench import Row
from .cases import bench_case

#: PyTorch's time / ours, the geometric mean of a group: what issue 3 asks of the CPU back end.
CPU_GATES = {
    "float32 forward": 1.2,
    "float32 forward+backward": 1.1,
    "float16 forward": 1.2,
    "bfloat16 forward": 1.0,
    "bfloat16 forward+backward": 1.2,
    "decode": 3.0,
    "short calls": 1.0,
}
#: Matrix-product work of a row: 20-300 ms at the 40-400 GFLOP/s that one or two cores reach.
_ROW_GFLOP = {"float32": 8.0, "float16": 8.0, "bfloat16": 16.0}


def _heads(seq: int, dim: int, dtype: str, backward: bool) -> int:
    """At least 2: PyTorch's backward gives a thread whole heads, one head would leave it a single thread."""
    per_head = 4e-9 * seq * seq * dim * (3.5 if backward else 1.0)
    return max(2, min(32, round(_ROW_GFLOP[dtype] / per_head)))


def _training_rows(
    dtype: str, backward: bool, lengths: tuple[int, ...], dims: tuple[int, ...], threads: tuple[int, ...]
) -> Iterator[Row]:
    group = f"{dtype} {'forward+backward' if backward else 'forward'}"
    for seq in lengths:
        for dim in dims:
            for causal in ("none", "top-left"):
                heads = _heads(seq, dim, dtype, backward)
                name = f"S={seq} D={dim} H={heads}{' causal' if causal != 'none' else ''}"
                case = bench_case(name, 1, heads, seq, seq, dim, dtype=dtype, causal=causal)
                for count in threads:
                    yield Row(group, case, count, backward)


def _decode_rows(lengths: tuple[int, ...], threads: tuple[int, ...]) -> Iterator[Row]:
    for dtype in ("float32", "float16", "bfloat16"):
        for keys in lengths:
            case = bench_case(f"{dtype} 32/8 heads, {keys} keys", 1, 32, 1, keys, 128, heads_kv=8, dtype=dtype)
            for count in threads:
                yield Row("decode", case, count)


def _short_rows(lengths: tuple[int, ...], threads: tuple[int, ...]) -> Iterator[Row]:
    for dtype in ("float32", "bfloat16"):
        for seq in lengths:
            for heads in (1, 8):
                case = bench_case(f"{dtype} S={seq} H={heads}", 1, heads, seq, seq, 64, dtype=dtype)
                for count in threads:
                    yield Row("short calls", case, count)


def cpu_suite(threads: tuple[int, ...] = (1, 2), quick: bool = False) -> list[Row]:
    """The suite of issue 3, on the CPU. quick: a row or two of each group, to see that everything works."""
    lengths, dims = ((256,), (64,)) if quick else ((1024, 4096), (64, 128))
    rows: list[Row] = []
    for dtype, backward in (
        ("float32", False), ("float32", True), ("float16", False), ("bfloat16", False), ("bfloat16", True),
    ):  # fmt: skip
        rows += _training_rows(dtype, backward, lengths, dims, threads)
    rows += _decode_rows((1024,) if quick else (4096, 8192, 16384, 32768), threads)
    rows += _short_rows((16,) if quick else (16, 32, 64, 128), threads)
    return [replace(row, backend="cpu") for row in rows]


def default_suite(threads: tuple[int, ...]) -> list[Row]:
    """What `aule bench` runs when it is asked for nothing else: a minute's worth of the suite."""
    rows: list[Row] = []
    for dtype, backward in (
        ("float32", False),
        ("float32", True),
        ("float16", False),
        ("bfloat16", False),
        ("bfloat16", True),
    ):
        rows += _training_rows(dtype, backward, (1024,), (64,), threads)
    rows += _decode_rows((4096,), threads)
    rows += _short_rows((32,), threads)
    return rows
