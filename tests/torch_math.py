"""PyTorch's math path on the inputs of a case: the yardstick for errors, and a third opinion on the formulas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from aule._arrays import Array
from aule._oracle import keep_factors, visible
from aule.cases import QKV, Inputs


def to_torch(array: Array) -> torch.Tensor:
    """A contiguous copy (NumPy's negative strides do not exist in torch)."""
    data = np.array(array.data, order="C", copy=True)
    return (
        torch.from_numpy(data.view(np.int16)).view(torch.bfloat16)
        if array.dtype == "bfloat16"
        else torch.from_numpy(data)
    )


def math_values(inputs: Inputs, expand: bool = True) -> dict[str, np.ndarray]:
    """out, lse and the wanted gradients, float64 arrays; computed in float32 (float64 for float64) by PyTorch.

    The operator itself where it can express the case, else its formula spelled out. expand: gradients of q, k, v have
    the broadcast leading sizes, as the core gives them, instead of summed ones.
    """
    case = inputs.case
    names = [name for name in case.gradients if name != "lse"]
    leaves = {name: to_torch(getattr(inputs, name)) for name in QKV}
    if expand:
        leaves = {name: tensor.expand(*case.batch, -1, -1, -1).clone() for name, tensor in leaves.items()}
    if inputs.mask is not None:
        leaves["mask"] = to_torch(inputs.mask)
    if inputs.sinks is not None:
        leaves["sinks"] = to_torch(inputs.sinks)
    for name in names:
        leaves[name].requires_grad_(True)
    out, lse = _formula(inputs, leaves)
    if case.is_sdpa and inputs.dlse is None:
        out = _operator(inputs, leaves)
    values = {"out": out.detach().double().numpy(), "lse": lse.detach().double().numpy()}
    if names:
        outputs, seeds = [out], [torch.from_numpy(np.array(inputs.dout)).to(out.dtype)]
        if inputs.dlse is not None:
            outputs, seeds = [*outputs, lse], [*seeds, torch.from_numpy(np.array(inputs.dlse)).to(lse.dtype)]
        seeded = [pair for pair in zip(outputs, seeds, strict=True) if pair[0].requires_grad]
        wanted = [leaves[name] for name in names]
        gradients: Sequence[torch.Tensor | None] = [None] * len(names)
        if seeded:
            tensors, starts = zip(*seeded, strict=True)
            gradients = torch.autograd.grad(tensors, wanted, starts, allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            gradient = torch.zeros_like(leaves[name]) if gradient is None else gradient
            values[name] = gradient.double().numpy()
    return values


def _operator(inputs: Inputs, leaves: dict[str, torch.Tensor]) -> torch.Tensor:
    case = inputs.case
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(
            *(leaves[name] for name in QKV),
            attn_mask=leaves.get("mask"),
            is_causal=case.causal == "top-left",
            scale=case.scale,
            enable_gqa=True,
        )


def _formula(inputs: Inputs, leaves: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    case = inputs.case
    dtype = torch.float64 if case.dtype == "float64" else torch.float32
    q, k, v = (leaves[name].to(dtype) for name in QKV)
    group = q.shape[-3] // k.shape[-3] if k.shape[-3] else 1
    k, v = k.repeat_interleave(group, dim=-3), v.repeat_interleave(group, dim=-3)
    seq_q, seq_k = q.shape[-2], k.shape[-2]
    scores = (q @ k.mT) * (case.scale if case.scale is not None else max(q.shape[-1], 1) ** -0.5)
    if case.softcap:
        scores = case.softcap * torch.tanh(scores / case.softcap)
    seen = torch.from_numpy(visible(inputs.rules, seq_q, seq_k))
    if inputs.mask is not None and inputs.mask.dtype == "bool":
        seen = seen & leaves["mask"]
    elif inputs.mask is not None:
        scores = scores + leaves["mask"].to(dtype)
    if inputs.alibi_slopes is not None:
        offset = 0 if case.causal == "top-left" else seq_k - seq_q
        distance = (torch.arange(seq_q)[:, None] + offset - torch.arange(seq_k)).abs()
        scores = scores - to_torch(inputs.alibi_slopes).to(dtype)[..., None, None] * distance
    scores = scores.masked_fill(~seen, -torch.inf)
    if inputs.sinks is not None:
        sink = leaves["sinks"].to(dtype)[:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sink], dim=-1)
    hidden = (scores == -torch.inf).all(dim=-1, keepdim=True)
    lse = torch.logsumexp(scores.masked_fill(hidden, 0.0), dim=-1).masked_fill(hidden[..., 0], -torch.inf)
    if scores.shape[-1] == 0:
        lse = torch.full(scores.shape[:-1], -torch.inf, dtype=dtype)
    weights = torch.softmax(scores.masked_fill(hidden, 0.0), dim=-1).masked_fill(hidden, 0.0)[..., :seq_k]
    if case.dropout_p:
        weights = weights * torch.from_numpy(keep_factors(inputs.rules, inputs.leading, seq_q, seq_k)).to(dtype)
    return (weights @ v).to(leaves["q"].dtype), lse
