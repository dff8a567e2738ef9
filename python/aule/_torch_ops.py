"""The core as PyTorch operators: forward and backward on tensors, `torch.ops.aule.*` with fakes, and the gradient.

`torch.ops.aule.attention_forward` is for traced graphs, fake tensors and subclasses; `DirectAttention` is the same for
eager tensors without the dispatcher's round trip. Both have one gradient, `_gradients`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from . import _composite, _core
from ._errors import Unsupported
from ._rules import Rules
from ._torch_arguments import resolved
from ._torch_devices import HOST_PLACE, OPERATOR_DEVICES, place_of

#: aule::DType
DTYPE_CODES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3, torch.bool: 4}


def _describe_by_tuple(tensor: Tensor | None) -> Any:
    if tensor is None:
        return None
    return tensor.data_ptr(), DTYPE_CODES[tensor.dtype], tensor.shape, tensor.stride()


def _describe_by_itself(tensor: Tensor | None) -> Any:
    return tensor


#: PyTorch 2.10 and newer let the core read a tensor by itself, ten times as fast.
HAS_EXCHANGE = hasattr(Tensor, "__dlpack_c_exchange_api__")
_describe_on_host = _describe_by_itself if HAS_EXCHANGE else _describe_by_tuple


def _describe(place: tuple[int, int, int], *tensors: Tensor | None) -> Iterator[Any]:
    """Tensors as the core takes them; it looks into objects in host memory only."""
    return map(_describe_on_host if place is HOST_PLACE else _describe_by_tuple, tensors)


def _empty_out(query: Tensor, value: Tensor) -> Tensor:
    """In query's memory order where the sizes are query's: (batch, seq, heads, dim) models need no copy afterwards."""
    if query.shape[-1] == value.shape[-1]:
        return torch.empty_like(query)
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type of lse and of a mask's gradient."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def forward(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, alibi: Tensor | None, sinks: Tensor | None,
    rules: Rules, seed: int, backend: str, want_lse: bool,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    out = _empty_out(query, value)
    lse = query.new_empty(query.shape[:-1], dtype=_wide(query.dtype)) if want_lse else None
    place = place_of(query)
    tensors = _describe(place, query, key, value, out, lse, mask, alibi, sinks)
    _core.attention_forward(*tensors, *rules, seed, backend, 0, *place)
    return out, lse


def _backward(
    saved: tuple[Tensor | None, ...], dout: Tensor, dlse: Tensor | None, rules: Rules, seed: int, backend: str,
    wanted: tuple[bool, ...],
) -> list[Tensor | None]:  # fmt: skip
    """Gradients of query, key, value, mask and sinks; None where not wanted."""
    query, key, value, mask, alibi, sinks, out, lse = saved
    assert query is not None and key is not None and value is not None
    dq, dk, dv = (torch.empty_like(t) if w else None for t, w in zip((query, key, value), wanted, strict=False))
    dmask = mask.new_empty(mask.shape, dtype=_wide(query.dtype)) if wanted[3] and mask is not None else None
    dsinks = torch.empty_like(sinks) if wanted[4] and sinks is not None else None
    place = place_of(query)
    tensors = _describe(
        place, query, key, value, out, lse, dout, dlse, dq, dk, dv, dmask, dsinks, mask, alibi, sinks
    )  # fmt: skip
    _core.attention_backward(*tensors, *rules, seed, backend, 0, *place)
    if dmask is not None and mask is not None:
        dmask = dmask.to(mask.dtype)
    return [dq, dk, dv, dmask, dsinks]


def is_eager(tensors: tuple[Tensor | None, ...]) -> bool:
    """Plain tensors in memory, and nobody watching: the operator may be left out."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0:
        return False
    for tensor in tensors:
        if tensor is not None and (
            (type(tensor) is not Tensor and type(tensor) is not torch.nn.Parameter)
            or tensor.device.type not in OPERATOR_DEVICES
        ):
            return False
    return not torch.jit.is_tracing()


# ---- Custom operators -----------------------------------------------------------------------------------------------

_RULES_SCHEMA = (
    "int causal, SymInt window_left, SymInt window_right, float? scale, float softcap, float dropout_p, "
    "Tensor? dropout_seed, str backend"
)


