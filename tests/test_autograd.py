"""Derivatives, the custom operators behind them, and what PyTorch builds on both.

gradcheck compares with finite differences in float64; the formula with autograd through plain operations; everything
else with PyTorch's math operator.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

import aule
from feature_rows import DOUBLE, FEATURES, SINKS, feature
from sdpa_tools import (
    DTYPES,
    Attention,
    assert_accurate,
    assert_as_pytorch,
    entry,
    formula,
    math,
    outputs_and_gradients,
    qkv,
    randn,
)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("with_lse", [False, True], ids=["out", "out and lse"])
def test_gradcheck(name: str, with_lse: bool) -> None:
    leaves, options = feature(name)
    # What lse is of a row that nothing is visible in has no derivative: check what is finite.
    options["return_lse"] = with_lse

    def call(*tensors: torch.Tensor) -> Any:
        torch.manual_seed(11)  # the same dropout each time
        mask = {"attn_mask": tensors[3]} if len(tensors) > 3 else {}
        result = aule.flash_attention(*tensors[:3], **options, **mask)
        if not with_lse:
            return result
        out, lse = result
        return out, torch.where(torch.isfinite(lse), lse, 0.0)

    assert gradcheck(call, leaves, fast_mode=True, nondet_tol=0.0)


def test_gradcheck_of_every_element() -> None:
    """Element by element, which the fast mode above sums up."""
    sizes = {"heads": 2, "heads_kv": 1, "seq_q": 3, "seq_k": 4, "dim": 3, "dim_v": 2}
    leaves = [*qkv((2,), **sizes, dtype=DOUBLE), randn(2, 1, 3, 4, seed=4, dtype=DOUBLE)]  # type: ignore[arg-type]

    def call(*tensors: torch.Tensor) -> Any:
        torch.manual_seed(11)
        return aule.flash_attention(
            *tensors, enable_gqa=True, softcap=2.0, window=(2, 1), sinks=SINKS[:2], dropout_p=0.3, return_lse=True
        )

    assert gradcheck(call, [leaf.requires_grad_() for leaf in leaves])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", [{}, {"causal": "bottom-right", "softcap": 2.0}], ids=["plain", "causal, softcap"])
@pytest.mark.parametrize("used", ["out", "lse", "out and lse"])
def test_gradients_of_sinks_and_bias(dtype: torch.dtype, options: dict[str, Any], used: str) -> None:
    """Every input's gradient, from out, from lse and from both, by autograd through the formula."""
    sources = [*qkv(dtype=dtype), randn(2, 1, 5, 7, seed=4).to(dtype), SINKS]

    def run(attend: Attention, kind: torch.dtype | None) -> list[torch.Tensor]:
        leaves = [(source if kind is None else source.to(kind)).detach().requires_grad_() for source in sources]
        out, lse = attend(*leaves[:3], attn_mask=leaves[3], sinks=leaves[4], **options)
        results = {"out": [out], "lse": [lse], "out and lse": [out, lse]}[used]
        seeds = [randn(*result.shape, seed=9).to(result.dtype) for result in results]
        wanted = [leaf for index, leaf in enumerate(leaves) if used != "lse" or index != 2]
        return list(torch.autograd.grad(results, wanted, seeds))

    ours = run(lambda *tensors, **rest: aule.flash_attention(*tensors, **rest, return_lse=True), None)
    truth, yardstick = run(formula, DOUBLE), run(formula, DOUBLE if dtype == DOUBLE else torch.float32)
    kept = [source for index, source in enumerate(sources) if used != "lse" or index != 2]
    for index, (actual, source) in enumerate(zip(ours, kept, strict=True)):
        assert actual.shape == source.shape and actual.dtype == source.dtype
        narrow = torch.float32 if dtype == DOUBLE and source is SINKS else dtype
        assert_accurate(actual, truth[index], yardstick[index].to(actual.dtype), f"input {index}", ulps=6, dtype=narrow)


