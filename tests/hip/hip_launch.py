"""Runs a case of the case table through the HIP kernels, in the emulator: what the host's back end does, in Python."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import amd_emulate
import numpy as np
from code_objects import Build, compile_kernels, padded_head_dims, struct_fields

from aule._arrays import LAYOUTS, Array, place
from aule.cases import Case, Inputs

BAND_LIMIT = 2**30
MASK_TYPES = {"none": 0, "bool": 1, "float32": 2, "element": 3}
FEATURES = {"band": 1, "bool_mask": 2, "float_mask": 4, "softcap": 8, "alibi": 16, "sinks": 32, "dropout": 64}
WIDE = {"q": 1, "k": 2, "v": 4, "out": 8, "dout": 16, "dq": 32, "dk": 64, "dv": 128}


def _ctype(name: str) -> Any:
    if name.endswith("*"):
        return ctypes.c_uint64
    if name.endswith("TensorLayout"):
        return _structure("kernels/attention_params.h", "TensorLayout")
    if name.endswith("AttentionParams"):
        return _structure("kernels/attention_params.h", "AttentionParams")
    return {"int": ctypes.c_int32, "uint": ctypes.c_uint32, "float": ctypes.c_float}[name]


@lru_cache
def _structure(header: str, name: str) -> Any:
    """The ctypes twin of a structure, read from the header itself."""
    fields = [(member, _ctype(kind)) for kind, member in struct_fields(header, name)]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


@dataclass(frozen=True)
class Options:
    """How to run: a forced path for tests of paths that a case would not take."""

    features: bool = False  #: the kernel with all features, whatever the case needs
    fold: bool | None = None  #: query heads of a group as rows of one tile; None: for few queries
    splits: int = 1
    flags: tuple[str, ...] = ()
    run: dict[str, Any] = field(default_factory=dict)  #: of the emulator
    results: list[Any] = field(default_factory=list)  #: what the emulator counted, appended


class Memory:
    """Device copies of arrays: one buffer for each base array."""

    def __init__(self) -> None:
        self.buffers: dict[int, Any] = {}
        self.arrays: list[tuple[Array, Any]] = []

    def add(self, array: Array | None, writable: bool = False) -> int:
        """The device address of the array's first element."""
        if array is None:
            return 0
        if id(array.base) not in self.buffers:
            buffer = amd_emulate.Buffer(array.base, writable)
            self.buffers[id(array.base)] = buffer
            if writable:
                self.arrays.append((array, buffer))
        start = array.data.__array_interface__["data"][0] - array.base.__array_interface__["data"][0]
        return int(self.buffers[id(array.base)].address + start)

    def read_back(self) -> None:
        """Device memory into the arrays that kernels may write."""
        for array, buffer in self.arrays:
            array.base[...] = buffer.numpy()


@lru_cache(maxsize=64)
def load(build: Build) -> Any:
    """The code object in the emulator."""
    return amd_emulate.load(compile_kernels(build))


def wide_bits(tensors: dict[str, Array | None], names: tuple[str, ...]) -> int:
    """The kWide bits of these tensors; one that is missing counts as wide."""
    bits = 0
    for name in names:
        array = tensors.get(name)
        bits |= WIDE[name] if array is None or is_wide(array) else 0
    return bits


