"""torch.ops.aule and what PyTorch builds on it: opcheck, fake and meta tensors, export, vmap, functorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import aule
from feature_rows import DOUBLE, SINKS, feature
from sdpa_tools import (
    Attention,
    assert_accurate,
    entry,
    formula,
    math,
    operators_of,
    qkv,
    randn,
)


class Recorder(TorchDispatchMode):
    """Keeps the calls of our operators."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function.namespace == "aule":
            self.calls.append((function, args, kwargs or {}))
        return function(*args, **(kwargs or {}))


def recorded(name: str, dtype: torch.dtype = torch.float32) -> list[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    leaves, options = feature(name)
    leaves = [leaf.detach().to(dtype).requires_grad_() for leaf in leaves]
    torch.manual_seed(0)
    with Recorder() as recorder:
        mask = {"attn_mask": leaves[3]} if len(leaves) > 3 else {}
        out, lse = aule.flash_attention(*leaves[:3], **options, **mask, return_lse=True)
        torch.autograd.grad([out, lse], leaves, [torch.ones_like(out), torch.zeros_like(lse)])
    return recorder.calls


def fresh(value: Any, gradient: bool) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().requires_grad_(gradient and value.is_floating_point())


OPCHECKS = ["plain", "everything", "bool mask", "grouped"]


@pytest.mark.parametrize("name", OPCHECKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(name: str, dtype: torch.dtype) -> None:
    """PyTorch's own examination of a custom operator: schema, fakes (strides too), autograd, dynamic shapes."""
    calls = recorded(name, dtype)
    kinds = {function._schema.name for function, _, _ in calls}
    assert kinds == {"aule::attention_forward", "aule::attention_backward"}

    for function, args, kwargs in calls:
        gradient = function._schema.name == "aule::attention_forward"
        tests = ["test_schema", "test_faketensor", *(["test_autograd_registration"] if gradient else [])]
        arguments = tuple(fresh(value, gradient) for value in args)
        keywords = {key: fresh(value, gradient) for key, value in kwargs.items()}
        torch.library.opcheck(function, arguments, keywords, test_utils=tests)


@pytest.mark.slow
def test_opcheck_of_compilation() -> None:
    for function, args, kwargs in recorded("plain"):
        gradient = function._schema.name == "aule::attention_forward"
        arguments = tuple(fresh(value, gradient) for value in args)
        torch.library.opcheck(function, arguments, kwargs, test_utils="test_aot_dispatch_dynamic")


def bshd(heads: int, seq: int, dim: int = 8) -> torch.Tensor:
    return randn(2, seq, heads, dim).transpose(1, 2)


SHAPES: dict[str, tuple[tuple[torch.Tensor, ...], dict[str, Any]]] = {
    "plain": (qkv(), {}),
    "rank 2": (tuple(t[0, 0] for t in qkv()), {}),
    "rank 5": (qkv((3, 2)), {}),
    "broadcast": ((randn(1, 4, 5, 8), randn(3, 1, 7, 8), randn(1, 1, 7, 6)), {}),
    "half, dim_v of its own": (qkv(dtype=torch.bfloat16, dim_v=3), {"is_causal": True}),
    "double": (qkv(dtype=DOUBLE), {}),
    "BSHD": ((bshd(4, 5), bshd(2, 7), bshd(2, 7)), {"enable_gqa": True}),
    "BSHD, dim_v of its own": ((bshd(4, 5), bshd(4, 7), bshd(4, 7, 6)), {}),
    "no keys": (qkv(seq_k=0), {}),
    "no queries": (qkv(seq_q=0), {}),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", ["fake", "meta"])
def test_shapes_without_data(name: str, kind: str) -> None:
    """Sizes, strides and types of FakeTensor and meta results are those of real ones, gradients included."""
    tensors, options = SHAPES[name]
    real = aule.flash_attention(*tensors, return_lse=True, **options)

    def run(convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
        leaves = [convert(tensor).requires_grad_() for tensor in tensors]
        results = aule.flash_attention(*leaves, return_lse=True, **options)
        for result, expected in zip(results, real, strict=True):
            assert (result.shape, result.stride(), result.dtype) == (expected.shape, expected.stride(), expected.dtype)
        for leaf, gradient in zip(leaves, torch.autograd.grad(results[0].sum(), leaves), strict=True):
            assert (gradient.shape, gradient.dtype) == (leaf.shape, leaf.dtype)

    if kind == "meta":
        run(lambda tensor: torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"))
        return
    with FakeTensorMode() as mode:
        run(mode.from_tensor)
        with entry("hook") as attend:
            out = attend(*(mode.from_tensor(tensor) for tensor in tensors), **options)
        assert (out.shape, out.stride(), out.dtype) == (real[0].shape, real[0].stride(), real[0].dtype)


class Block(torch.nn.Module):
    def __init__(self, attend: Attention) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.attend(query, key, value, is_causal=True)
        return out.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("name", ["function", "hook"])
@pytest.mark.parametrize("strict", [False, True], ids=["not strict", "strict"])
def test_export(name: str, strict: bool) -> None:
    """A program of our operator or of PyTorch's, with a sequence length that may change."""
    seq = torch.export.Dim("seq", min=2, max=64)
    with entry(name) as attend:
        dynamic = {argument: {2: seq} for argument in ("query", "key", "value")}
        program = torch.export.export(Block(attend), qkv(seq_q=7), dynamic_shapes=dynamic, strict=strict)
        module = program.module()
        for length in (7, 12):
            tensors = qkv(seq_q=length, seq_k=length)
            truth = math(*(tensor.double() for tensor in tensors), is_causal=True).transpose(1, 2).flatten(2)
            yardstick = math(*tensors, is_causal=True).transpose(1, 2).flatten(2)
            assert_accurate(module(*tensors), truth, yardstick)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert any("aule" in target or "scaled_dot_product_attention" in target for target in targets), targets
    if name == "function":
        assert any("aule" in target for target in targets), targets


Q, K, V = qkv()
VMAPS: dict[str, Callable[[Attention], torch.Tensor]] = {
    "batch": lambda f: torch.vmap(f)(*qkv()),
    "batch of rank 5": lambda f: torch.vmap(f)(*qkv((3, 2))),
    "queries only": lambda f: torch.vmap(f, in_dims=(0, None, None))(qkv()[0], qkv()[1][0], qkv()[2][0]),
    "keys only": lambda f: torch.vmap(f, in_dims=(None, 0, None))(qkv()[0][0], qkv()[1], qkv()[2][0]),
    "last dimension": lambda f: torch.vmap(f, in_dims=-1, out_dims=1)(*(t.movedim(0, -1) for t in qkv())),
    "nested": lambda f: torch.vmap(torch.vmap(f), in_dims=(None, 0, 0))(qkv()[0], *qkv((3, 2))[1:]),
    "causal": lambda f: torch.vmap(lambda *tensors: f(*tensors, is_causal=True))(*qkv()),
    "mask": lambda f: torch.vmap(lambda mask: f(Q, K, V, mask))(randn(3, 5, 7)),
    "in chunks": lambda f: torch.vmap(f, chunk_size=2)(*qkv((5,))),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", VMAPS)
def test_vmap(name: str) -> None:
    torch.testing.assert_close(VMAPS[name](aule.flash_attention), VMAPS[name](math), rtol=1e-4, atol=1e-5)


def test_vmap_of_our_own_features() -> None:
    query, key, value = qkv((3, 2))
    options = {"window": (2, 1), "softcap": 2.0, "sinks": SINKS}
    mapped, lse = torch.vmap(lambda *tensors: aule.flash_attention(*tensors, **options, return_lse=True))(
        query, key, value
    )
    expected = [formula(*tensors, **options) for tensors in zip(query, key, value, strict=True)]
    torch.testing.assert_close(mapped, torch.stack([out for out, _ in expected]))
    torch.testing.assert_close(lse, torch.stack([lse for _, lse in expected]))


@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:.torch.jit.script")
@pytest.mark.parametrize("transform", ["grad", "vjp", "jvp", "jacrev"])
def test_functorch_on_the_function(transform: str) -> None:
    """Right numbers or an error; silent zeros were seen with custom operators."""
    query, key, value = qkv((1,), dtype=DOUBLE)
    tangent = randn(*query.shape, seed=7, dtype=DOUBLE)
    transforms: dict[str, Callable[[Attention], Any]] = {
        "grad": lambda f: torch.func.grad(lambda q: f(q, key, value).square().sum())(query),
        "vjp": lambda f: torch.func.vjp(lambda q: f(q, key, value), query)[1](tangent)[0],
        "jvp": lambda f: torch.func.jvp(lambda q: f(q, key, value), (query,), (tangent,))[1],
        "jacrev": lambda f: torch.func.jacrev(lambda q: f(q, key, value))(query),
    }
    try:
        actual = transforms[transform](aule.flash_attention)
    except NotImplementedError:
        assert transform == "jvp", "PyTorch has no forward mode for its flash kernel; everything else works"
        return
    torch.testing.assert_close(actual, transforms[transform](math))


def test_operators_that_run() -> None:
    """One forward and one backward operator for a training step, whatever the features."""
    leaves, options = feature("everything")
    operators = operators_of(lambda: aule.flash_attention(*leaves[:3], attn_mask=leaves[3], **options).sum().backward())
    assert {"core forward", "core backward"} <= operators, operators
    assert not any("softmax" in name or "mm" in name for name in operators), operators


@pytest.mark.filterwarnings("ignore:.*Converting a tensor to a Python", "ignore:.torch.jit.")
@pytest.mark.parametrize("name", ["function", "hook"])
def test_tracers(name: str) -> None:
    """torch.jit.trace and make_fx keep the call as an operator, so other sizes are right too."""
    from torch.fx.experimental.proxy_tensor import make_fx

    others = qkv(seq_q=9, seq_k=11)
    expected = math(*others, is_causal=True)
    with entry(name) as attend:

        def call(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = attend(query, key, value, is_causal=True)
            return out

        traced = torch.jit.trace(call, qkv())
        graph = make_fx(call, tracing_mode="symbolic")(*qkv())
        for run in (traced, graph):
            torch.testing.assert_close(run(*others), expected, rtol=1e-4, atol=1e-5)
    assert any("aule.attention_forward" in str(node.target) for node in graph.graph.nodes)


def test_saved_tensors_may_be_moved_away() -> None:
    """Hooks that pack what backward needs (offloading, compression) see all of it."""
    leaves = [tensor.requires_grad_() for tensor in qkv()]
    packed: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> int:
        packed.append(tensor.clone())
        return len(packed) - 1

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda index: packed[index]):
        out = aule.flash_attention(*leaves)
    assert len(packed) >= 5
    actual = torch.autograd.grad(out.sum(), leaves)
    expected = torch.autograd.grad(aule.flash_attention(*leaves).sum(), leaves)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
