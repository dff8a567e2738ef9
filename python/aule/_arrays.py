"""Arrays with any element type and any memory layout, for the case table, `aule verify` and the tests.

NumPy knows no bfloat16, so an `Array` is a NumPy array plus the name of the element type that its bits mean. A
`Layout` says how the values lie in memory; the gaps that it leaves are filled with NaN, so that a kernel which reads
or writes one of them is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._array_ops import DTYPE_CODES

_STORAGE: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),
    "bool": np.dtype(np.bool_),
}
#: Bits after the binary point of a significand.
_FRACTION_BITS = {"float32": 23, "float64": 52, "float16": 10, "bfloat16": 7}
_SMALLEST_EXPONENT = {"float32": -126, "float64": -1022, "float16": -14, "bfloat16": -126}
#: The most negative finite value, as masks of other libraries use it for "hidden".
LOWEST = {
    "float32": float(np.finfo(np.float32).min),
    "float64": float(np.finfo(np.float64).min),
    "float16": -65504.0,
    "bfloat16": -3.3895313892515355e38,
}


def ulp(magnitude: float, dtype: str) -> float:
    """The distance of two neighbouring `dtype` values at `magnitude` (>= 0; not finite counts as 0)."""
    if not np.isfinite(magnitude):
        return 0.0
    exponent = int(np.frexp(magnitude)[1]) - 1 if magnitude > 0 else _SMALLEST_EXPONENT[dtype]
    return float(2.0 ** (max(exponent, _SMALLEST_EXPONENT[dtype]) - _FRACTION_BITS[dtype]))


def encode(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` (floats or bools) rounded to nearest even, as the storage type of `dtype`."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(_STORAGE[dtype])
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    nan = np.isnan(np.asarray(values, dtype=np.float32))
    return np.where(nan, 0x7FC0, rounded).astype(np.uint16).reshape(np.shape(values))


def decode(storage: np.ndarray, dtype: str) -> np.ndarray:
    """The values of a storage array: float64, or bool for a bool array."""
    if dtype == "bfloat16":
        return (storage.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return storage if dtype == "bool" else storage.astype(np.float64)


@dataclass(frozen=True)
class Layout:
    """How an array lies in memory. Axes count from the end (-1 is the last); leading axes keep their place.

    order: the last axes as memory has them, outermost first; (-2, -3, -1) is (batch, seq, heads, dim) memory.
    steps: for the last axes; 2 uses every second element, -1 runs backwards (negative stride).
    expand: axes of stride 0 (all entries along them are the same).
    pad: elements of another tensor beside the last axis, as in a packed QKV buffer. offset: elements before the first.
    """

    order: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    expand: tuple[int, ...] = ()
    pad: int = 0
    offset: int = 0

    def __str__(self) -> str:
        named = [name for name, layout in LAYOUTS.items() if layout == self]
        return named[0] if named else repr(self)

    def collapsed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` with size 1 on the expanded axes: the values that exist."""
        sizes = list(shape)
        for axis in self.expand:
            if -axis <= len(sizes) and sizes[axis] > 1:
                sizes[axis] = 1
        return tuple(sizes)


LAYOUTS = {
    "contiguous": Layout(),
    "bshd": Layout(order=(-2, -3, -1)),
    "packed": Layout(order=(-2, -3, -1), pad=24),
    "transposed": Layout(order=(-1, -2)),
    "heads-last": Layout(order=(-2, -1, -3)),
    "step2": Layout(steps=(2,)),
    "flipped": Layout(steps=(-1, -1)),
    "flipped-rows": Layout(order=(-2, -3, -1), steps=(-1, 1)),
    "offset": Layout(offset=3),
    "expanded-heads": Layout(expand=(-3,)),
    "expanded-rows": Layout(expand=(-2,)),
    "expanded-batch": Layout(expand=(-4,)),
}


def _poison(dtype: str) -> Any:
    return {"bool": True, "bfloat16": 0x7FC1}.get(dtype, np.nan)


@dataclass(frozen=True)
class Array:
    """A strided view and the memory under it. `data` has the storage type of `dtype` (uint16 for bfloat16)."""

    data: np.ndarray
    dtype: str
    base: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    def values(self) -> np.ndarray:
        """float64 (bool for bool)."""
        return decode(self.data, self.dtype)

    def core(self) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
        """The tuple that `aule._core` takes: address, dtype code, sizes, strides in elements."""
        strides = tuple(stride // self.data.itemsize for stride in self.data.strides)
        return int(self.data.__array_interface__["data"][0]), DTYPE_CODES[self.dtype], self.shape, strides

    def view(self, data: np.ndarray) -> Array:
        """Another view of the same memory."""
        return Array(data, self.dtype, self.base)

    def gaps_are_untouched(self) -> bool:
        """Whether the memory between the elements still holds what `place` filled it with. Overwrites the elements."""
        self.data[...] = _poison(self.dtype)
        poison = np.array(_poison(self.dtype), dtype=self.base.dtype)
        return bool(
            np.array_equal(self.base, np.broadcast_to(poison, self.base.shape), equal_nan=self.dtype != "bfloat16")
        )


def place(shape: tuple[int, ...], dtype: str, layout: Layout, values: np.ndarray | None = None) -> Array:
    """A new array of `shape` in `layout`, holding `values` (of shape layout.collapsed(shape)) or else poison."""
    stored = layout.collapsed(shape)
    rank = len(stored)
    order = [rank + axis for axis in layout.order if rank + axis >= 0]
    axes = [axis for axis in range(rank) if axis not in order] + order
    steps = [1] * rank
    for axis, step in zip(range(-1, -rank - 1, -1), reversed(layout.steps), strict=False):
        steps[axis] = step
    extents = [size * abs(step) for size, step in zip(stored, steps, strict=True)]
    extents[-1] += layout.pad
    count = int(np.prod([extents[axis] for axis in axes], dtype=np.int64))
    base = np.full(layout.offset + count, _poison(dtype), dtype=_STORAGE[dtype])
    memory = base[layout.offset :].reshape([extents[axis] for axis in axes])
    view = memory.transpose(np.argsort(axes))
    view = view[..., layout.pad // 2 : extents[-1] - (layout.pad - layout.pad // 2)]
    view = view[tuple(slice(None, None, step) for step in steps)]
    if values is not None:
        view[...] = encode(values, dtype)
    return Array(np.broadcast_to(view, shape) if stored != tuple(shape) else view, dtype, base)
