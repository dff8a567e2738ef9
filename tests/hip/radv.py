"""The Vulkan kernels as Mesa's RADV compiles them for Radeon, executed in the emulator.

scripts/radeon-report's compiler gives the machine code of what the planner would run on a recorded device. Here it gets
memory, a descriptor set and a wave's first registers as RADV's drivers set them up, and runs.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import re
import shutil
import struct
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import numpy as np
from amd_emulate.launch import Engine
from amd_emulate.loader import Kernel, Mem, target_arch
from hip_launch import MASK_TYPES, _structure, fill_params, is_wide, slices

from aule._arrays import LAYOUTS, Array, place
from aule.cases import Inputs

ROOT = Path(__file__).resolve().parents[2]
#: GPU of the report -> what the emulator executes
TARGETS = {"navi31": "gfx1100", "gfx1201": "gfx1201"}
#: RADV reaches descriptors by 32-bit pointers, whose upper half is a constant of the code: `s_movk_i32 s1, 0x8000`. No
#: host memory lies there, so the constant becomes this, and all memory of a launch lies at such addresses.
UPPER_HALF = 0x10
DRIVERS_UPPER_HALF = 0xB0018000
#: Bindings of the tensors: src/kernels/attention_params.h
BINDINGS = {
    "q": 1, "k": 2, "v": 3, "out": 4, "lse": 5, "mask": 6, "alibi_slopes": 7, "sinks": 8, "dout": 9, "dlse": 10,
    "dq": 11, "dk": 12, "dv": 13, "dsinks": 15, "workspace": 16, "workspace2": 18,
}  # fmt: skip
PARAMS = 17
#: Kernels that read all of their push constants: first_task, first_step, last_step.
WITH_STEPS = ("attention_backward_dkv", "attention_backward_dq")
#: Last word of a buffer's descriptor: raw access, checked against its size in bytes.
FORMATS = {"gfx1100": 0x31014000, "gfx1201": 0x31004000}


@lru_cache
def report() -> Any:
    """scripts/radeon-report as a module."""
    loader = SourceFileLoader("radeon_report", str(ROOT / "scripts" / "radeon-report"))
    spec = importlib.util.spec_from_loader("radeon_report", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["radeon_report"] = module
    loader.exec_module(module)
    return module


@lru_cache
def compiler() -> Any:
    """The report's compiler, in a folder of this process: pytest's workers compile the same modules at once."""
    report().run([ROOT / "scripts" / "setup-vkstat"])
    folder = Path(tempfile.mkdtemp(prefix="modules-", dir=report().VKSTAT))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return report().Compiler(folder)


def machine_code(isa: str) -> list[int]:
    """The words behind the instructions of a listing. Equal instructions in a row are listed once."""
    words: list[int] = []
    last: list[int] = []
    for line in isa.splitlines():
        if repeated := re.search(r"then repeated (\d+) times", line):
            words += last * int(repeated.group(1))
        elif line[:1].isspace() and (found := re.search(r";((?: [0-9a-f]{8})+)\s*$", line)):
            last = [int(word, 16) for word in found.group(1).split()]
            words += last
    return words


def bindings_of(module: Path) -> list[int]:
    """The bindings that a SPIR-V module declares, ascending: descriptors lie in this order."""
    words = struct.unpack(f"<{module.stat().st_size // 4}I", module.read_bytes())
    found, at = set(), 5
    while at < len(words):
        if words[at] & 0xFFFF == 71 and words[at + 2] == 33:  # OpDecorate Binding
            found.add(words[at + 3])
        at += words[at] >> 16
    return sorted(found)


class Code:
    """Machine code for the emulator's engine."""

    def __init__(self, words: list[int], target: str, lds: int):
        words = [0xB0010000 | UPPER_HALF if word == DRIVERS_UPPER_HALF else word for word in words]
        code = struct.pack(f"<{len(words)}I", *words)
        self.target, self.arch, self.lds = target, target_arch(target), lds
        self.image = Mem(len(code) + 4096)
        self.image.write(256, code)
        self.base, self.text_lo, self.text_hi = self.image.addr, 256, 256 + len(code)
        self.writable: list[tuple[int, int]] = []
        self.symbols = {"main": (256, len(code), 2)}
        self.kernels: dict[str, Kernel] = {}
        self.engine = Engine(self)

    def symbol_at(self, pc: int) -> str:
        """Where the program counter is."""
        return f"main+{pc - self.base - 256:#x}"

    def run(
        self, wave: int, threads: int, groups: int, registers: list[int], buffers: list[Any], **options: Any
    ) -> Any:
        """`registers`: the first scalar ones; behind them follow the workgroup and the place of the wave in it."""
        size = 4 * len(registers)
        kernel = Kernel(
            "main", 0, {".args": [{".value_kind": "by_value", ".offset": 0, ".size": size}]}, entry=self.base,
            lds=self.lds, kernarg=size, rsrc1=3 << 16, rsrc2=len(registers) << 1 | 1 << 7 | 1 << 10,
            props=(wave == 32) << 10, preload=len(registers),
        )  # fmt: skip
        words = struct.pack(f"<{len(registers)}I", *registers)
        return self.engine.run(kernel, (groups,), (threads,), [words], buffers=buffers, **options)