@pytest.mark.parametrize("wanted", [w for n in range(1, 5) for w in itertools.combinations(range(4), n)], ids=str)
@pytest.mark.parametrize("name", ["function", "hook"])
def test_partial_gradients(name: str, wanted: tuple[int, ...]) -> None:
    """Any subset of query, key, value and mask may ask; the others get none."""
    sources = [*qkv(), randn(1, 4, 5, 7, seed=4)]

    def run(attend: Attention, dtype: torch.dtype) -> list[torch.Tensor | None]:
        leaves = [source.to(dtype).detach().clone() for source in sources]
        for index in wanted:
            leaves[index].requires_grad_()
        out = attend(*leaves)
        out.backward(randn(*out.shape, seed=9, dtype=dtype))
        return [leaf.grad for leaf in leaves]

    truth, yardstick = run(math, DOUBLE), run(math, torch.float32)
    with entry(name) as attend:
        actual = run(attend, torch.float32)
    for index in range(4):
        assert (actual[index] is None) == (index not in wanted)
        if index in wanted:
            assert_accurate(actual[index], truth[index], yardstick[index], f"input {index}", ulps=4)  # type: ignore[arg-type]


BROADCAST = {
    "query": [(1, 1, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)],
    "key and value": [(2, 4, 5, 8), (1, 1, 7, 8), (1, 1, 7, 8)],
    "ranks": [(3, 2, 4, 5, 8), (4, 7, 8), (7, 8)],
    "all": [(1, 4, 5, 8), (3, 1, 7, 8), (1, 1, 7, 6)],
}


@pytest.mark.parametrize("name", BROADCAST)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_broadcast_inputs_get_summed_gradients(name: str, dtype: torch.dtype) -> None:
    tensors = tuple(randn(*shape, seed=index, dtype=dtype) for index, shape in enumerate(BROADCAST[name]))
    results = outputs_and_gradients(aule.flash_attention, tensors, {})
    for tensor, gradient in zip(tensors, list(results.values())[1:], strict=True):
        assert gradient is not None and gradient.shape == tensor.shape and gradient.dtype == dtype
    assert_as_pytorch(aule.flash_attention, tensors)


def test_expanded_leaves_and_strided_gradients() -> None:
    """dO with strides 0 (sum) and transposed, and a leaf used three times."""
    for make in (
        lambda out: out.sum(),
        lambda out: out.mT.reshape(-1).cumsum(0).sum(),
        lambda out: out[..., ::2, 1:].square().sum(),
        lambda out: (out * 0).sum(),
    ):
        gradients = []
        for attend in (aule.flash_attention, math):
            leaf = randn(2, 4, 6, 8, dtype=DOUBLE).requires_grad_()
            (gradient,) = torch.autograd.grad(make(attend(leaf, leaf, leaf, is_causal=True)), leaf)
            gradients.append(gradient)
        torch.testing.assert_close(*gradients)


def test_retain_graph_and_accumulation() -> None:
    leaves = [tensor.requires_grad_() for tensor in qkv()]
    out = aule.flash_attention(*leaves)
    seed = randn(*out.shape, seed=9)
    first = torch.autograd.grad(out, leaves, seed, retain_graph=True)
    second = torch.autograd.grad(out, leaves, seed, retain_graph=True)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    out.backward(seed, retain_graph=True)
    out.backward(seed)
    for leaf, gradient in zip(leaves, first, strict=True):
        torch.testing.assert_close(leaf.grad, 2 * gradient)
    with pytest.raises(RuntimeError, match="second time"):
        out.backward(seed)


def test_inputs_changed_in_place_are_noticed() -> None:
    query, key, value = (tensor.requires_grad_() for tensor in qkv())
    work = query * 1
    out = aule.flash_attention(work, key, value)
    with torch.no_grad():
        work.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_only_the_gradients_that_are_asked_for_are_computed() -> None:
    """No backward operator at all where nothing asks, and lse alone can be differentiated."""
    query, key, value = qkv()
    assert not aule.flash_attention(query, key, value).requires_grad
    _, lse = aule.flash_attention(query.requires_grad_(), key, value, return_lse=True)
    assert lse.requires_grad
    (gradient,) = torch.autograd.grad(lse.sum(), query)
    wide = query.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(formula(wide, key.double(), value.double())[1].sum(), wide)
    assert_accurate(gradient, expected, expected.float(), ulps=4)


