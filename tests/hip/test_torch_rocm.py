"""PyTorch-ROCm, as far as a PyTorch without a GPU can play it.

Tensors whose memory the fake runtime takes for a device's; and a process in which PyTorch says that it is built for
HIP, with fake "cuda" tensors.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap
from typing import Any

import hip_runtime
import numpy as np
import pytest
import torch
from hip_runtime import expect, hip, launches, stream

import aule
from aule import _core, _torch_attention, _torch_devices, _torch_ops

pytest.importorskip("tinygrad", reason="the emulator needs requirements/hip.txt")
pytestmark = pytest.mark.skipif(
    not any(row[0] == "hip" for row in _core.devices()), reason=f"this build has no HIP: {_core.unavailable()}"
)
SIZES = {0: 4, 1: 8, 2: 2, 3: 2, 4: 1}


class Adopting:
    """The core, with every tensor that it is given in a device's memory for the time of the call."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self.handle = handle

    def run(self, function: Any, arguments: tuple[Any, ...]) -> None:
        ranges = {}
        for tensor in arguments:
            if isinstance(tensor, tuple):
                address, dtype, sizes, strides = tensor
                elements = 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
                ranges[address] = max(ranges.get(address, 0), elements * SIZES[dtype])
        for address, size in ranges.items():
            hip.fake_hip_adopt(ctypes.c_void_p(address), ctypes.c_size_t(size), 0)
        function(*arguments)
        expect(hip.hipStreamSynchronize(self.handle))
        for address in ranges:
            hip.fake_hip_give_back(ctypes.c_void_p(address))

    def attention_forward(self, *arguments: Any) -> None:
        self.run(_core.attention_forward, arguments)

    def attention_backward(self, *arguments: Any) -> None:
        self.run(_core.attention_backward, arguments)


def test_forward_and_gradients_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd -> DirectAttention -> the core on the current stream -> machine code, all in the tensors' own memory."""
    hip_runtime.reset()
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, heads, 40, 32, generator=generator).half() for heads in (4, 2, 2))
    sinks = torch.randn(4, generator=generator)
    mask = torch.rand(40, 40, generator=generator) < 0.8
    dout = torch.randn(1, 4, 40, 32, generator=generator).half()

    def gradients(dtype: torch.dtype) -> list[torch.Tensor]:
        inputs = [x.to(dtype).requires_grad_() for x in (q, k, v)]
        leaves = [*inputs, sinks.clone().requires_grad_()]
        out = aule.flash_attention(*inputs, attn_mask=mask, sinks=leaves[3], enable_gqa=True)
        return [out.detach(), *torch.autograd.grad(out, leaves, dout.to(dtype))]

    expected = gradients(torch.float32)
    with stream(0) as handle:
        place = (_torch_devices._HIP, 0, handle.value)
        monkeypatch.setattr(_torch_ops, "place_of", lambda tensor: place)
        monkeypatch.setattr(_torch_ops, "_core", Adopting(handle))
        found = gradients(torch.float16)
    assert [launch.kernel for launch in launches] == [
        "aule_forward_features", "aule_delta", "aule_sinks_gradient", "aule_backward_q_features",
        "aule_backward_kv_features",
    ]  # fmt: skip
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.float(), other, atol=4e-3, rtol=4e-3)


def in_rocm_process(body: str) -> str:
    """What a process prints in which PyTorch says it is built for HIP."""
    program = "import torch\ntorch.version.hip = '7.0.0'\nimport aule\n" + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dispatch_of_cuda_tensors() -> None:
    """`install()` covers the keys of "cuda"; what HIP does not run stays PyTorch's, with the reason."""
    text = in_rocm_process("""
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.nn.functional import scaled_dot_product_attention as sdpa
        from aule import _torch_attention, _torch_devices
        called = []
        original = _torch_attention.attention
        _torch_attention.attention = lambda *arguments: called.append(arguments) or original(*arguments)
        assert _torch_devices.OPERATOR_DEVICES == ("cpu", "cuda")
        with FakeTensorMode(), aule.install():
            q, k, v = (torch.empty(2, heads, 100, 64, dtype=torch.float16, device="cuda") for heads in (8, 2, 2))
            out = sdpa(q, k, v, enable_gqa=True)
            print("out", out.device.type, tuple(out.shape), len(called))
            reason = _torch_attention.pytorch_reason
            print(reason(q.double(), k.double(), v.double(), None))
            wide = torch.empty(1, 1, 8, 320, device="cuda", dtype=torch.float16)
            print(reason(wide, wide, wide, None))
            print(reason(wide.requires_grad_(), wide, wide, None))
            mask = torch.empty(100, 100, device="cuda", dtype=torch.float16, requires_grad=True)
            print(reason(q, k, v, mask))
    """)
    lines = text.splitlines()
    assert lines[0] == "out cuda (2, 8, 100, 64) 1"
    assert "hip has no kernels for float64" in lines[1]
    assert lines[2] == "None"
    assert "backward kernels are compiled up to head_dim_qk 256" in lines[3]
    assert lines[4] == "the HIP back end does not compute the gradient of a mask"


def test_other_pytorch_leaves_cuda_tensors_alone() -> None:
    """Without PyTorch-ROCm a "cuda" tensor is NVIDIA's."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        q = torch.empty(1, 1, 8, 64, device="cuda")
        assert _torch_attention.pytorch_reason(q, q, q, None) == "device 'cuda' has no back end here"
