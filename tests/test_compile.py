"""torch.compile under the hook: whole graphs of our operators, forward and backward, with sizes that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import aule
from sdpa_tools import (
    CALLERS,
    Attention,
    assert_accurate,
    assert_as_pytorch,
    bound_early,
    entry,
    formula,
    math,
    qkv,
    randn,
)

Q, K, V = qkv()


@pytest.fixture
def graphs() -> Iterator[tuple[Callable[..., Any], list[str]]]:
    """A compiler back end that keeps the graphs' operators (forward and backward) and runs them eagerly."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    seen: list[str] = []

    def keep(graph: torch.fx.GraphModule, _: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    torch._dynamo.reset()
    yield aot_autograd(fw_compiler=keep, bw_compiler=keep), seen
    torch._dynamo.reset()


def step(attend: Attention, options: dict[str, Any], tensors: tuple[torch.Tensor, ...]) -> torch.Tensor:
    out: torch.Tensor = attend(*tensors, **options)
    return out * 2


COMPILED_OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "causal, scale": {"is_causal": True, "scale": 0.3},
    "grouped": {"enable_gqa": True},
}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("caller", ["bound early", "torch.ops.aten", "torch.nn.functional", "aule"])
@pytest.mark.parametrize("name", COMPILED_OPTIONS)
def test_compiled_graphs_hold_our_operators(graphs: Any, caller: str, name: str) -> None:
    """Forward and backward, whole graph, dynamic sizes without compiling again; gradients equal, none is None."""
    backend, seen = graphs
    ways = CALLERS | {"torch.nn.functional": F.scaled_dot_product_attention, "aule": aule.flash_attention}
    options, attend = COMPILED_OPTIONS[name], ways[caller]
    compiled = torch.compile(
        lambda query, key, value: step(attend, options, (query, key, value)),
        fullgraph=True, dynamic=True, backend=backend,
    )  # fmt: skip
    counts = []
    for seq in (6, 9, 17):
        tensors = qkv(heads_kv=2 if options.get("enable_gqa") else None, seq_q=seq, seq_k=seq + 3)
        assert_as_pytorch(
            lambda query, key, value: compiled(query, key, value) / 2,
            tensors,
            expected=lambda query, key, value: math(query, key, value, **options),
        )
        counts.append(len(seen))
    assert any("aule" in target and "forward" in target for target in seen), seen
    assert any("aule" in target and "backward" in target for target in seen), seen
    assert not any("scaled_dot_product" in target for target in seen), seen
    assert counts[1] == counts[2], "compiled again for another length"


SINKS = randn(4, seed=5)
FEATURES: dict[str, dict[str, Any]] = {
    "causal, window": {"causal": "bottom-right", "window": (3, 0)},
    "softcap, sinks": {"softcap": 2.0, "sinks": SINKS},
    "slopes, scale": {"alibi_slopes": SINKS.abs(), "scale": 0.3},
}


