"""`attn_implementation="aule"` for Hugging Face transformers: importing this module registers it.

    import aule.integrations.transformers
    model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="aule")

transformers calls two functions: `aule_mask` once per forward pass and `aule_attention` in every layer; all that passes
between them is one tensor or None. A model's causal line and sliding window are rules that the kernel knows, so that a
mask of seq_q x seq_k elements is only made where the rules do not suffice. A mask is one of:

- None: SDPA's rule, causal from the top left if the module is causal and there is more than one query.
- Four dimensions, bool or float, (batch, 1 or heads, 1 or seq_q, seq_k): complete, nothing else hides a key.
- Two dimensions, bool, (batch, seq_k + extra): the first seq_k columns say which keys are tokens and which padding, no
  rows say that there is no padding; causal from the bottom right; extra = 1 + W means a sliding window of W keys.

The window travels in the mask's width, and not in the keyword `sliding_window` alone, because some models (Qwen2-MoE,
PhiMoE) apply it through their mask only; and not in an attribute of the tensor, because `detach`, `to` and gradient
checkpointing lose those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, prepare_padding_mask, sdpa_mask

from aule import flash_attention

NAME = "aule"


def aule_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    cache: Any = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """One layer's attention, as `transformers.AttentionInterface` wants it.

    query (batch, heads_q, seq_q, head_dim_qk), key (batch, heads_kv, seq_k, head_dim_qk), value (batch, heads_kv,
    seq_k, head_dim_v): KV heads are not repeated. attention_mask: see the module's text. sliding_window: keys that a
    query sees, itself included; used where there is no mask. position_bias (broadcastable to batch, heads_q, seq_q,
    seq_k) is added to the scores. s_aux (heads_q) are attention sinks. Returns (batch, seq_q, heads_q, head_dim_v),
    contiguous, and None: the probabilities never exist, so that `output_attentions=True` is refused (ValueError).
    """
    if kwargs.get("output_attentions"):
        raise ValueError(
            'attn_implementation="aule" computes no attention probabilities, but got output_attentions=True;'
            ' use "eager"'
        )
    if cache is not None:
        raise NotImplementedError(
            'attn_implementation="aule" does not read the paged cache of continuous batching yet; use "sdpa"'
        )

    seq_q, seq_k = query.shape[2], key.shape[2]
    causal = False
    window: tuple[int, int] | None = None
    if attention_mask is None:
        causal = seq_q > 1 and bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
        if causal and seq_k > seq_q:  # an empty static cache: the keys to come
            key, value = key[:, :, :seq_q], value[:, :, :seq_q]
            position_bias = None if position_bias is None else position_bias[..., :seq_q]
        if sliding_window is not None:
            window = (sliding_window - 1, -1 if causal or seq_q == 1 else sliding_window - 1)
    elif attention_mask.ndim == 2:
        attention_mask, window = _read_band_mask(attention_mask, seq_k)
    if position_bias is not None:
        attention_mask = _add_bias(position_bias, attention_mask)
        if causal:  # SDPA forbids is_causal beside a mask; the window says the same
            causal, window = False, (window[0] if window else -1, 0)

    output = flash_attention(
        query,
        key,
        value,
        attention_mask,
        dropout,
        causal,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
        window=window,
        softcap=softcap or 0.0,
        sinks=None if s_aux is None else s_aux.float(),
    )
    return output.transpose(1, 2).contiguous(), None


def aule_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **kwargs: Any,
) -> torch.Tensor | None:
    """The mask of one forward pass, as `transformers.AttentionMaskInterface` wants it: see the module's text.

    Query i stands at position q_offset + i, key j at kv_offset + j. attention_mask is the bool padding mask (batch, up
    to kv_offset + kv_length), true for a token. Falls back to `sdpa_mask`, which evaluates mask_function everywhere,
    for every pattern but causal and sliding-window causal, and while a graph is traced: what it decides depends on
    values.
    """

    def complete() -> torch.Tensor | None:
        result: torch.Tensor | None = sdpa_mask(
            batch_size=batch_size,
            q_length=q_length,
            kv_length=kv_length,
            q_offset=q_offset,
            kv_offset=kv_offset,
            mask_function=mask_function,
            attention_mask=attention_mask,
            local_size=local_size,
            allow_is_causal_skip=allow_is_causal_skip,
            **kwargs,
        )
        return result

    # A caller that allows no skip wants a mask to work on: packed sequences, image blocks, its own pattern.
    if not allow_is_causal_skip or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return complete()
    is_causal = mask_function is causal_mask_function
    if not is_causal and not (local_size is not None and _is_sliding_window(mask_function, local_size)):
        return complete()

    distance = int(q_offset) - int(kv_offset)  # position of the first query less that of the first key
    window = None if local_size is None or distance + q_length <= local_size else local_size
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if padding is not None:
        padding = padding[:, kv_offset : kv_offset + kv_length]
        # An empty static cache: the keys after the last query are hidden by the causal line.
        used = q_length if distance == 0 and q_length > 1 else kv_length
        if bool(padding[:, :used].all()):
            padding = None
    bottom_right = distance == kv_length - q_length
    sdpa_would_do = (distance == 0 and q_length > 1) or (bottom_right and q_length == 1)
    if padding is None and window is None and sdpa_would_do:
        return None
    if not bottom_right:
        return complete()
    return _band_mask(padding, kv_length, window, kwargs.get("device", "cpu"))


def _is_sliding_window(mask_function: Callable[..., Any], window: int) -> bool:
    """Whether a mask function is that of a causal sliding window (and not of chunks): asked, since it has no name."""
    edges = torch.tensor([0, 1, window - 1, window, window + 1, 2 * window - 1, 2 * window, 3 * window + 1])
    q, k = edges[:, None], torch.cat([edges, edges - window + 1, edges - window]).clamp(min=0)[None, :]
    batch = torch.zeros(1, 1, dtype=torch.int64)
    answer = torch.as_tensor(mask_function(batch, batch, q, k))
    return bool(torch.equal(answer.expand(q.shape[0], k.shape[1]), (k <= q) & (k > q - window)))


def _band_mask(padding: torch.Tensor | None, seq_k: int, window: int | None, device: Any) -> torch.Tensor:
    """The form of two dimensions: padding (batch, seq_k) or no rows, and 1 + window columns more."""
    extra = 0 if window is None else 1 + window
    if padding is None:
        return torch.ones(0, seq_k + extra, dtype=torch.bool, device=device)
    return torch.nn.functional.pad(padding, (0, extra), value=True)


def _read_band_mask(mask: torch.Tensor, seq_k: int) -> tuple[torch.Tensor | None, tuple[int, int]]:
    """What `_band_mask` wrote: padding (batch, 1, 1, seq_k) or None; the window (left, right) from the bottom right."""
    extra = mask.shape[1] - seq_k
    if extra < 0 or extra == 1:
        raise ValueError(f"attention_mask: expected (batch, seq_k) with seq_k = {seq_k}, but got {tuple(mask.shape)}")
    padding = mask[:, None, None, :seq_k].bool() if mask.shape[0] else None
    return padding, (extra - 2 if extra else -1, 0)


def _add_bias(bias: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return bias
    if mask.dtype == torch.bool:
        return torch.where(mask, bias, float("-inf"))
    return bias + mask


AttentionInterface.register(NAME, aule_attention)
AttentionMaskInterface.register(NAME, aule_mask)
