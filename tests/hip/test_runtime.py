"""The whole way: Python, dispatch, the HIP back end, a (fake) runtime, machine code in the emulator, the result."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hip_runtime
import numpy as np
import pytest
from hip_cases import CASES, prepared
from hip_runtime import DEVICES, Block, calls, complaints, expect, fail, hip, launches, stream

import aule
from aule import _core, _verify
from aule._arrays import Array
from aule._verify import judge, run_case

pytest.importorskip("tinygrad", reason="the emulator needs requirements/hip.txt")
pytestmark = pytest.mark.skipif(
    not any(row[0] == "hip" for row in _core.devices()), reason=f"this build has no HIP: {_core.unavailable()}"
)


@pytest.fixture(autouse=True)
def fresh() -> Any:
    hip_runtime.reset()
    yield
    hip_runtime.reset()


def check(name: str, backend: Any) -> None:
    """Runs a case with a back end or a runner, and judges its results."""
    inputs, truth, plain, rounding = prepared(name)
    known = tuple(gradient for gradient in inputs.case.gradients if gradient != "mask")  # HIP rejects that one
    inputs = replace(inputs, case=replace(inputs.case, gradients=known))
    outputs = backend(inputs) if callable(backend) else run_case(inputs, backend)
    assert not complaints
    values = outputs.values()
    wrong = [found.where for found in judge(inputs.case, values, truth, plain, rounding) if not found.ok]
    assert not wrong, f"{inputs.case}\n  " + "\n  ".join(wrong)
    for result, array in outputs.arrays.items():
        assert array.gaps_are_untouched(), f"wrote between the elements of {result}: {inputs.case}"


class OnDevice:
    """run_case with every tensor in a device's memory: what happens to PyTorch-ROCm's tensors."""

    def __init__(self, device: int, handle: ctypes.c_void_p, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device, self.handle, self.blocks = device, handle, {}
        self.bases: list[np.ndarray] = []
        monkeypatch.setattr(_verify, "_core", self)
        monkeypatch.setattr(Array, "core", lambda array: (array, *Array_core(array)))

    def block_of(self, array: Array) -> Block:
        if id(array.base) not in self.blocks:
            self.blocks[id(array.base)] = Block(array.base, self.device)
            self.bases.append(array.base)
        return self.blocks[id(array.base)]

    def moved(self, tensor: Any) -> Any:
        if not isinstance(tensor, tuple):
            return tensor
        array, address, *rest = tensor
        block = self.block_of(array)
        return (address - array.base.ctypes.data + block.address.value, *rest)

    def run(self, function: Any, arguments: tuple[Any, ...]) -> None:
        function(*(self.moved(tensor) for tensor in arguments), 1, self.device, self.handle.value)
        expect(hip.hipStreamSynchronize(self.handle))
        for block in self.blocks.values():
            block.read_back()

    def attention_forward(self, *arguments: Any) -> None:
        self.run(_core.attention_forward, arguments)

    def attention_backward(self, *arguments: Any) -> None:
        self.run(_core.attention_backward, arguments)

    def free(self) -> None:
        for block in self.blocks.values():
            block.free()


Array_core = Array.core

#: One case of each axis that is quick, in both directions.
QUICK = [
    "gqa-4", "window-4,4-50x50", "sinks-hidden-rows-bfloat16", "everything-float16", "everything-float32",
]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in QUICK if name in CASES])
def test_host_tensors(name: str) -> None:
    check(name, "hip")
    assert launches and {launch.target for launch in launches} == {"gfx1100"}
    # One upload and one download a pass, and memory of the lane alone.
    assert calls("hipMemcpyAsync") == 2 * calls("hipStreamSynchronize")


@pytest.mark.parametrize("architecture", [name for name in DEVICES if name != "gfx906"])
@pytest.mark.parametrize("name", [name for name in QUICK if name in CASES])
def test_tensors_in_place(name: str, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = DEVICES[architecture]
    plain = (0, 0, (1, 1, 8, 32), (256, 256, 32, 1))
    if reason := _core.rejection(plain, plain, plain, False, 1, device):
        pytest.skip(reason)  # a build of some architectures only
    blocks = hip.fake_hip_live_blocks(device)
    with stream(device) as handle:
        runner = OnDevice(device, handle, monkeypatch)
        check(name, lambda inputs: run_case(inputs, ""))
        runner.free()
    assert {launch.target for launch in launches} == {architecture}
    assert calls("hipMemcpyAsync") == 0 and calls("hipStreamSynchronize") <= 2, "only the test waits"
    assert hip.fake_hip_live_blocks(device) == blocks, "workspaces are given back"


def tensors(shape: tuple[int, ...] = (1, 2, 40, 32), seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(np.float16) for _ in range(3)]


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(aule.flash_attention(*(x.astype(np.float32) for x in (q, k, v)), backend="cpu"))


@pytest.mark.parametrize("architecture", ["gfx1100", "gfx942"])
def test_context(architecture: str) -> None:
    q, k, v = tensors()
    with aule.AttentionContext(backend="hip", device=str(DEVICES[architecture])) as context:
        assert context.device.backend == "hip"
        on_device = [context.tensor(x.shape, "float16").upload(x) for x in (q, k, v)]
        out = context.tensor(q.shape, "float16")
        context.attention(*on_device, out)
        assert not launches, "nothing has run before somebody waits"
        assert np.allclose(out.download().astype(np.float32), reference(q, k, v), atol=2e-3)
    assert {launch.target for launch in launches} == {architecture}


def call_in_place(arrays: list[np.ndarray], device: int, handle: ctypes.c_void_p) -> tuple[Block, list[Block]]:
    """Queues a forward call on copies; out's block, and all."""
    blocks = [Block(array, device) for array in [*arrays, np.zeros_like(arrays[0])]]
    strides = tuple(stride // arrays[0].itemsize for stride in arrays[0].strides)
    described = [(block.address.value, 2, block.data.shape, strides) for block in blocks]
    q, k, v, out = described
    _core.attention_forward(
        q, k, v, out, None, None, None, None, 0, -1, -1, None, 0.0, 0.0, 0, "", 0, 1, device, handle.value
    )
    return blocks[3], blocks


def test_a_call_on_a_stream_does_not_wait() -> None:
    arrays = tensors()
    with stream(0) as handle:
        out, blocks = call_in_place(arrays, 0, handle)
        assert not launches, "nothing has run before the stream was waited for"
        expect(hip.hipStreamSynchronize(handle))
        out.read_back()
        assert np.allclose(out.data.astype(np.float32), reference(*arrays), atol=2e-3)
        for block in blocks:
            block.free()


def test_graph_capture() -> None:
    """Few queries and many keys: splits, a workspace and a second kernel are captured too."""
    generator = np.random.default_rng(1)
    q = generator.standard_normal((1, 1, 1, 32)).astype(np.float16)
    k, v = (generator.standard_normal((1, 1, 1024, 32)).astype(np.float16) for _ in range(2))
    blocks = [Block(array, 1) for array in (q, k, v, np.zeros_like(q))]
    described = [
        (block.address.value, 2, block.data.shape, (block.data[0].size, block.data[0, 0].size, 32, 1))
        for block in blocks
    ]

    def queue(handle: ctypes.c_void_p) -> None:
        _core.attention_forward(
            *described, None, None, None, None, 0, -1, -1, None, 0.0, 0.0, 0, "", 0, 1, 1, handle.value
        )

    with stream(1) as handle:
        queue(handle)  # loads the modules
        expect(hip.hipStreamSynchronize(handle))
        hip_runtime.reset()
        graph = ctypes.c_void_p()
        expect(hip.hipStreamBeginCapture(handle, 0))
        queue(handle)
        expect(hip.hipStreamEndCapture(handle, ctypes.byref(graph)))
        assert not launches
        for value in (q, -q):
            blocks[0].data[...] = value
            ctypes.memmove(blocks[0].address.value, blocks[0].data.ctypes.data, q.nbytes)
            expect(hip.hipGraphLaunch(graph, handle))
            expect(hip.hipStreamSynchronize(handle))
            blocks[3].read_back()
            assert np.allclose(blocks[3].data.astype(np.float32), reference(value, k, v), atol=2e-3)
        assert [launch.kernel for launch in launches] == ["aule_forward", "aule_combine"] * 2


#: (function that fails, its error, the exception, a part of its message)
FAULTS = [
    ("hipMalloc", hip_runtime.OUT_OF_MEMORY, aule.OutOfMemory, "hipErrorOutOfMemory"),
    ("hipHostMalloc", hip_runtime.OUT_OF_MEMORY, aule.OutOfMemory, "hipHostMalloc failed"),
    ("hipModuleLaunchKernel", hip_runtime.INVALID_DEVICE_FUNCTION, aule.Unsupported, "aule_forward of forward.half"),
    ("hipStreamSynchronize", hip_runtime.ILLEGAL_ADDRESS, aule.DeviceLost, "cannot use it any more"),
    ("hipMemcpyAsync", 1, aule.Error, "hipMemcpyAsync to the device failed with hipErrorInvalidValue"),
]


@pytest.mark.parametrize(("function", "code", "exception", "text"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_faults(function: str, code: int, exception: type[Exception], text: str) -> None:
    """An error says which call failed and why, nothing is left behind, and the next call works."""
    # Larger than any call before: the lane has to allocate.
    q, k, v = tensors((1, 100 + 10 * [fault[0] for fault in FAULTS].index(function), 16, 64))
    blocks = [hip.fake_hip_live_blocks(device) for device in (-1, 0)]
    fail(function, code)
    with pytest.raises(exception, match=text):
        aule.flash_attention(q, k, v, backend="hip")
    hip_runtime.reset()
    assert all(hip.fake_hip_live_blocks(device) <= was for device, was in zip((-1, 0), blocks, strict=True))
    out = aule.flash_attention(q, k, v, backend="hip")
    assert np.allclose(np.asarray(out, dtype=np.float32), reference(q, k, v), atol=2e-3)


def test_fault_of_a_workspace() -> None:
    """In place, where only a backward pass or splits need memory."""
    fail("hipMallocFromPoolAsync", hip_runtime.OUT_OF_MEMORY)
    with pytest.raises(aule.OutOfMemory, match="hipMallocFromPoolAsync failed"):
        aule.flash_attention(*tensors((1, 1, 1, 32))[:1], *tensors((1, 1, 1024, 32))[1:], backend="hip")


def test_a_kernel_that_goes_astray_is_a_lost_device() -> None:
    """The emulator's own bounds check, through the runtime: k is said to be longer than it is."""
    q, k, v = tensors()
    with stream(0) as handle:
        blocks = [Block(array, 0) for array in (q, k, v, np.zeros_like(q))]
        described = [(block.address.value, 2, (1, 2, 40, 32), (2560, 1280, 32, 1)) for block in blocks]
        described[1] = (blocks[1].address.value, 2, (1, 2, 4000, 32), (2560, 128000, 32, 1))
        described[2] = (blocks[2].address.value, 2, (1, 2, 4000, 32), (2560, 128000, 32, 1))
        _core.attention_forward(
            *described, None, None, None, None, 0, -1, -1, None, 0.0, 0.0, 0, "", 0, 1, 0, handle.value
        )
        assert hip.hipStreamSynchronize(handle) == hip_runtime.ILLEGAL_ADDRESS
        assert "out-of-bounds" in complaints[0]
        hip_runtime.reset()
        for block in blocks:
            block.free()


def test_devices_are_listed_and_named() -> None:
    assert ("hip", "Fake RX 7900 XTX", "gfx1100, 48 compute units, 16.0 GiB") in _core.devices()
    with pytest.raises(aule.Unsupported, match=r"is a gfx906, for which this build has no code; it has gfx"):
        aule.AttentionContext(backend="hip", device="5")
    for backend in ("hip", None):
        with pytest.raises(aule.Unsupported, match="no AMD GPU is '77'; there are 0: Fake RX 7900 XTX"):
            aule.AttentionContext(backend=backend, device="77")
    with aule.AttentionContext(device="mi300x") as context:
        assert context.device.name == "Fake MI300X"


def test_other_back_ends_do_not_touch_a_gpu_memory() -> None:
    with stream(0) as handle:
        described = [(4096, 2, (1, 1, 8, 32), (256, 256, 32, 1))] * 4
        with pytest.raises(aule.Unsupported, match="cpu computes in the host's memory"):
            _core.attention_forward(
                *described, None, None, None, None, 0, -1, -1, None, 0.0, 0.0, 0, "cpu", 0, 1, 0, handle.value
            )
        with pytest.raises(aule.Unsupported, match="hip sees 6 AMD GPUs, and the tensors are on number 9"):
            _core.attention_forward(
                *described, None, None, None, None, 0, -1, -1, None, 0.0, 0.0, 0, "", 0, 1, 9, handle.value
            )


def test_a_child_of_fork_leaves_the_gpu_alone() -> None:
    """HIP does not survive fork(): host tensors go to another back end, and asking for HIP says why not."""
    arrays = tensors((1, 2, 64, 32))
    expected = aule.flash_attention(*arrays, backend="cpu")
    aule.flash_attention(*arrays, backend="hip")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            aule.flash_attention(*arrays, backend="hip")
            text = "it ran"
        except aule.Unsupported as error:
            text = str(error)
        same = np.array_equal(aule.flash_attention(*arrays), expected)
        os.write(writer, f"{same} {text}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(reader, 4096).decode()
    assert text.startswith("True ") and "cannot be used in a child of fork()" in text


@pytest.mark.parametrize(
    ("set_up", "reason"),
    [
        ("fake.fake_hip_set(0, 60000000, 1)", "the HIP runtime sees no AMD GPU"),
        ("fake.fake_hip_set(6, 50700000, 1)", "version 5.7; 6.0 or newer is needed"),
        ("fake.fake_hip_fail(b'hipGetDeviceCount', 999, 0)", "hipGetDeviceCount failed with hipErrorUnknown"),
        ("os.environ['AULE_HIP_LIBRARY'] = '/nothing.so'", "AULE_HIP_LIBRARY cannot be opened"),
        ("os.environ['AULE_HIP_LIBRARY'] = 'libm.so.6'", "has no hipRuntimeGetVersion"),
        ("os.environ['AULE_DEVICE'] = 'nothing'", "no AMD GPU is 'nothing'; there are 0: Fake RX 7900 XTX"),
    ],
)
def test_reasons_without_a_device(set_up: str, reason: str) -> None:
    """The back end is there, says why it has no device, and everything else works."""
    program = f"""
import ctypes, os
fake = ctypes.CDLL(os.environ["AULE_HIP_LIBRARY"])
{set_up}
from aule import _core
print([row for row in _core.unavailable() if row[0] == "hip"], [row[0] for row in _core.devices()])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert reason in done.stdout and "'cpu'" in done.stdout and "'hip'" not in done.stdout.split("]")[-2]


def test_runtime_without_pools() -> None:
    """Old systems and some devices have none: workspaces then come from hipMalloc."""
    program = f"""
import ctypes, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import hip_runtime, numpy as np, aule
hip_runtime.hip.fake_hip_set(6, 60000000, 0)
q, k = np.ones((1, 1, 1, 32), np.float16), np.ones((1, 1, 1024, 32), np.float16)
out = np.asarray(aule.flash_attention(q, k, k, backend="hip"))
kernels = [launch.kernel for launch in hip_runtime.launches]
print(np.allclose(out, 1), hip_runtime.calls("hipMallocFromPoolAsync"), kernels)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True 0 ['aule_forward', 'aule_combine']"