def round_up(value: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-value // unit) * unit


def is_wide(array: Array) -> bool:
    """Whether 16-byte accesses reach every row: src/hip/kernels/kernel_args.h says when."""
    itemsize = array.data.itemsize
    address = array.data.__array_interface__["data"][0] - array.base.__array_interface__["data"][0]
    strides = array.data.strides
    aligned = all(stride % 16 == 0 for stride, size in zip(strides[:-1], array.shape[:-1], strict=True) if size > 1)
    return (
        (array.shape[-1] == 1 or strides[-1] == itemsize)
        and array.shape[-1] * itemsize % 16 == 0
        and address % 16 == 0
        and aligned
        and 0 <= strides[-2] * max(array.shape[-2], 1) < 2**31
    )


def set_layout(layout: Any, array: Array | None, names: tuple[str, ...]) -> None:
    """Strides in elements of the last len(names) axes; 0 where the array broadcasts."""
    if array is None:
        return
    missing = len(names) - array.data.ndim
    for axis, name in enumerate(names):
        index = axis - missing
        if index >= 0 and array.shape[index] != 1:
            setattr(layout, name, array.data.strides[index] // array.data.itemsize)


AXES = ("batch", "head", "row", "column")


def band(case: Case) -> tuple[int, int]:
    """Causal and window as limits of key - query."""
    offset = 0 if case.causal == "top-left" else case.k[-2] - case.q[-2]
    left, right = case.window
    lower = offset - left if left >= 0 else -BAND_LIMIT
    upper = offset + right if right >= 0 else BAND_LIMIT
    if case.causal != "none":
        upper = min(upper, offset)
    return max(lower, -BAND_LIMIT), min(upper, BAND_LIMIT)


def fill_params(params: Any, inputs: Inputs, tensors: dict[str, Array | None], batch_offset: int) -> int:
    """Sets the parameter block; returns the feature bits."""
    case, q, k = inputs.case, tensors["q"], tensors["k"]
    assert q is not None and k is not None
    params.batch, params.heads_q, params.seq_q, params.head_dim_qk = q.shape
    params.heads_kv, params.seq_k = k.shape[1:3]
    params.head_dim_v = inputs.v.shape[-1]
    params.group_size = params.heads_q // params.heads_kv if params.heads_kv else 1
    params.band_lower, params.band_upper = band(case)
    params.alibi_offset = 0 if case.causal == "top-left" else params.seq_k - params.seq_q
    scale = case.scale
    if scale is None:
        scale = 1 / np.sqrt(params.head_dim_qk) if params.head_dim_qk else 1.0
    params.scale, params.softcap = scale, case.softcap
    params.dropout_threshold = min(int(case.dropout_p * 2**32), 2**32 - 1)
    params.dropout_scale = 0.0 if case.dropout_p >= 1 else 1 / (1 - case.dropout_p)
    params.seed_low, params.seed_high = case.dropout_seed & 0xFFFFFFFF, case.dropout_seed >> 32
    params.batch_head_low = batch_offset * params.heads_q
    params.batch_head_stride = params.heads_q
    params.splits = 1
    for name, array in tensors.items():
        layout = getattr(params, "out_" if name == "out" else name)
        axes = {
            "lse": AXES[:3], "dlse": AXES[:3], "alibi_slopes": AXES[:2], "sinks": ("head",), "dsinks": ("head",),
        }.get(name, AXES)  # fmt: skip
        set_layout(layout, array, axes)
    bits = FEATURES["band"] if (params.band_lower, params.band_upper) != (-BAND_LIMIT, BAND_LIMIT) else 0
    if case.mask:
        bits |= FEATURES["bool_mask" if case.mask == "bool" else "float_mask"]
    for name, used in (
        ("softcap", case.softcap > 0), ("alibi", case.alibi), ("sinks", case.sinks), ("dropout", case.dropout_p > 0),
    ):  # fmt: skip
        bits |= FEATURES[name] if used else 0
    return bits


def slices(inputs: Inputs, outputs: dict[str, Array]) -> Iterator[tuple[dict[str, Array | None], int]]:
    """Tensors as (batch, heads, rows, columns), one set for each index of further leading axes, and its first batch."""
    leading = inputs.case.batch
    outer, batch = leading[:-1], leading[-1:] or (1,)
    all_tensors = {
        "q": inputs.q, "k": inputs.k, "v": inputs.v, "mask": inputs.mask, "alibi_slopes": inputs.alibi_slopes,
        "sinks": inputs.sinks, **outputs,
    }  # fmt: skip
    for number, index in enumerate(itertools.product(*(range(size) for size in outer))):
        tensors: dict[str, Array | None] = {}
        for name, array in all_tensors.items():
            if array is None or name in ("alibi_slopes", "sinks", "dsinks"):
                tensors[name] = array
                continue
            rank = 3 if name in ("lse", "dlse") else 4
            data = array.data
            if name != "mask":
                data = np.broadcast_to(data, (*leading, *data.shape[1 - rank :])) if name in ("q", "k", "v") else data
                data = data[index].reshape(data.shape[len(outer) :]) if outer else data
                data = data if data.ndim == rank else data[None]
            else:  # a mask broadcasts
                own = [
                    0 if size == 1 else i
                    for size, i in zip(data.shape[: max(data.ndim - 4, 0)], index[-8:], strict=False)
                ]
                data = data[tuple(own)]
            tensors[name] = array.view(data)
        yield tensors, number * batch[0]


def run_forward(inputs: Inputs, target: str, options: Options | None = None) -> dict[str, Array]:
    """out and lse of a case, in the layout of q."""
    options = options or Options()
    case = inputs.case
    out = place((*inputs.leading, case.q[-2], case.v[-1]), case.dtype, replace(case.layouts()[0], expand=()))
    lse = place(out.shape[:-1], "float32", LAYOUTS["contiguous"])
    outputs = {"out": out, "lse": lse}
    for tensors, batch_offset in slices(inputs, outputs):
        _run_slice(inputs, tensors, batch_offset, target, options)
    return outputs


def _run_slice(
    inputs: Inputs, tensors: dict[str, Array | None], batch_offset: int, target: str, options: Options
) -> None:
    case = inputs.case
    args = _structure("hip/kernels/kernel_args.h", "ForwardArgs")()
    params = args.params
    args.features = fill_params(params, inputs, tensors, batch_offset)
    memory = Memory()
    for name in ("q", "k", "v", "mask", "alibi_slopes", "sinks"):
        setattr(args, name, memory.add(tensors[name]))
    args.out, args.lse = memory.add(tensors["out"], True), memory.add(tensors["lse"], True)
    args.mask_type = 0
    if case.mask:
        args.mask_type = MASK_TYPES.get("element" if case.mask == "same" else case.mask, 0)
    args.wide = wide_bits(tensors, ("q", "k", "v", "out"))

    build = Build(target, "attention_forward", case.dtype, *padded_head_dims(case.q[-1], case.v[-1]), options.flags)
    code = load(build)
    threads, block_q, block_k, slice_v = (int(x) for x in code.global_array("aule_forward_tiling", np.int32))
    fold = options.fold
    if fold is None:
        fold = params.seq_q * params.group_size <= block_q
    args.fold = params.group_size if fold else 1
    rows = params.seq_q * args.fold
    blocks = (
        -(-rows // block_q) * (params.heads_q // args.fold) * params.batch * max(-(-params.head_dim_v // slice_v), 1)
    )
    if blocks == 0:
        return
    plain = args.features in (0, FEATURES["band"]) and args.wide == 15 and params.scale > 0 and not options.features
    kernel = "aule_forward" if plain else "aule_forward_features"
    buffers = list(memory.buffers.values())
    if options.splits > 1:
        params.splits = options.splits
        params.split_keys = round_up(round_up(params.seq_k, options.splits) // options.splits, block_k)
        partial_rows = options.splits * params.batch * params.heads_q * params.seq_q
        partial = [
            amd_emulate.Buffer(np.full(n, np.nan, np.float32))
            for n in (partial_rows * params.head_dim_v, 2 * partial_rows)
        ]
        args.partial_out, args.partial_statistics = (buffer.address for buffer in partial)
        buffers += partial
    result = code.run(kernel, (blocks * params.splits,), (threads,), [bytes(args)], buffers=buffers, **options.run)
    options.results.append(result)
    if options.splits > 1:
        combine = load(Build(target, "attention_combine", case.dtype, 0, 0))
        rows_of_workgroup, threads = (int(x) for x in combine.global_array("aule_combine_tiling", np.int32))
        grid = -(-params.batch * params.heads_q * params.seq_q // rows_of_workgroup)
        combine.run("aule_combine", (grid,), (threads,), [bytes(args)], buffers=buffers)
    memory.read_back()


#: Gradients that the kernels compute; a mask's is not among them yet.
GRADIENTS = ("q", "k", "v", "sinks")


def run_backward(
    inputs: Inputs, forward: dict[str, Array], target: str, options: Options | None = None
) -> dict[str, Array]:
    """Gradients of a case by the name of their input, in its layout."""
    options = options or Options()
    case = inputs.case
    layouts = dict(zip(("q", "k", "v"), case.layouts(), strict=True))
    gradients: dict[str, Array] = {}
    for name in case.gradients:
        if name in ("q", "k", "v"):
            shape = (*case.batch, *getattr(inputs, name).shape[-3:])
            gradients[name] = place(shape, case.dtype, replace(layouts[name], expand=()))
        elif name == "sinks" and inputs.sinks is not None:
            gradients[name] = place(inputs.sinks.shape, "float32", LAYOUTS["contiguous"], np.zeros(inputs.sinks.shape))
    extra = {f"d{name}": array for name, array in gradients.items()}
    extra["dout"] = place(inputs.dout.shape, case.dtype, LAYOUTS["contiguous"], inputs.dout)
    if inputs.dlse is not None:
        extra["dlse"] = place(inputs.dlse.shape, "float32", LAYOUTS["contiguous"], inputs.dlse)
    for tensors, batch_offset in slices(inputs, forward | extra):
        _run_backward_slice(inputs, tensors, batch_offset, target, options)
    return gradients


def _run_backward_slice(
    inputs: Inputs, tensors: dict[str, Array | None], batch_offset: int, target: str, options: Options
) -> None:
    case = inputs.case
    args = _structure("hip/kernels/kernel_args.h", "BackwardArgs")()
    params = args.params
    args.features = fill_params(params, inputs, tensors, batch_offset)
    params.accumulate = 2
    memory = Memory()
    for name in ("q", "k", "v", "out", "dout", "lse", "dlse", "mask", "alibi_slopes", "sinks"):
        setattr(args, name, memory.add(tensors.get(name)))
    for name in ("dq", "dk", "dv", "dsinks"):
        setattr(args, name, memory.add(tensors.get(name), True))
    if case.mask:
        args.mask_type = MASK_TYPES.get("element" if case.mask == "same" else case.mask, 0)
    args.wide = wide_bits(tensors, ("q", "k", "v", "dout", "dq", "dk", "dv"))
    rows = params.batch * params.heads_q * params.seq_q
    workspace = amd_emulate.Buffer(np.full(max(rows, 1), np.nan, np.float32))
    args.delta = workspace.address
    buffers = [*memory.buffers.values(), workspace]

    def run(code: Any, kernel: str, grid: int, threads: int) -> None:
        if grid > 0:
            options.results.append(code.run(kernel, (grid,), (threads,), [bytes(args)], buffers=buffers, **options.run))

    around = load(Build(target, "attention_delta", case.dtype, 0, 0))
    rows_of_workgroup, threads = (int(x) for x in around.global_array("aule_delta_tiling", np.int32))
    run(around, "aule_delta", -(-rows // rows_of_workgroup), threads)
    if args.dsinks:
        run(around, "aule_sinks_gradient", params.heads_q, threads)
    build = Build(target, "attention_backward", case.dtype, *padded_head_dims(case.q[-1], case.v[-1]), options.flags)
    code = load(build)
    threads, owners, slice_qk, slice_v = (int(x) for x in code.global_array("aule_backward_tiling", np.int32))
    pieces = max(-(-params.head_dim_qk // slice_qk), -(-params.head_dim_v // slice_v), 1) * params.batch
    plain = args.features in (0, FEATURES["band"]) and args.wide == 247 and params.scale > 0 and not options.features
    suffix = "" if plain else "_features"
    if args.dq:
        run(code, f"aule_backward_q{suffix}", -(-params.seq_q // owners) * params.heads_q * pieces, threads)
    if args.dk or args.dv:
        run(code, f"aule_backward_kv{suffix}", -(-params.seq_k // owners) * params.heads_kv * pieces, threads)
    memory.read_back()