@pytest.mark.parametrize("name", FEATURES)
def test_compiled_function_with_our_features(graphs: Any, name: str) -> None:
    """aule.flash_attention itself, without the hook: out, lse and gradients."""
    backend, seen = graphs
    options = FEATURES[name]

    def call(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out, lse = aule.flash_attention(query, key, value, **options, return_lse=True)
        return out + lse[..., None]

    def expected(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out, lse = formula(query, key, value, **options)
        return out + lse[..., None]

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend=backend)
    for seq in (6, 9):
        assert_as_pytorch(compiled, qkv(seq_q=seq, seq_k=seq + 3), expected=expected)
    assert any("aule" in target and "backward" in target for target in seen), seen


@pytest.mark.parametrize("way", ["function", "hook"])
def test_compiled_dropout(graphs: Any, way: str) -> None:
    """Forward and backward of a compiled call drop the same; another call drops something else."""
    backend, seen = graphs
    size = 24
    zeros, identity = torch.zeros(2, 4, size, 8), torch.eye(size).expand(2, 4, size, size)
    value = identity.clone().requires_grad_()
    with entry(way) as attend:
        compiled = torch.compile(
            lambda query, key, value: attend(query, key, value, dropout_p=0.5), fullgraph=True, backend=backend
        )
        outs = [compiled(zeros, zeros, value) for _ in range(2)]
    (gradient,) = torch.autograd.grad(outs[0], value, identity)
    assert 0.4 < float((outs[0] == 0).float().mean()) < 0.6
    torch.testing.assert_close(gradient, outs[0].detach().mT)
    assert not torch.equal(outs[0] == 0, outs[1] == 0)
    assert any("aule" in target and "backward" in target for target in seen), seen


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_compiled_without_gradients(graphs: Any, mode: Callable[[], Any]) -> None:
    backend, seen = graphs
    compiled = torch.compile(lambda *tensors: step(bound_early, {"is_causal": True}, tensors), backend=backend)
    with mode():
        out = compiled(Q, K, V) / 2
    assert any("aule" in target for target in seen), seen
    wide = [tensor.double() for tensor in (Q, K, V)]
    assert_accurate(out, math(*wide, is_causal=True), math(Q, K, V, is_causal=True))


@pytest.mark.usefixtures("installed")
def test_compiled_mask_gradient_and_module(graphs: Any) -> None:
    """An additive mask that learns, and nn.MultiheadAttention in a compiled training step."""
    backend, seen = graphs
    compiled = torch.compile(
        lambda query, key, value, attn_mask: bound_early(query, key, value, attn_mask), fullgraph=True, backend=backend
    )
    assert_as_pytorch(lambda query, key, value, attn_mask: compiled(query, key, value, attn_mask), (Q, K, V),
                      {"attn_mask": randn(4, 5, 7)})  # fmt: skip
    torch._dynamo.reset()
    seen.clear()
    module, x = torch.nn.MultiheadAttention(16, 2, batch_first=True), randn(2, 6, 16).requires_grad_()
    expected = torch.autograd.grad(module(x, x, x, need_weights=False)[0].sum(), [x, *module.parameters()])
    out = torch.compile(module, backend=backend)(x, x, x, need_weights=False)[0]
    actual = torch.autograd.grad(out.sum(), [x, *module.parameters()])
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    assert any("aule" in target and "backward" in target for target in seen), seen


def test_compiled_before_install_and_after_uninstall(graphs: Any) -> None:
    """A graph keeps what it was compiled with and stays right; compiled anew it has PyTorch's operator again."""
    backend, seen = graphs

    def run() -> None:
        compiled = torch.compile(lambda *tensors: bound_early(*tensors), backend=backend)
        assert_as_pytorch(lambda query, key, value: compiled(query, key, value), (Q, K, V))

    run()
    assert not any("aule" in target for target in seen)
    torch._dynamo.reset()
    with aule.install():
        run()
    assert any("aule" in target for target in seen)
    torch._dynamo.reset()
    seen.clear()
    run()
    assert seen and not any("aule" in target for target in seen)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_inductor() -> None:
    """The default compiler, strides and all: a BSHD view in and a reshape behind, dynamic sizes."""
    torch._dynamo.reset()

    def block(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = bound_early(*(tensor.transpose(1, 2) for tensor in (query, key, value)), is_causal=True)
        return out.transpose(1, 2).flatten(2).sin()

    compiled = torch.compile(block, fullgraph=True, dynamic=True)
    for seq in (8, 13):
        tensors = [randn(2, seq, 4, 16, seed=seed).requires_grad_() for seed in range(3)]
        out, expected = compiled(*tensors), block(*tensors)
        torch.testing.assert_close(out, expected)
        gradients, wanted = (torch.autograd.grad(result.sum(), tensors) for result in (out, expected))
        torch.testing.assert_close(gradients, wanted, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()
