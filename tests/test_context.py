"""AttentionContext and GpuTensor on every back end that has them here: the CPU, and Vulkan where there is a driver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import aule
from sdpa_tools import arrays, qkv

BACKENDS = list(dict.fromkeys(device.backend for device in aule.devices()))


@pytest.fixture(params=BACKENDS)
def context(request: pytest.FixtureRequest) -> Any:
    with aule.AttentionContext(backend=request.param) as ctx:
        yield ctx


def uploaded(ctx: aule.AttentionContext, *values: Any) -> list[aule.GpuTensor]:
    return [ctx.tensor(value.shape, value.dtype).upload(value) for value in values]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"causal": True},
    "KV cache": {"causal": "bottom-right"},
    "window": {"causal": "bottom-right", "window": (3, -1)},
    "scale": {"scale": 0.3},
    "softcap": {"softcap": 2.0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_results_are_those_of_flash_attention(context: aule.AttentionContext, name: str) -> None:
    q, k, v = arrays(heads=4, heads_kv=2)
    expected, expected_lse = aule.flash_attention(q, k, v, enable_gqa=True, return_lse=True, **OPTIONS[name])
    tensors = uploaded(context, q, k, v)
    out, lse = context.tensor(q.shape), context.tensor(q.shape[:-1])
    for _ in range(3):  # the second and third call submit what the first one recorded
        context.attention(*tensors, out, lse=lse, **OPTIONS[name])
        np.testing.assert_allclose(out.download(), expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(lse.download(), expected_lse, rtol=0, atol=1e-5)


def test_masks_slopes_and_sinks(context: aule.AttentionContext) -> None:
    q, k, v = qkv()
    mask = torch.rand(4, 5, 7) < 0.7
    slopes, sinks = torch.rand(4), torch.randn(4)
    expected = aule.flash_attention(q, k, v, mask, alibi_slopes=slopes, sinks=sinks)
    gpu_mask, gpu_slopes, gpu_sinks = uploaded(context, mask, slopes, sinks)
    out = context.tensor(q.shape)
    context.attention(*uploaded(context, q, k, v), out, mask=gpu_mask, alibi_slopes=gpu_slopes, sinks=gpu_sinks)
    torch.testing.assert_close(torch.from_numpy(out.download()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types(context: aule.AttentionContext, dtype: torch.dtype) -> None:
    q, k, v = qkv(dtype=dtype)
    out = context.tensor(q.shape, dtype)
    context.attention(*uploaded(context, q, k, v), out)
    result = out.download(torch.empty_like(q))
    torch.testing.assert_close(result, aule.flash_attention(q, k, v), rtol=0, atol=2e-2)


def test_gradients(context: aule.AttentionContext) -> None:
    q, k, v = (tensor.requires_grad_(True) for tensor in qkv(heads=4, heads_kv=2))
    out = aule.flash_attention(q, k, v, enable_gqa=True, causal=True)
    dout = torch.randn_like(out)
    expected = torch.autograd.grad(out, (q, k, v), dout)
    gq, gk, gv, gdout = uploaded(context, *(tensor.detach() for tensor in (q, k, v, dout)))
    gout, glse = context.tensor(out.shape), context.tensor(out.shape[:-1])
    gradients = [context.tensor(tensor.shape) for tensor in (q, k, v)]
    context.attention(gq, gk, gv, gout, lse=glse, causal=True)
    dq, dk, dv = gradients
    context.attention_backward(gq, gk, gv, gout, glse, gdout, dq=dq, dk=dk, dv=dv, causal=True)
    for gradient, truth in zip(gradients, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(gradient.download()), truth, rtol=0, atol=1e-5)


def test_new_values_of_the_same_tensors(context: aule.AttentionContext) -> None:
    q, k, v = arrays()
    tensors, out = uploaded(context, q, k, v), context.tensor(q.shape)
    for factor in (1.0, -0.5):
        tensors[0].upload(q * np.float32(factor))
        context.attention(*tensors, out)
        expected = aule.flash_attention(q * np.float32(factor), k, v)
        np.testing.assert_allclose(out.download(), expected, rtol=0, atol=1e-5)


def test_views_of_a_cache(context: aule.AttentionContext) -> None:
    """A KV cache with room: the filled part is a view, (batch, seq, heads, dim) memory another one."""
    q, k, v = arrays(seq_q=1, seq_k=7)
    out = context.tensor(q.shape)
    caches = []
    for filled in (k, v):
        room = np.full((2, 4, 20, 8), np.nan, dtype=np.float32)
        room[:, :, :7] = filled
        caches.append(context.tensor(room.shape).upload(room).narrow(2, 0, 7))
    (gq,) = uploaded(context, q.swapaxes(1, 2))
    context.attention(gq.transpose(1, 2), *caches, out, causal="bottom-right")
    np.testing.assert_allclose(out.download(), aule.flash_attention(q, k, v), rtol=0, atol=1e-5)
    assert caches[0].shape == (2, 4, 7, 8) and caches[0].strides == (640, 160, 8, 1)


def test_any_host_layout(context: aule.AttentionContext) -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    tensor = context.tensor((2, 3, 4)).upload(values.transpose(2, 1, 0)[:, ::-1])
    np.testing.assert_array_equal(tensor.download(), values.transpose(2, 1, 0)[:, ::-1])
    back = np.zeros((3, 2, 4), dtype=np.float32).transpose(1, 0, 2)
    assert tensor.download(back) is back
    np.testing.assert_array_equal(back, values.transpose(2, 1, 0)[:, ::-1])


def test_mapped_memory(context: aule.AttentionContext) -> None:
    tensor = context.tensor((3, 5)).upload(np.ones((3, 5), dtype=np.float32))
    try:
        view = tensor.numpy()
    except aule.Error as error:
        assert "download" in str(error)
        return
    assert view.shape == (3, 5) and view.sum() == 15
    view[1] = 2
    assert tensor.download()[1].tolist() == [2] * 5


def test_memory_is_counted_and_given_back(context: aule.AttentionContext) -> None:
    before = context.allocated_bytes
    for _ in range(200):
        context.tensor((64, 64)).free()
    tensor = context.tensor((64, 64))
    assert context.allocated_bytes >= before + 64 * 64 * 4
    del tensor
    assert context.allocated_bytes == before


def wrong(ctx: aule.AttentionContext) -> dict[str, tuple[Any, str]]:
    q, k, v = uploaded(ctx, *arrays())
    out = ctx.tensor((2, 4, 5, 8))
    freed = ctx.tensor((2, 4, 5, 8))
    freed.free()
    return {
        "shape": (lambda: ctx.attention(q, k, v, ctx.tensor((2, 4, 5, 9))), r"out.*8.*9"),
        "dtype": (lambda: ctx.attention(q, ctx.tensor((2, 4, 7, 8), "float16"), v, out), r"k.*float32.*float16"),
        "freed": (lambda: ctx.attention(freed, k, v, out), r"q.*freed"),
        "no tensor": (lambda: ctx.attention(np.zeros(3), k, v, out), r"q.*GpuTensor.*ndarray"),
        "causal": (lambda: ctx.attention(q, k, v, out, causal="left"), r"causal.*left"),
        "upload shape": (lambda: out.upload(np.zeros((2, 4), np.float32)), r"2.*4"),
        "upload dtype": (lambda: out.upload(np.zeros(out.shape)), r"float32.*float64"),
        "download freed": (lambda: freed.download(), r"freed"),
        "type": (lambda: ctx.tensor((2, 2), "int8"), r"dtype.*int8"),
    }


@pytest.mark.parametrize("case", ["shape", "dtype", "freed", "no tensor", "causal", "upload shape", "upload dtype",
                                  "download freed", "type"])  # fmt: skip
def test_errors_name_the_tensor(context: aule.AttentionContext, case: str) -> None:
    call, pattern = wrong(context)[case]
    with pytest.raises(aule.Error, match=f"(?is){pattern}"):
        call()


def test_tensors_of_another_context(context: aule.AttentionContext) -> None:
    q, k, v = uploaded(context, *arrays())
    with aule.AttentionContext(backend="cpu") as other, pytest.raises(aule.Error, match=r"(?i)out.*context"):
        context.attention(q, k, v, other.tensor(q.shape))


def test_after_shutdown() -> None:
    ctx = aule.AttentionContext(backend="cpu")
    q, k, v = uploaded(ctx, *arrays())
    out = ctx.tensor(q.shape)
    ctx.shutdown()
    ctx.shutdown()
    assert q.freed and "freed" in repr(q)
    for call in (lambda: ctx.attention(q, k, v, out), lambda: q.download(), lambda: ctx.tensor((2, 2))):
        with pytest.raises(aule.Error, match=r"(?i)shut ?down|freed"):
            call()
    q.free()


def test_unknown_back_end_and_device() -> None:
    with pytest.raises(ValueError, match=r"(?s)abacus.*cpu|cpu.*abacus"):
        aule.AttentionContext(backend="abacus")
    assert aule.AttentionContext(backend="cpu").device.backend == "cpu"
    assert "cpu" in repr(aule.AttentionContext(backend="cpu"))
