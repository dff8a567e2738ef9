"""What the tests of the contract, the hook and autograd share: inputs, truths that do not rest on our code, measures.

`math` is PyTorch's math operator itself, which `aule.install()` never overrides; `formula` spells the features out that
PyTorch's operator does not have.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.functional import scaled_dot_product_attention as bound_early
from torch.profiler import ProfilerActivity, profile

import aule

Attention = Callable[..., Any]
#: The ways into the library that share one contract.
ENTRIES = ("function", "hook")
#: The ways in which programs reach PyTorch's function.
CALLERS: dict[str, Attention] = {
    "torch.nn.functional": lambda *args, **options: F.scaled_dot_product_attention(*args, **options),
    "bound early": bound_early,
    "torch._C._nn": torch._C._nn.scaled_dot_product_attention,
    "torch.ops.aten": torch.ops.aten.scaled_dot_product_attention,
    "torch.ops.aten, overload": torch.ops.aten.scaled_dot_product_attention.default,
}
HALF = (torch.float16, torch.bfloat16)
DTYPES = (torch.float64, torch.float32, *HALF)


@contextlib.contextmanager
def entry(name: str) -> Iterator[Attention]:
    """`aule.flash_attention`, or PyTorch's function under the hook."""
    if name == "function":
        yield aule.flash_attention
        return
    aule.install()
    try:
        yield F.scaled_dot_product_attention
    finally:
        aule.uninstall()