@lru_cache(maxsize=64)
def load(gpu: str, module: str, constants: tuple[int, ...]) -> tuple[Code, list[int]]:
    """A kernel's machine code and its bindings."""
    kernel = report().Kernel(module, list(constants))
    folder = compiler().folder
    result = compiler().compile(gpu, kernel, "--out", str(folder))
    (isa,) = folder.glob(f"{module}.spv.{gpu}.isa")
    words = machine_code(isa.read_text())
    isa.unlink()
    brief = result["brief"]
    assert 4 * len(words) == brief["code"], "the listing is not the code"
    assert brief["scratch"] == 0, f"{module} uses scratch memory"
    return Code(words, TARGETS[gpu], brief["lds"]), bindings_of(folder / f"{module}.spv")


@dataclass
class Region:
    """A buffer, for the emulator's checks."""

    address: int
    nbytes: int
    writable: bool


class Arena:
    """Memory at addresses that begin with UPPER_HALF."""

    SIZE = 1 << 28

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        read_write, private_anonymous_there = 3, 0x100022
        wanted = UPPER_HALF << 32 | 1 << 20
        self.base = libc.mmap(wanted, self.SIZE, read_write, private_anonymous_there, -1, 0)
        assert self.base == wanted, "the addresses are taken"
        self.used = 0
        self.regions: list[Region] = []

    def clear(self) -> None:
        """Forgets all buffers."""
        self.used, self.regions = 0, []

    def add(self, data: bytes, writable: bool = False) -> Region:
        """A new buffer."""
        region = Region(self.base + self.used, len(data), writable)
        self.used += (len(data) + 511) // 256 * 256
        assert self.used <= self.SIZE, "too little memory"
        ctypes.memmove(region.address, data, len(data))
        self.regions.append(region)
        return region


arena = lru_cache(Arena)


class Launch:
    """The memory of one call: tensors, parameters, descriptors."""

    def __init__(self, gpu: str, tensors: dict[str, Array | None], params: Any, written: tuple[str, ...]):
        self.gpu, self.params = gpu, params
        arena().clear()
        self.ranges: dict[int, Region] = {}
        self.outputs: list[tuple[Array, Region]] = []
        bases: dict[int, Region] = {}
        for name, array in tensors.items():
            if array is None:
                continue
            writable = name in written
            if id(array.base) not in bases:
                padding = bytes(-array.base.nbytes % 16)  # masks of bytes are read as words
                bases[id(array.base)] = arena().add(array.base.tobytes() + padding, writable)
            region = self.ranges[BINDINGS[name]] = bases[id(array.base)]
            if writable:
                self.outputs.append((array, region))
            start = array.data.__array_interface__["data"][0] - array.base.__array_interface__["data"][0]
            getattr(params, "out_" if name == "out" else name).offset = start // array.data.itemsize

    def add(self, binding: int, size: int) -> None:
        """A plain range of NaNs."""
        if size:
            self.ranges[binding] = arena().add(b"\xff" * size, True)

    def run(self, kernel: dict[str, Any], **options: Any) -> Any:
        """One pass of a plan."""
        constants = kernel["constants"]
        code, bindings = load(self.gpu, kernel["module"], tuple(constants))
        self.ranges[PARAMS] = arena().add(bytes(self.params))
        words: list[int] = []
        for binding in bindings:
            if binding not in self.ranges:  # declared, and not used with these constants
                self.ranges[binding] = arena().add(bytes(256))
            region = self.ranges[binding]
            words += [region.address & 0xFFFFFFFF, region.address >> 32, region.nbytes, FORMATS[TARGETS[self.gpu]]]
        descriptors = arena().add(struct.pack(f"<{len(words)}I", *words))
        registers = [descriptors.address & 0xFFFFFFFF, kernel["first_task"]]
        if kernel["module"].rsplit("_", 1)[0] in WITH_STEPS:
            assert kernel["parts"] == 1
            registers += kernel["steps"]
        return code.run(constants[0], constants[1], kernel["tasks"], registers, arena().regions, **options)

    def read_back(self) -> None:
        """Device memory into the arrays that the kernels write."""
        for array, region in self.outputs:
            data = ctypes.string_at(region.address, array.base.nbytes)
            array.base[...] = np.frombuffer(data, array.base.dtype).reshape(array.base.shape)


