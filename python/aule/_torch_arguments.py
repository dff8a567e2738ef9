"""The arguments of a call on torch tensors: PyTorch's checks, in PyTorch's order and words, and the views that the
core wants."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.bias import CausalBias, CausalVariant

from ._errors import InvalidArgument, InvalidDType, InvalidRank, Unsupported
from ._rules import check_heads

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_tensors(query: Any, key: Any, value: Any, mask: Any) -> None:
    """PyTorch's checks in PyTorch's order, with its words (sdpa-contract: dtype, device, rank, mask's dtype).

    Raises:
        TypeError, RuntimeError, NotImplementedError: as PyTorch's function.
    """
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: expected a torch tensor as the other inputs are, got {type(tensor).__name__}")
    if mask is not None and not isinstance(mask, Tensor):
        raise TypeError(f"attn_mask: expected a torch tensor or None, got {type(mask).__name__}")
    dtype = query.dtype
    if key.dtype != dtype or value.dtype != dtype:
        raise InvalidDType(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead."
        )
    if key.device != query.device or value.device != query.device:
        raise InvalidArgument(
            "Expected query, key, and value to have the same device type, but got query.device: "
            f"{query.device} key.device: {key.device} and value.device: {value.device} instead."
        )
    if query.ndim < 2 or key.ndim < 2 or value.ndim < 2:
        raise InvalidRank(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if mask is not None and mask.dtype not in (torch.bool, torch.float32, dtype):
        raise InvalidDType(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{mask.dtype} and  query.dtype: {dtype} instead."
        )
    if dtype not in FLOATS:
        expected = f"query: expected float32, float16, bfloat16 or float64 elements, got {dtype}"
        raise Unsupported(expected) if dtype.is_floating_point or dtype.is_complex else InvalidDType(expected)
    if mask is not None and mask.device != query.device:
        raise InvalidArgument(f"attn_mask: expected device {query.device} as query, got {mask.device}")


def check_shapes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, enable_gqa: bool) -> None:
    """Sizes that have to agree. The core checks them again; here the names are those of the Python arguments."""
    if query.shape[-1] != key.shape[-1]:
        raise InvalidArgument(
            f"key: expected head_dim {query.shape[-1]} as query {tuple(query.shape)}, got {tuple(key.shape)}"
        )
    if key.shape[-2] != value.shape[-2]:
        raise InvalidArgument(
            f"value: expected seq_k {key.shape[-2]} as key {tuple(key.shape)}, got {tuple(value.shape)}"
        )
    check_heads(query.shape, key.shape, value.shape, enable_gqa)
    # Heads have been seen to; the sizes before them broadcast as PyTorch's matmul does.
    leading = _broadcast_leading(query.shape[:-3], key.shape[:-3], value.shape[:-3])
    if mask is None:
        return
    heads = max(query.shape[-3] if query.ndim > 2 else 1, key.shape[-3] if key.ndim > 2 else 1)
    full = (*leading, heads, query.shape[-2], key.shape[-2])
    rank = max(query.ndim, key.ndim, value.ndim)
    full = full[len(full) - rank :] if rank < len(full) else full
    fits = mask.ndim <= len(full) and all(
        size in (1, wanted) for size, wanted in zip(reversed(mask.shape), reversed(full), strict=False)
    )
    if not fits:
        raise InvalidArgument(f"attn_mask: expected sizes that broadcast to {full}, got {tuple(mask.shape)}")


def _broadcast_leading(query: Any, key: Any, value: Any) -> tuple[int, ...]:
    try:
        return tuple(torch.broadcast_shapes(query, key, value))
    except RuntimeError:
        raise InvalidArgument(
            "query, key, value: expected leading sizes that broadcast, got "
            f"{tuple(query)}, {tuple(key)} and {tuple(value)} before heads"
        ) from None


def read_causal_bias(mask: Any, is_causal: bool, causal: Any) -> tuple[Any, bool, Any]:
    """torch's CausalBias as a rule instead of a mask."""
    if not isinstance(mask, CausalBias):
        return mask, is_causal, causal
    if is_causal or causal:
        raise InvalidArgument("CausalBias should not be used with causal=True")
    top_left = mask.variant == CausalVariant.UPPER_LEFT or mask.seq_len_q == mask.seq_len_kv
    return None, False, "top-left" if top_left else "bottom-right"


def autocast(tensors: list[Any]) -> list[Any]:
    """What autocast does to the arguments of PyTorch's function: floats (not doubles) become its half type."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return [
        tensor.to(dtype)
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dtype != torch.float64
        else tensor
        for tensor in tensors
    ]


def regular(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Equal ranks and leading sizes, equal heads of key and value: views where possible, and nothing mostly.

    Differentiable, so that autograd sums the gradients over what was broadcast.
    """
    if query.ndim == key.ndim == value.ndim:
        if query.shape[:-3] == key.shape[:-3] == value.shape[:-3] and (
            query.ndim < 3 or (key.shape[-3] == value.shape[-3] and query.shape[-3] % max(key.shape[-3], 1) == 0)
        ):
            return query, key, value
    elif query.ndim < 3 and key.ndim < 3 and value.ndim < 3:
        return query, key, value
    heads_q, heads_k, heads_v = (t.shape[-3] if t.ndim > 2 else 1 for t in (query, key, value))
    heads_kv = heads_k if heads_v in (1, heads_k) else heads_v
    if heads_k not in (1, heads_kv):  # both real and different: the query's heads, which each of them divides
        heads_kv = heads_q
    leading = torch.broadcast_shapes(query.shape[:-3], key.shape[:-3], value.shape[:-3])
    query = query.expand(*leading, max(heads_q, heads_kv) if heads_q == 1 else heads_q, *query.shape[-2:])
    return query, _spread(key, leading, heads_kv), _spread(value, leading, heads_kv)


def _spread(tensor: Tensor, leading: Any, heads: int) -> Tensor:
    own = tensor.shape[-3] if tensor.ndim > 2 else 1
    if own not in (1, heads) and own:
        tensor = tensor.repeat_interleave(heads // own, -3)
    return tensor.expand(*leading, heads, *tensor.shape[-2:])


def as_float32(name: str, tensor: Any) -> Any:
    """alibi_slopes and sinks, which the core reads as float32."""
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a torch tensor or None, got {type(tensor).__name__}")
    if name == "alibi_slopes" and tensor.requires_grad and torch.is_grad_enabled():
        raise Unsupported("alibi_slopes: expected a tensor that does not require gradients, got one that does")
    return tensor if tensor.dtype == torch.float32 else tensor.float()