def randn(*sizes: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def qkv(
    lead: Sequence[int] = (2,),
    *,
    heads: int = 4,
    heads_kv: int | None = None,
    seq_q: int = 5,
    seq_k: int = 7,
    dim: int = 8,
    dim_v: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    heads_kv = heads if heads_kv is None else heads_kv
    return (
        randn(*lead, heads, seq_q, dim, seed=1, dtype=dtype),
        randn(*lead, heads_kv, seq_k, dim, seed=2, dtype=dtype),
        randn(*lead, heads_kv, seq_k, dim if dim_v is None else dim_v, seed=3, dtype=dtype),
    )


def arrays(dtype: Any = np.float32, **sizes: Any) -> list[np.ndarray]:
    return [tensor.numpy().astype(dtype) for tensor in qkv(**sizes)]


def math(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """PyTorch's math path, whatever is installed."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:  # as the operator above this one does
        attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype).masked_fill(~attn_mask, -torch.inf)
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )[0]
    return out


def formula(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *,
    scale: float | None = None,
    causal: str | None = None,
    window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: torch.Tensor | None = None,
    sinks: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(out, lse) by whole score matrices of plain differentiable operations, grouped heads repeated."""
    group = query.shape[-3] // key.shape[-3]
    key, value = (tensor.repeat_interleave(group, dim=-3) for tensor in (key, value))
    seq_q, seq_k = query.shape[-2], key.shape[-2]
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    # Position of a key relative to its query: 0 is the causal line, drawn from the top left or the bottom right.
    offset = 0 if causal == "top-left" else seq_k - seq_q
    relative = torch.arange(seq_k) - torch.arange(seq_q)[:, None] - offset
    if alibi_slopes is not None:
        scores = scores - alibi_slopes.to(scores.dtype)[..., None, None] * relative.abs()
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros(attn_mask.shape).masked_fill(~attn_mask, -torch.inf)
        scores = scores + attn_mask.to(scores.dtype)
    hidden = torch.zeros_like(relative, dtype=torch.bool)
    if causal is not None:
        hidden = hidden | (relative > 0)
    if window[0] >= 0:
        hidden = hidden | (relative < -window[0])
    if window[1] >= 0:
        hidden = hidden | (relative > window[1])
    scores = scores.masked_fill(hidden, -torch.inf)
    if sinks is not None:
        column = sinks.to(scores.dtype)[:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, column], dim=-1)
    empty = (scores == -torch.inf).all(dim=-1, keepdim=True)
    lse = torch.logsumexp(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty[..., 0], -torch.inf)
    weights = torch.softmax(scores.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)
    return weights[..., :seq_k] @ value, lse


#: The entries of the extension module, and what they count as. `attention_quick` may answer that it did nothing.
CORE = {
    "attention_forward": "core forward",
    "attention_quick": "core forward",
    "attention_backward": "core backward",
}


def operators_of(call: Callable[[], object]) -> set[str]:
    """Names of what runs during `call`: operators that PyTorch's profiler sees, "core forward", "core backward"."""
    seen: set[str] = set()
    entries = {name: getattr(aule._core, name) for name in CORE}

    def watched(name: str) -> Callable[..., object]:
        def run(*arguments: object) -> object:
            done = entries[name](*arguments)
            if name != "attention_quick" or done:
                seen.add(CORE[name])
            return done

        return run

    for name in entries:
        setattr(aule._core, name, watched(name))
    try:
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            call()
    finally:
        for name, function in entries.items():
            setattr(aule._core, name, function)
    return seen | {event.key for event in recorded.key_averages()}


def is_ours(operators: set[str]) -> bool:
    return "core forward" in operators


def assert_accurate(
    actual: torch.Tensor,
    truth: torch.Tensor,
    yardstick: torch.Tensor,
    what: str = "out",
    *,
    ulps: float = 1.0,
    dtype: torch.dtype | None = None,
    terms: float = 0.0,
) -> None:
    """No further from `truth` (float64) than twice what `yardstick` is, plus `ulps` units in the last place of `dtype`.

    The accumulator's own rounding is allowed for as well: in small tensors the yardstick's error may happen to be 0.
    NaN has to be where the truth has it. dtype: of the call, where results rest on values rounded to it. terms: size of
    what a result is the difference of (with one visible key dQ is exactly 0, a difference of equal terms).
    """
    assert actual.shape == truth.shape, f"{what}: shape {tuple(actual.shape)}, expected {tuple(truth.shape)}"
    assert actual.dtype == yardstick.dtype, f"{what}: {actual.dtype}, expected {yardstick.dtype}"
    dtype = dtype or yardstick.dtype
    accumulator = torch.float64 if torch.float64 in (dtype, yardstick.dtype) else torch.float32
    actual, yardstick, truth = (tensor.detach().double() for tensor in (actual, yardstick, truth))
    assert torch.equal(actual.isnan(), truth.isnan()), f"{what}: NaN in different places"
    actual, yardstick, truth = (tensor.nan_to_num(nan=0.0) for tensor in (actual, yardstick, truth))
    if not truth.numel():
        return
    largest = float(truth.abs().max())
    allowed = 2 * float((yardstick - truth).abs().max()) + ulps * torch.finfo(dtype).eps * largest
    allowed += 16 * torch.finfo(accumulator).eps * max(largest, terms)
    error = float((actual - truth).abs().max())
    assert error <= allowed, f"{what}: error {error:.3g}, allowed {allowed:.3g}, largest value {largest:.3g}"


def outputs_and_gradients(
    attend: Attention, tensors: Sequence[torch.Tensor], options: Mapping[str, Any], wide: bool = False
) -> dict[str, torch.Tensor | None]:
    """out and the gradients of query, key, value and a float attn_mask, all in float64 if `wide`."""
    leaves = dict(zip(("query", "key", "value"), tensors, strict=True))
    mask = options.get("attn_mask")
    if isinstance(mask, torch.Tensor) and mask.is_floating_point():
        leaves["attn_mask"] = mask
    if wide:
        leaves = {name: tensor.double() for name, tensor in leaves.items()}
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in leaves.items()}
    out = attend(**{**options, **leaves})
    results: dict[str, torch.Tensor | None] = {"out": out.detach()}
    gradients: Sequence[torch.Tensor | None] = [None] * len(leaves)
    if out.requires_grad:
        seed = randn(*out.shape, seed=9, dtype=out.dtype)
        gradients = torch.autograd.grad(out, list(leaves.values()), seed, allow_unused=True)
    return results | {"d" + name: gradient for name, gradient in zip(leaves, gradients, strict=True)}


def assert_as_pytorch(
    attend: Attention,
    tensors: Sequence[torch.Tensor],
    options: Mapping[str, Any] | None = None,
    expected: Attention = math,
    expected_options: Mapping[str, Any] | None = None,
) -> None:
    """Forward and backward of `attend` against `expected`, which runs in float64 and in the type of the call."""
    options = options or {}
    expected_options = options if expected_options is None else expected_options
    dtype = tensors[0].dtype
    actual = outputs_and_gradients(attend, tensors, options)
    truth = outputs_and_gradients(expected, tensors, expected_options, wide=True)
    yardstick = outputs_and_gradients(expected, tensors, expected_options)
    for name, result in actual.items():
        true, yard = truth[name], yardstick[name]
        if true is None or yard is None:  # PyTorch answered without looking at the input: nothing depends on it
            assert result is None or not result.any(), f"{name} is not 0"
            continue
        assert result is not None, f"{name} is None"
        tolerance = {"ulps": 1.0} if name == "out" else {"ulps": 4.0, "terms": 1.0}
        assert_accurate(result, true, yard, name, dtype=dtype, **tolerance)


def run_python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, outside the source tree; another exit code than 0 fails."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=120, cwd=os.sep, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
