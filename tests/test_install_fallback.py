"""What the hook leaves to PyTorch: the math kernel, double backward, functorch, forward mode, other devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

import aule
from sdpa_tools import (
    CALLERS,
    Attention,
    assert_accurate,
    assert_as_pytorch,
    bound_early,
    is_ours,
    math,
    operators_of,
    outputs_and_gradients,
    qkv,
    randn,
)

Q, K, V = qkv()


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": randn(5, 7)}], ids=["", "causal", "mask"])
@pytest.mark.parametrize("caller", CALLERS)
def test_math_kernel_is_hands_off(caller: str, options: dict[str, Any]) -> None:
    with sdpa_kernel(SDPBackend.MATH):
        expected = outputs_and_gradients(CALLERS[caller], (Q, K, V), options)
        with aule.install():
            operators = operators_of(lambda: CALLERS[caller](Q, K, V, **options))
            actual = outputs_and_gradients(CALLERS[caller], (Q, K, V), options)
    assert not is_ours(operators) and "aten::_scaled_dot_product_attention_math" in operators
    assert all(torch.equal(actual[name], expected[name]) for name in expected)  # type: ignore[arg-type]


@pytest.mark.usefixtures("installed")
def test_flash_kernel_is_no_hands_off() -> None:
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
        assert is_ours(operators_of(lambda: bound_early(Q, K, V)))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 1, 2), (0, 1, 2, 3)], ids=str)
def test_double_backward(wanted: tuple[int, ...]) -> None:
    """A gradient of a gradient, by PyTorch's mathematics."""

    def second(attend: Attention, dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in (*qkv(), randn(4, 5, 7))]
        mask = leaves[3] if 3 in wanted else None
        out = attend(*leaves[:3], mask)
        inputs = [leaves[index] for index in wanted]
        first = torch.autograd.grad(out, inputs, randn(*out.shape, seed=9, dtype=dtype), create_graph=True)
        total = sum((gradient * gradient).sum() for gradient in first)
        return list(torch.autograd.grad(total, leaves[: 4 if mask is not None else 3], allow_unused=True))  # type: ignore[arg-type]

    truth, yardstick = second(math, torch.float64), second(math, torch.float32)
    for index, gradient in enumerate(second(bound_early, torch.float32)):
        if truth[index] is None:  # dV does not depend on value
            assert gradient is None or not gradient.any()
            continue
        assert gradient is not None
        assert_accurate(gradient, truth[index], yardstick[index], f"input {index}", ulps=16)


def of_query(attend: Attention) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda query: attend(query, K[:1], V[:1], is_causal=True)


