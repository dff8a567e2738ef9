"""`aule.flash_attention` and `aule.explain` for torch tensors, also behind the installed hook (integrations/sdpa.py).

A call takes one of three ways (`attention`):
- direct: eager tensors go to the core at once;
- operator: while a graph is traced, with fake or meta tensors and with tensor subclasses;
- PyTorch: what the library does not do (`pytorch_reason`) goes to PyTorch's own kernel, or to the formula in
  _composite.py where a rule is none of PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import _composite, _core
from ._errors import Unsupported
from ._rules import NONE, TOP_LEFT, Rules, check_sizes, read_rules
from ._torch_arguments import as_float32, autocast, check_tensors, read_causal_bias, regular, resolved
from ._torch_devices import OPERATOR_DEVICES, device_reason, place_of
from ._torch_ops import DTYPE_CODES, HAS_EXCHANGE, DirectAttention, draw_seed, forward, is_eager, seed_value

#: aule::kMaxRank
MAX_RANK = 8
#: PyTorch's own function, whatever torch.nn.functional's name is bound to; serves nested tensors too.
_stock_attention: Callable[..., Tensor] = torch._C._nn.scaled_dot_product_attention


def _is_dual(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and forward_ad.unpack_dual(tensor).tangent is not None


def pytorch_reason(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> str | None:
    """Why a call has to be computed by PyTorch, or None: a full sentence's second half."""
    if max(query.ndim, key.ndim, value.ndim) > MAX_RANK:
        return f"more than {MAX_RANK} dimensions"
    if torch.compiler.is_compiling():
        known = query.device.type in ("meta", *OPERATOR_DEVICES)
        return None if known else f"device '{query.device.type}' has no back end here"
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "a functorch transform is active (vmap, grad, vjp, jvp, ...)"
    if query.is_nested or key.is_nested or value.is_nested:
        return "nested tensors"
    reason = device_reason(query, key, value, mask)
    if reason is not None:
        return reason
    if forward_ad._current_level >= 0 and any(_is_dual(tensor) for tensor in (query, key, value, mask)):
        return "forward-mode derivatives"
    if not torch._C._get_flash_sdp_enabled():
        return "sdpa_kernel() rules out fused kernels"
    return None


def _run_pytorch(
    reason: str, query: Tensor, key: Tensor, value: Tensor, mask: Any, alibi: Any, sinks: Any, rules: Rules,
    enable_gqa: bool, return_lse: bool, backend: str,
) -> Any:  # fmt: skip
    """PyTorch's kernel where it knows the rules, else their formula in PyTorch operations."""
    if backend:
        raise Unsupported(f"backend: expected None, because this call goes to PyTorch ({reason}), got {backend!r}")
    if rules.is_sdpa and alibi is None and sinks is None and not return_lse and (mask is None or rules.causal == NONE):
        return _stock_attention(
            query, key, value, mask, rules.dropout_p, rules.causal == TOP_LEFT, scale=rules.scale, enable_gqa=enable_gqa
        )
    if query.is_nested or query.device.type not in ("cpu", "meta"):
        raise Unsupported(f"no back end runs this call: {reason}, and PyTorch's kernel does not know its options")
    if rules.dropout_p > 0:
        raise Unsupported(f"dropout_p: expected 0, because this call goes to PyTorch ({reason}), got {rules.dropout_p}")
    out, lse = _composite.attention(*regular(query, key, value), mask, alibi, sinks, rules)
    return (out, lse) if return_lse else out


def flash_attention(
    query: Any, key: Any, value: Any, mask: Any, dropout_p: Any, is_causal: Any, scale: Any, enable_gqa: bool,
    causal: Any, window: Any, softcap: Any, alibi: Any, sinks: Any, return_lse: bool, backend: str,
) -> Any:  # fmt: skip
    """`aule.flash_attention` for torch tensors."""
    if (
        mask is None and alibi is None and sinks is None and window is None and not return_lse and not backend
        and causal is None and not softcap and dropout_p == 0.0
    ):  # fmt: skip
        out = quick(query, key, value, is_causal, scale, enable_gqa)
        if out is not None:
            return out
    mask, is_causal, causal = read_causal_bias(query, key, mask, is_causal, causal)
    rules = read_rules(mask is not None, dropout_p, is_causal, scale, causal, window, softcap, enable_gqa)
    query, key, value, mask = autocast(query, key, value, mask)
    return attention(query, key, value, mask, alibi, sinks, rules, enable_gqa, return_lse, backend)