@pytest.mark.parametrize("options", [{}, {"sinks": SINKS}, {"softcap": 2.0}], ids=["plain", "sinks", "softcap"])
def test_double_backward(options: dict[str, Any]) -> None:
    """Right, or an error that says so: never silently wrong."""
    query, key, value = qkv(dtype=DOUBLE)

    def second(attend: Attention) -> torch.Tensor:
        leaf = query.detach().requires_grad_()
        (first,) = torch.autograd.grad(attend(leaf, key, value).square().sum(), leaf, create_graph=True)
        (result,) = torch.autograd.grad(first.square().sum(), leaf)
        return result

    try:
        actual = second(lambda *tensors: aule.flash_attention(*tensors, **options))
    except (RuntimeError, NotImplementedError) as error:
        assert options, "PyTorch's mathematics covers the plain call"
        assert any(word in str(error).lower() for word in ("double backward", "twice", "second", "differentia"))
        return
    torch.testing.assert_close(actual, second(lambda *tensors: formula(*tensors, **options)[0]))


# --------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("name", ["function", "hook"])
@pytest.mark.parametrize("grouped", [False, True], ids=["", "grouped"])
def test_forward_and_backward_drop_the_same(name: str, grouped: bool) -> None:
    """With the identity for value, out is the dropped weights; with the identity for dO, dV is their transpose."""
    size, heads_kv = 24, 2 if grouped else 4
    identity = torch.eye(size, dtype=DOUBLE)
    query, key, _ = qkv(heads_kv=heads_kv, seq_q=size, seq_k=size, dtype=DOUBLE)
    value = identity.expand(2, heads_kv, size, size).clone().requires_grad_()
    torch.manual_seed(5)
    with entry(name) as attend:
        out = attend(query, key, value, dropout_p=0.5, enable_gqa=grouped)
        (gradient,) = torch.autograd.grad(out, value, identity.expand(2, 4, size, size))
    weights = out.detach()
    assert 0.3 < float((weights == 0).double().mean()) < 0.7
    expected = weights.mT.unflatten(1, (heads_kv, -1)).sum(2)
    torch.testing.assert_close(gradient, expected)
    full = math(query, key, identity.expand(2, heads_kv, size, size), enable_gqa=grouped)
    torch.testing.assert_close(weights, torch.where(weights == 0, 0, 2 * full))


def test_dropout_repeats_in_backward_of_each_call() -> None:
    """Two calls in flight: each backward uses its own call's mask."""
    leaves = [tensor.requires_grad_() for tensor in qkv(dtype=DOUBLE)]
    torch.manual_seed(1)
    outs = [aule.flash_attention(*leaves, dropout_p=0.5) for _ in range(2)]
    together = [torch.autograd.grad(out.sum(), leaves, retain_graph=True) for out in reversed(outs)][::-1]
    torch.manual_seed(1)
    for expected in together:
        out = aule.flash_attention(*leaves, dropout_p=0.5)
        torch.testing.assert_close(torch.autograd.grad(out.sum(), leaves), expected, rtol=0, atol=0)
    assert not torch.equal(together[0][0], together[1][0])


@pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
@pytest.mark.parametrize("dropout_p", [0.0, 0.5])
def test_checkpointing(reentrant: bool, dropout_p: float) -> None:
    """Recomputation draws the same dropout."""

    def block(*tensors: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = aule.flash_attention(*tensors, dropout_p=dropout_p, is_causal=True).sin()
        return out

    results = []
    for run in (block, lambda *tensors: checkpoint(block, *tensors, use_reentrant=reentrant)):
        leaves = [tensor.requires_grad_() for tensor in qkv(dtype=DOUBLE)]
        torch.manual_seed(2)
        out = run(*leaves)
        out.sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