def make_plan(
    inputs: Inputs, gpu: str, kind: str, tensors: dict[str, Array | None], batch_offset: int
) -> tuple[dict[str, Any], Any]:
    """What the planner would run for a slice of a case, and the parameters."""
    case = inputs.case
    params = _structure("kernels/attention_params.h", "AttentionParams")()
    features = fill_params(params, inputs, tensors, batch_offset) | 1 << 8 | (tensors.get("dlse") is not None) << 12
    mask = "none" if not case.mask else "element" if case.mask == "same" else case.mask
    mask = mask if mask in MASK_TYPES else "none"
    rows = [tensors.get(name) for name in ("q", "k", "v", "out", "dout", "dq", "dk", "dv")]
    wide = all(is_wide(array) for array in rows if array is not None)
    sizes = [params.batch, params.heads_q, params.heads_kv, params.seq_q, params.seq_k, params.head_dim_qk]
    words = [kind, case.dtype, *sizes, params.head_dim_v, features, mask, int(wide)]
    plan = compiler().plan(gpu, " ".join(map(str, words)))
    params.splits, params.split_keys = plan["splits"], plan["split_keys"]
    return plan, params


def run_plan(plan: dict[str, Any], launch: Launch, **options: Any) -> list[str]:
    """All passes, one after another."""
    launch.add(BINDINGS["workspace"], plan["workspace_bytes"])
    launch.add(BINDINGS["workspace2"], plan["workspace2_bytes"])
    for kernel in plan["passes"]:
        launch.run(kernel, **options)
    launch.read_back()
    return [kernel["module"] for kernel in plan["passes"]]


def run_forward(inputs: Inputs, gpu: str, scalar: bool = False, **options: Any) -> tuple[dict[str, Array], list[str]]:
    """out and lse of a case, and the modules that made them. scalar: without matrix units."""
    case = inputs.case
    out = place((*inputs.leading, case.q[-2], case.v[-1]), case.dtype, replace(case.layouts()[0], expand=()))
    lse = place(out.shape[:-1], "float32", LAYOUTS["contiguous"])
    outputs = {"out": out, "lse": lse}
    modules: list[str] = []
    for tensors, batch_offset in slices(inputs, outputs):
        plan, params = make_plan(inputs, gpu, "scalar" if scalar else "forward", tensors, batch_offset)
        modules += run_plan(plan, Launch(gpu, tensors, params, ("out", "lse")), **options)
    return outputs, modules


def run_backward(
    inputs: Inputs, forward: dict[str, Array], gpu: str, **options: Any
) -> tuple[dict[str, Array], list[str]]:
    """Gradients of q, k and v by name, in their layouts, and the modules."""
    case = inputs.case
    gradients = {
        name: place((*case.batch, *getattr(inputs, name).shape[-3:]), case.dtype, replace(layout, expand=()))
        for name, layout in zip(("q", "k", "v"), case.layouts(), strict=True)
    }
    extra = {f"d{name}": array for name, array in gradients.items()}
    extra["dout"] = place(inputs.dout.shape, case.dtype, LAYOUTS["contiguous"], inputs.dout)
    if inputs.dlse is not None:
        extra["dlse"] = place(inputs.dlse.shape, "float32", LAYOUTS["contiguous"], inputs.dlse)
    modules: list[str] = []
    for tensors, batch_offset in slices(inputs, forward | extra):
        plan, params = make_plan(inputs, gpu, "backward", tensors, batch_offset)
        modules += run_plan(plan, Launch(gpu, tensors, params, ("dq", "dk", "dv")), **options)
    return gradients, modules