def quick(query: Any, key: Any, value: Any, is_causal: Any, scale: Any, enable_gqa: Any) -> Tensor | None:
    """A plain call without gradients, with as little Python as can be; None where anything is out of the ordinary.

    Short calls live on this: the long way's checks take longer than 16 x 16 scores.
    """
    if torch.compiler.is_compiling() or not HAS_EXCHANGE:
        return None
    if type(query) is not Tensor or type(key) is not Tensor or type(value) is not Tensor:
        return None
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
        return None
    if (
        not query.is_cpu
        or (is_causal is not True and is_causal is not False)
        or (enable_gqa is not True and enable_gqa is not False)
        or (scale is not None and type(scale) is not float)
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or not torch._C._get_flash_sdp_enabled()
        or torch.is_autocast_enabled("cpu")
        or (query.is_neg() or key.is_neg() or value.is_neg())
        or torch.jit.is_tracing()
    ):
        return None
    out = torch.empty_like(query)
    return out if _core.attention_quick(query, key, value, out, is_causal, scale, enable_gqa) else None


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, alibi: Tensor | None, sinks: Tensor | None,
    rules: Rules, enable_gqa: bool, return_lse: bool = False, backend: str = "",
) -> Any:  # fmt: skip
    """The call behind `flash_attention` and behind the installed hook."""
    if isinstance(query, Tensor):
        reason = pytorch_reason(query, key, value, mask) if _all_tensors(key, value) else None
        if reason is not None:
            return _run_pytorch(
                reason, query, key, value, mask, alibi, sinks, rules, enable_gqa, return_lse, backend
            )  # fmt: skip
    check_tensors(query, key, value, mask)
    check_sizes(query.shape, key.shape, value.shape, None if mask is None else mask.shape, enable_gqa)
    alibi, sinks = as_float32("alibi_slopes", alibi), as_float32("sinks", sinks)
    query, key, value = (resolved(tensor) for tensor in regular(query, key, value))
    mask = resolved(mask)
    if mask is not None and mask.ndim == 0:
        mask = mask[None]
    inputs = (query, key, value, mask, alibi, sinks)
    seed = draw_seed() if rules.dropout_p > 0 else None
    if not is_eager(inputs):
        out, lse = torch.ops.aule.attention_forward(*inputs, *rules, seed, backend)
    elif torch.is_grad_enabled() and _needs_grad(inputs):
        out, lse = DirectAttention.apply(*inputs, *rules, seed, backend)
    else:
        out, lse = forward(*inputs, rules, seed_value(seed), backend, return_lse)
    return (out, lse) if return_lse else out


def _all_tensors(*tensors: Any) -> bool:
    return all(isinstance(tensor, Tensor) for tensor in tensors)


def _needs_grad(tensors: tuple[Tensor | None, ...]) -> bool:
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


def explain(
    query: Any, key: Any, value: Any, mask: Any, dropout_p: Any, is_causal: Any, scale: Any, enable_gqa: bool,
    causal: Any, window: Any, softcap: Any, alibi: Any, sinks: Any, return_lse: bool, backend: str, backward: bool,
) -> str:  # fmt: skip
    """`aule.explain` for torch tensors."""
    mask, is_causal, causal = read_causal_bias(query, key, mask, is_causal, causal)
    rules = read_rules(mask is not None, dropout_p, is_causal, scale, causal, window, softcap, enable_gqa)
    query, key, value, mask = autocast(query, key, value, mask)
    if _all_tensors(query, key, value):
        reason = pytorch_reason(query, key, value, mask)
        if reason is not None:
            return f"PyTorch's own kernel: {reason}\n"
    check_tensors(query, key, value, mask)
    check_sizes(query.shape, key.shape, value.shape, None if mask is None else mask.shape, enable_gqa)
    query, key, value = regular(query, key, value)
    tensors = (query, key, value, mask, as_float32("alibi_slopes", alibi), as_float32("sinks", sinks))
    sizes = [
        None if t is None else (0, DTYPE_CODES[t.dtype], tuple(t.shape) or (1,), tuple(t.stride()) or (1,))
        for t in tensors
    ]
    memory, device, _ = place_of(query) if query.device.type in OPERATOR_DEVICES else (0, 0, 0)
    return _core.explain(*sizes, *rules, backend, backward, "", memory, device)
