"""Where torch tensors lie, as the core counts memory: the host's, or that of an AMD GPU under PyTorch-ROCm.

PyTorch-ROCm calls its devices "cuda" and numbers them as the HIP runtime does, which aule shares with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _core

#: aule::MemoryKind
_HOST, _HIP = 0, 1
#: memory, device, stream of tensors of the host.
HOST_PLACE = (_HOST, 0, 0)
#: Whether this PyTorch is built for AMD GPUs.
IS_ROCM = torch.version.hip is not None
#: Devices whose tensors the operators take.
OPERATOR_DEVICES = ("cpu", "cuda") if IS_ROCM else ("cpu",)


def place_of(tensor: Tensor) -> tuple[int, int, int]:
    """The last arguments of the core's functions: memory, device, and the stream that the call is queued on."""
    if tensor.device.type == "cpu":
        return HOST_PLACE
    index = tensor.device.index
    return _HIP, index, torch.cuda.current_stream(index).cuda_stream


def device_reason(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> str | None:
    """Why the tensors' device cannot run the call here, or None: a full sentence's second half."""
    if query.device.type in ("cpu", "meta"):
        return None
    if query.device.type not in OPERATOR_DEVICES:
        return f"device '{query.device.type}' has no back end here"
    if torch.is_grad_enabled() and mask is not None and mask.requires_grad:
        return "the HIP back end does not compute the gradient of a mask"
    needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value))
    for backward in (False, True) if needs_grad else (False,):
        reason = _rejection(query, key, value, mask, backward)
        if reason:
            return reason
    return None


def _rejection(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, backward: bool) -> str:
    """The core's word on sizes and types; that the arguments are wrong is said later, by what checks them."""
    from ._torch_ops import DTYPE_CODES

    tensors = (query, key, value, mask)
    if any(tensor is not None and tensor.dtype not in DTYPE_CODES for tensor in tensors):
        return f"dtype {query.dtype}"
    q, k, v = ((0, DTYPE_CODES[t.dtype], tuple(t.shape), tuple(t.stride())) for t in (query, key, value))
    try:
        return _core.rejection(q, k, v, backward, _HIP, query.device.index or 0)
    except (ValueError, TypeError):
        return ""
