"""The public functions: `flash_attention`, `explain`, and what there is to run on.

This file sorts calls by the kind of their tensors: _torch_attention.py (imported once torch is) or _array_ops.py.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from . import _array_ops, _core
from ._rules import read_rules

#: torch.Tensor once the program has imported torch.
_tensor_type: Any = None


def _is_torch(query: Any, key: Any, value: Any) -> bool:
    """Whether a torch tensor is among them. torch is never imported here: who has a tensor has imported it."""
    global _tensor_type
    if _tensor_type is None:
        torch = sys.modules.get("torch")
        _tensor_type = getattr(torch, "Tensor", None)
        if _tensor_type is None:
            return False
    return isinstance(query, _tensor_type) or isinstance(key, _tensor_type) or isinstance(value, _tensor_type)


def flash_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    causal: bool | str | None = None,
    window: tuple[int, int] | None = None,
    softcap: float = 0.0,
    alibi_slopes: Any = None,
    sinks: Any = None,
    return_lse: bool = False,
    backend: str | None = None,
) -> Any:
    """Attention, softmax(scale Q K^T) V, in linear memory: FlashAttention-2 (Dao 2023, algorithms 1 and 2).

    The first eight arguments are those of `torch.nn.functional.scaled_dot_product_attention`, with its rules. Torch
    tensors give torch tensors and take part in autograd; NumPy arrays give NumPy arrays, other DLPack objects their own
    kind. Any strides are welcome; nothing is copied.

    Args:
        query: (..., heads_q, seq_q, head_dim_qk), 2 to 8 dimensions; float32, float16, bfloat16 or float64.
        key: (..., heads_kv, seq_k, head_dim_qk).
        value: (..., heads_kv, seq_k, head_dim_v). Leading sizes of the three broadcast.
        attn_mask: broadcastable to (..., heads_q, seq_q, seq_k). bool: true takes part. Floating (float32 or query's
            type): added to the scores. Also torch's CausalBias.
        dropout_p: probability of dropping a weight, always applied, whatever a module's training flag says.
        is_causal: query i sees keys 0 to i (top-left). Not together with attn_mask.
        scale: factor of the scores; None is 1 / sqrt(head_dim_qk).
        enable_gqa: heads_q may be a multiple of heads_kv: query head h reads K/V head h // (heads_q // heads_kv)
            (Ainslie et al. 2023).
        causal: True is is_causal=True; "bottom-right": query i sees keys 0 to i + seq_k - seq_q, as with a KV cache.
        window: (left, right), keys that a query sees to each side of its own position, -1 unlimited (Beltagy et al.
            2020). Its position is i with causal=True and i + seq_k - seq_q otherwise.
        softcap: scores become softcap * tanh(score / softcap) before masks (Gemma 2, 2024); 0 is off.
        alibi_slopes: (heads_q) or (batch, heads_q); adds -slope * distance (Press et al. 2022). No gradient.
        sinks: (heads_q), a logit for each head that only joins the softmax's denominator (Xiao et al. 2024).
        return_lse: also return the natural logarithm of the softmax's denominator.
        backend: "cpu", "reference", ...; None chooses (`aule.explain` says what).

    Returns:
        (..., heads_q, seq_q, head_dim_v) of query's type; where its sizes are query's, in query's memory order. With
        return_lse a pair with lse (..., heads_q, seq_q), float32 (float64 for float64), -inf for rows that see no key,
        whose output is 0.

    Raises:
        RuntimeError, TypeError, ValueError, NotImplementedError: as PyTorch's function; the message names the argument,
            what was expected and what was given. All but TypeErrors for wrong Python types are `aule.Error`.
    """
    if _is_torch(query, key, value):
        from . import _torch_attention

        return _torch_attention.flash_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, causal, window, softcap,
            alibi_slopes, sinks, return_lse, backend or "",
        )  # fmt: skip
    rules = read_rules(attn_mask is not None, dropout_p, is_causal, scale, causal, window, softcap)
    return _array_ops.flash_attention(
        query, key, value, attn_mask, alibi_slopes, sinks, rules, enable_gqa, return_lse, backend or ""
    )


def explain(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    causal: bool | str | None = None,
    window: tuple[int, int] | None = None,
    softcap: float = 0.0,
    alibi_slopes: Any = None,
    sinks: Any = None,
    return_lse: bool = False,
    backend: str | None = None,
    backward: bool = False,
) -> str:
    """What `flash_attention` would run for these arguments, and why every other back end would not. Computes nothing.

    Where a call goes to PyTorch's own kernel (see `install`), the text begins with "PyTorch" and the reason.
    backward: explain the gradient's pass. Raises what the call would raise.
    """
    if _is_torch(query, key, value):
        from . import _torch_attention

        return _torch_attention.explain(
            query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, causal, window, softcap,
            alibi_slopes, sinks, return_lse, backend or "", backward,
        )  # fmt: skip
    rules = read_rules(attn_mask is not None, dropout_p, is_causal, scale, causal, window, softcap)
    return _array_ops.explain(
        query, key, value, attn_mask, alibi_slopes, sinks, rules, enable_gqa, backend or "", backward
    )


class Device(NamedTuple):
    """A device that this build can use: the back end that drives it, its name, and what matters of it."""

    backend: str
    name: str
    details: str

    def __str__(self) -> str:
        return f"{self.backend}: {self.name}" + (f" ({self.details})" if self.details else "")


def devices() -> list[Device]:
    """The devices of this machine that the library can run on, the preferred one first."""
    return [Device(*fields) for fields in _core.devices()]


def num_threads() -> int:
    """Threads that CPU kernels use."""
    return _core.num_threads()


def set_num_threads(count: int) -> None:
    """Sets the number of threads of CPU kernels; 0 restores the default: AULE_NUM_THREADS, or all cores.

    Raises:
        ValueError: count is negative.
    """
    _core.set_num_threads(count)


__all__ = ["Device", "devices", "explain", "flash_attention", "num_threads", "set_num_threads"]
