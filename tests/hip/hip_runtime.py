"""The fake HIP runtime (fake_hip/) in this process: built, made the library's, its launches executed in the emulator.

Importing this module sets AULE_HIP_LIBRARY, which `aule` reads at its first use of a back end: conftest.py does it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from code_objects import CACHE

SOURCE = Path(__file__).parent / "fake_hip" / "fake_hip.cpp"
#: Numbers of the fake's devices by architecture; the last one has no code in the library.
DEVICES = {"gfx1100": 0, "gfx942": 1, "gfx90a": 2, "gfx1201": 3, "gfx1151": 4, "gfx906": 5}
OUT_OF_MEMORY, INVALID_DEVICE_FUNCTION, ILLEGAL_ADDRESS, LAUNCH_FAILURE = 2, 98, 700, 719

_ARGUMENT_BYTES = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_EXECUTE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p,
    ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t,
)  # fmt: skip


@dataclass(frozen=True)
class Launch:
    """What a launch was, for tests that look at the way and not at the result."""

    kernel: str
    groups: int
    threads: int
    target: str


#: Launches since the test began, and what the emulator said of one that went wrong.
launches: list[Launch] = []
complaints: list[str] = []


@dataclass
class _Range:
    """A block of device memory, as the emulator wants a buffer."""

    address: int
    nbytes: int
    writable: bool = True


def _build() -> Path:
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:20]
    path = CACHE / f"fake_hip.{digest}.so"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        compiler = os.environ.get("CXX", "c++")
        subprocess.run(
            [compiler, "-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", str(SOURCE), "-o", str(partial)],
            check=True,
        )
        partial.rename(path)
    return path


@lru_cache(maxsize=64)
def _code(data: bytes) -> Any:
    import amd_emulate.loader

    return amd_emulate.loader.CodeObject(data)


@_ARGUMENT_BYTES
def _argument_bytes(code: int, size: int, kernel: bytes) -> int:
    """The size of the kernel's one argument, a structure; 0 if there is no such kernel."""
    found = _code(ctypes.string_at(code, size)).kernels.get(kernel.decode())
    if found is None:
        return 0
    visible = [a[".size"] for a in found.meta.get(".args", []) if not a[".value_kind"].startswith("hidden_")]
    return int(visible[0]) if len(visible) == 1 else 0


@_EXECUTE
def _execute(
    code: int, size: int, kernel: bytes, groups: int, threads: int, arguments: int, count: int, ranges: Any, blocks: int
) -> int:
    try:
        loaded = _code(ctypes.string_at(code, size))
        launches.append(Launch(kernel.decode(), groups, threads, loaded.target))
        buffers = [_Range(ranges[2 * i], ranges[2 * i + 1]) for i in range(blocks)]
        loaded.run(kernel.decode(), (groups,), (threads,), [ctypes.string_at(arguments, count)], buffers=buffers)
    except Exception as error:  # nothing may be thrown through the library's frames
        complaints.append(f"{type(error).__name__}: {error}")
        return ILLEGAL_ADDRESS if "out-of-bounds" in str(error) else LAUNCH_FAILURE
    return 0


os.environ["AULE_HIP_LIBRARY"] = str(_build())
hip = ctypes.CDLL(os.environ["AULE_HIP_LIBRARY"])
hip.fake_hip_set_executor(_argument_bytes, _execute)
hip.fake_hip_live_blocks.restype = ctypes.c_size_t


def reset() -> None:
    """Forgets errors, counts and launches."""
    hip.fake_hip_reset()
    launches.clear()
    complaints.clear()


def fail(function: str, error: int, after: int = 0) -> None:
    """Call number `after` (from 0) of a HIP function returns `error`, once."""
    hip.fake_hip_fail(function.encode(), error, after)


def calls(function: str) -> int:
    """Calls of a HIP function since `reset`."""
    return int(hip.fake_hip_calls(function.encode()))


def expect(result: int) -> None:
    """A call of the test's own must succeed."""
    assert result == 0, f"HIP error {result}; {complaints}"


@contextmanager
def stream(device: int) -> Iterator[ctypes.c_void_p]:
    """A stream of the test's own, as PyTorch has them; waited for and destroyed at the end."""
    before, handle = ctypes.c_int(), ctypes.c_void_p()
    expect(hip.hipGetDevice(ctypes.byref(before)))
    expect(hip.hipSetDevice(device))
    expect(hip.hipStreamCreateWithFlags(ctypes.byref(handle), 1))
    expect(hip.hipSetDevice(before.value))
    try:
        yield handle
    finally:
        hip.hipStreamDestroy(handle)


class Block:
    """Device memory that a test owns, with the bytes of a host array."""

    def __init__(self, data: Any, device: int) -> None:
        before, self.address = ctypes.c_int(), ctypes.c_void_p()
        expect(hip.hipGetDevice(ctypes.byref(before)))
        expect(hip.hipSetDevice(device))
        expect(hip.hipMalloc(ctypes.byref(self.address), ctypes.c_size_t(max(data.nbytes, 1))))
        expect(hip.hipSetDevice(before.value))
        self.data = data
        ctypes.memmove(self.address.value, data.ctypes.data, data.nbytes)

    def read_back(self) -> None:
        """Device memory into the array. What is queued on a stream has not happened before that is waited for."""
        ctypes.memmove(self.data.ctypes.data, self.address.value, self.data.nbytes)

    def free(self) -> None:
        expect(hip.hipFree(self.address))