@torch.library.custom_op(
    "aule::attention_forward",
    mutates_args=(),
    device_types=OPERATOR_DEVICES,
    schema="(Tensor query, Tensor key, Tensor value, Tensor? mask, Tensor? alibi_slopes, Tensor? sinks, "
    + _RULES_SCHEMA
    + ") -> (Tensor, Tensor)",
)
def _forward_op(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, alibi: Tensor | None, sinks: Tensor | None,
    causal: int, window_left: int, window_right: int, scale: float | None, softcap: float, dropout_p: float,
    dropout_seed: Tensor | None, backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    rules = Rules(causal, window_left, window_right, scale, softcap, dropout_p)
    out, lse = forward(query, key, value, mask, alibi, sinks, rules, seed_value(dropout_seed), backend, True)
    assert lse is not None
    return out, lse


@_forward_op.register_fake
def _forward_fake(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _empty_out(query, value), query.new_empty(query.shape[:-1], dtype=_wide(query.dtype))


@torch.library.custom_op(
    "aule::attention_backward",
    mutates_args=(),
    device_types=OPERATOR_DEVICES,
    schema="(Tensor dout, Tensor? dlse, Tensor query, Tensor key, Tensor value, Tensor? mask, Tensor? alibi_slopes, "
    "Tensor? sinks, Tensor out, Tensor lse, bool[] wanted, " + _RULES_SCHEMA + ") -> Tensor[]",
)
def _backward_op(
    dout: Tensor, dlse: Tensor | None, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
    alibi: Tensor | None, sinks: Tensor | None, out: Tensor, lse: Tensor, wanted: list[bool], causal: int,
    window_left: int, window_right: int, scale: float | None, softcap: float, dropout_p: float,
    dropout_seed: Tensor | None, backend: str,
) -> list[Tensor]:  # fmt: skip
    rules = Rules(causal, window_left, window_right, scale, softcap, dropout_p)
    saved = (query, key, value, mask, alibi, sinks, out, lse)
    gradients = _backward(saved, dout, dlse, rules, seed_value(dropout_seed), backend, tuple(wanted))
    return [gradient for gradient in gradients if gradient is not None]


@_backward_op.register_fake
def _backward_fake(
    dout: Tensor, dlse: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, alibi: Any, sinks: Any, out: Tensor,
    lse: Tensor, wanted: list[bool], *_: Any,
) -> list[Tensor]:  # fmt: skip
    # The mask's gradient is contiguous, as _backward makes it; the others have their input's memory order.
    inputs = (query, key, value, mask, sinks)
    return [
        torch.empty_like(tensor) if index != 3 else tensor.new_empty(tensor.shape)
        for index, (tensor, want) in enumerate(zip(inputs, wanted, strict=True))
        if want
    ]


def seed_value(seed: Tensor | None) -> int:
    return 0 if seed is None else int(seed.item())


def draw_seed() -> Tensor:
    """From torch's generator, so that torch.manual_seed reproduces a call and checkpointing repeats it."""
    return torch.randint(0, 2**63 - 1, (), dtype=torch.int64, device="cpu")


# ---- Gradients: the same functions serve the operator and the direct way ---------------------------------------------


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, mask, alibi, sinks, *rules, seed, backend = inputs
    out, lse = output
    ctx.save_for_backward(query, key, value, mask, alibi, sinks, out, lse, seed)
    ctx.rules, ctx.backend = Rules(*rules), backend
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
    query, key, value, mask, alibi, sinks, out, lse, seed = ctx.saved_tensors
    needs = ctx.needs_input_grad
    wanted = (needs[0], needs[1], needs[2], mask is not None and needs[3], sinks is not None and needs[5])
    nothing = (None,) * 8
    if dout is None and dlse is None:
        return (None,) * 6 + nothing
    if dout is None:
        dout = torch.zeros_like(out)
    dout, dlse = resolved(dout), resolved(dlse)
    if not torch.compiler.is_compiling() and (torch.is_grad_enabled() or _is_batched(dout) or _is_batched(dlse)):
        found = _twice_differentiable(ctx, (query, key, value, mask, alibi, sinks), wanted, dout, dlse)
    elif is_eager((dout, dlse, query, key, value)):
        saved = (query, key, value, mask, alibi, sinks, out, lse)
        found = _backward(saved, dout, dlse, ctx.rules, seed_value(seed), ctx.backend, wanted)
    else:
        rest = iter(
            torch.ops.aule.attention_backward(
                dout, dlse, query, key, value, mask, alibi, sinks, out, lse, list(wanted), *ctx.rules, seed, ctx.backend
            )
        )
        found = [next(rest) if want else None for want in wanted]
    dq, dk, dv, dmask, dsinks = found
    return (dq, dk, dv, dmask, None, dsinks, *nothing)


def _is_batched(tensor: Tensor | None) -> bool:
    """By a vmap over the backward pass alone: functorch's, or autograd's older one (is_grads_batched=True)."""
    functorch = torch._C._functorch
    return tensor is not None and (
        functorch.peek_interpreter_stack() is not None or functorch.is_legacy_batchedtensor(tensor)
    )


def _twice_differentiable(
    ctx: Any, inputs: tuple[Tensor | None, ...], wanted: tuple[bool, ...], dout: Tensor, dlse: Tensor | None
) -> list[Tensor | None]:
    """create_graph=True, or a batch of gradients: the gradient again in PyTorch operations, which can do both."""
    if ctx.rules.dropout_p > 0:
        raise Unsupported(
            "dropout_p: expected 0 with double backward (create_graph=True) or batched gradients,"
            f" got {ctx.rules.dropout_p}"
        )
    query, key, value, mask, alibi, sinks = inputs
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        out, lse = _composite.attention(query, key, value, mask, alibi, sinks, ctx.rules)
        leaves = [tensor for tensor, want in zip((query, key, value, mask, sinks), wanted, strict=True) if want]
        outputs, seeds = ([out], [dout]) if dlse is None else ([out, lse], [dout, dlse])
        rest = iter(torch.autograd.grad(outputs, leaves, seeds, create_graph=again, allow_unused=True))
    return [next(rest) if want else None for want in wanted]


_forward_op.register_autograd(_gradients, setup_context=_setup_context)


class DirectAttention(torch.autograd.Function):  # type: ignore[misc]
    """The operator for eager tensors, without the dispatcher's round trip."""

    @staticmethod
    def forward(
        query: Tensor, key: Tensor, value: Tensor, mask: Any, alibi: Any, sinks: Any, causal: int, window_left: int,
        window_right: int, scale: float | None, softcap: float, dropout_p: float, seed: Any, backend: str,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        rules = Rules(causal, window_left, window_right, scale, softcap, dropout_p)
        return forward(query, key, value, mask, alibi, sinks, rules, seed_value(seed), backend, True)

    setup_context = staticmethod(_setup_context)
    backward = staticmethod(_gradients)