#: PyTorch's flash path on the CPU has no forward-mode derivative: there it raises, and so may we. Never wrong numbers.
FORWARD_MODE = {"jvp", "jacfwd", "hessian"}
TRANSFORMS: dict[str, Callable[[Attention], Any]] = {
    "grad": lambda f: torch.func.grad(lambda query: of_query(f)(query).square().sum())(Q[:1]),
    "grad_and_value": lambda f: torch.func.grad_and_value(lambda query: of_query(f)(query).square().sum())(Q[:1]),
    "grad of all": lambda f: torch.func.grad(lambda *t: f(*t).square().sum(), argnums=(0, 1, 2))(Q, K, V),
    "vjp": lambda f: torch.func.vjp(of_query(f), Q[:1])[1](randn(1, 4, 5, 8, seed=7)),
    "jvp": lambda f: torch.func.jvp(of_query(f), (Q[:1],), (randn(1, 4, 5, 8, seed=7),)),
    "jvp of value": lambda f: torch.func.jvp(lambda value: f(Q, K, value), (V,), (randn(*V.shape, seed=7),)),
    "vmap": lambda f: torch.func.vmap(f)(Q, K, V),
    "vmap over queries": lambda f: torch.func.vmap(f, in_dims=(0, None, None))(Q, K[0], V[0]),
    "vmap over heads": lambda f: torch.func.vmap(f, in_dims=1, out_dims=1)(Q, K, V),
    "vmap, causal": lambda f: torch.func.vmap(lambda *t: f(*t, is_causal=True))(Q, K, V),
    "vmap of a mask": lambda f: torch.func.vmap(lambda mask: f(Q, K, V, mask))(randn(3, 5, 7)),
    "vmap of vmap": lambda f: torch.func.vmap(torch.func.vmap(f))(*qkv((3, 2))),
    "vmap of grad": lambda f: torch.func.vmap(torch.func.grad(lambda *t: f(*t).square().sum()))(Q, K, V),
    "jacrev": lambda f: torch.func.jacrev(of_query(f))(Q[:1]),
    "jacfwd": lambda f: torch.func.jacfwd(of_query(f))(Q[:1]),
    "hessian": lambda f: torch.func.hessian(lambda query: of_query(f)(query).sum())(Q[:1, :1]),
    "grad of grad": lambda f: torch.func.grad(
        lambda query: torch.func.grad(lambda inner: of_query(f)(inner).square().sum())(query).square().sum()
    )(Q[:1]),
}


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:.torch.jit.script")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_functorch(name: str) -> None:
    transform = TRANSFORMS[name]
    expected = transform(math)
    try:
        actual = transform(bound_early)
    except (NotImplementedError, RuntimeError) as error:
        # Exactly what PyTorch does without us, and no worse.
        aule.uninstall()
        try:
            with pytest.raises(type(error)) as own:
                transform(bound_early)
        finally:
            aule.install()
        assert str(own.value).splitlines()[0] == str(error).splitlines()[0]
        return
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", sorted({*TRANSFORMS} - {"vmap of a mask"}))
def test_functorch_in_the_math_kernel(name: str) -> None:
    """With the math kernel selected everything works, forward mode included."""
    with sdpa_kernel(SDPBackend.MATH):
        torch.testing.assert_close(TRANSFORMS[name](bound_early), TRANSFORMS[name](math), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_forward_mode_is_never_silently_wrong(which: int) -> None:
    tensors, tangent = list(qkv()), randn(*qkv()[which].shape, seed=7)
    expected = torch.func.jvp(lambda *args: math(*args), tuple(tensors), tuple(
        tangent if index == which else torch.zeros_like(tensor) for index, tensor in enumerate(tensors)
    ))[1]  # fmt: skip
    with forward_ad.dual_level():
        tensors[which] = forward_ad.make_dual(tensors[which], tangent)
        try:
            actual = forward_ad.unpack_dual(bound_early(*tensors)).tangent
        except NotImplementedError:
            return
        assert actual is not None
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_devices_without_a_back_end_are_pytorchs() -> None:
    out = bound_early(*(tensor.to("meta") for tensor in (Q, K, V)))
    assert out.is_meta and out.shape == (2, 4, 5, 8)


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("attend", [bound_early, aule.flash_attention], ids=["hook", "function"])
def test_batched_gradients(attend: Attention) -> None:
    """vmap over the backward pass alone: many gradients at once, vectorized Jacobians."""
    results = []
    for function in (attend, math):
        leaves = [tensor.requires_grad_() for tensor in qkv()]
        out = function(*leaves, is_causal=True)
        gradients = torch.autograd.grad(out, leaves, randn(3, *out.shape, seed=9), is_grads_batched=True)
        jacobian = torch.autograd.functional.jacobian(of_query(function), Q[:1], vectorize=True)
        results.append((*gradients, jacobian))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("attend", [bound_early, aule.flash_attention], ids=["hook", "function"])
def test_derivatives_of_the_older_interface(attend: Attention) -> None:
    for derive in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian):
        query = Q[:1, :1]
        actual, expected = (
            derive(lambda q: function(q, K[:1], V[:1], is_causal=True).square().sum(), query)  # noqa: B023
            for function in (attend, math)
        )
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_more_dimensions_than_the_core_knows_are_pytorchs() -> None:
    query, key, value = (tensor[(None,) * 6] for tensor in (Q, K, V))
    assert_as_pytorch(bound_early, (query, key, value))
