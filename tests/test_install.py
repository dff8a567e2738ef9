"""aule.install(): every way in which a program reaches scaled_dot_product_attention, and back.

What ran is read from PyTorch's profiler and from the core's two entries, what came out is compared with PyTorch's math
operator. The traps that are tested one by one are listed in docs/decisions/0004-torch-hook.md.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right, causal_upper_left

import aule
from sdpa_tools import (
    CALLERS,
    assert_accurate,
    assert_as_pytorch,
    bound_early,
    formula,
    is_ours,
    math,
    operators_of,
    outputs_and_gradients,
    qkv,
    randn,
    run_python,
)

Q, K, V = qkv()
PYTORCHS_NODE = "ScaledDotProductFlashAttentionForCpuBackward0"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """A test that fails half-way does not take the others with it."""
    yield
    while aule.installed():
        aule.uninstall()


def in_thread(call: Callable[[], Any]) -> Any:
    """The result of `call` in a thread of its own."""
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # handed to the caller
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


# ------------------------------------------------------------------------------------------------- who gets in


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("grouped", [False, True], ids=["", "grouped causal"])
def test_every_caller_gets_our_kernels(caller: str, grouped: bool) -> None:
    tensors = qkv(heads_kv=2 if grouped else None)
    options = {"is_causal": True, "enable_gqa": True} if grouped else {}
    results: dict[str, Any] = {}
    operators = operators_of(lambda: results.update(outputs_and_gradients(CALLERS[caller], tensors, options)))
    assert {"core forward", "core backward"} <= operators, operators
    assert not any("_scaled_dot_product" in name for name in operators), operators
    assert_as_pytorch(CALLERS[caller], tensors, options)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_every_caller_in_every_mode(caller: str, mode: Callable[[], Any]) -> None:
    with mode():
        query = Q.clone()
        operators = operators_of(lambda: CALLERS[caller](query, K, V))
        out = CALLERS[caller](query, K, V)
    assert is_ours(operators), operators
    assert_accurate(out, math(Q.double(), K.double(), V.double()), math(Q, K, V))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("caller", CALLERS)
def test_autocast_reaches_us_in_half(caller: str) -> None:
    query = Q.detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        operators = operators_of(lambda: CALLERS[caller](query, K, V))
        out = CALLERS[caller](query, K, V)
    assert is_ours(operators) and out.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(out.float().sum(), query)
    assert gradient.dtype == torch.float32 and gradient.any()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("caller", CALLERS)
def test_other_threads_get_our_kernels(caller: str) -> None:
    results: list[Any] = []
    assert is_ours(in_thread(lambda: operators_of(lambda: results.append(CALLERS[caller](Q, K, V)))))
    assert_accurate(results[0], math(Q.double(), K.double(), V.double()), math(Q, K, V))


def test_installed_by_another_thread() -> None:
    in_thread(aule.install)
    try:
        assert aule.installed() and is_ours(operators_of(lambda: bound_early(Q, K, V)))
    finally:
        in_thread(aule.uninstall)
    assert not is_ours(operators_of(lambda: bound_early(Q, K, V)))


def module_results(module: torch.nn.Module, x: torch.Tensor, **options: Any) -> tuple[list[torch.Tensor], set[str]]:
    """Outputs and the gradients of input and parameters, and the operators that ran."""
    module, x = copy.deepcopy(module), x.detach().requires_grad_()
    results: list[torch.Tensor] = []

    def run() -> None:
        outputs = module(*([x] * (3 if isinstance(module, torch.nn.MultiheadAttention) else 1)), **options)
        out = outputs[0] if isinstance(outputs, tuple) else outputs
        wanted = [x, *module.parameters()]
        gradients = torch.autograd.grad(out, wanted, randn(*out.shape, seed=9)) if out.requires_grad else ()
        results.extend([out.detach(), *gradients])

    operators = operators_of(run)
    return results, operators


MODULES: dict[str, tuple[Callable[[], torch.nn.Module], dict[str, Any]]] = {
    "MultiheadAttention": (
        lambda: torch.nn.MultiheadAttention(16, 2, batch_first=True), {"need_weights": False},
    ),
    "MultiheadAttention, causal": (
        lambda: torch.nn.MultiheadAttention(16, 2, batch_first=True),
        {"need_weights": False, "is_causal": True, "attn_mask": torch.ones(6, 6).triu(1).bool()},
    ),
    "MultiheadAttention, padding": (
        lambda: torch.nn.MultiheadAttention(16, 2, batch_first=True),
        {"need_weights": False, "key_padding_mask": torch.tensor([[False] * 6, [False] * 4 + [True] * 2])},
    ),
    "MultiheadAttention, sequence first": (lambda: torch.nn.MultiheadAttention(16, 2), {"need_weights": False}),
    "TransformerEncoderLayer": (
        lambda: torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", MODULES)
def test_modules_of_pytorch(name: str, training: bool) -> None:
    torch.manual_seed(0)
    make, options = MODULES[name]
    module, x = make().train(training), randn(2, 6, 16)
    expected, operators = module_results(module, x, **options)
    assert not is_ours(operators)
    with aule.install():
        actual, operators = module_results(module, x, **options)
        assert is_ours(operators), operators
        assert len(actual) == len(expected) > 1
        for result, reference in zip(actual, expected, strict=True):
            torch.testing.assert_close(result, reference, rtol=1e-4, atol=1e-5)
        with torch.no_grad():  # in eval PyTorch may take a fused path that we do not reach: right in any case
            torch.testing.assert_close(module_results(module, x, **options)[0][0], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("caller", ["torch.nn.functional", "bound early", "torch._C._nn"])
@pytest.mark.parametrize(("bias", "causal"), [(causal_upper_left, "top-left"), (causal_lower_right, "bottom-right")])
def test_causal_bias(caller: str, bias: Callable[..., torch.Tensor], causal: str) -> None:
    def call(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = CALLERS[caller](query, key, value, attn_mask=bias(5, 7))
        return out

    assert is_ours(operators_of(lambda: call(Q, K, V)))
    assert_as_pytorch(call, (Q, K, V), expected=lambda **tensors: formula(**tensors, causal=causal)[0])


# ----------------------------------------------------------------------------------------- install and uninstall


def test_uninstall_without_install() -> None:
    assert not aule.installed()
    with pytest.raises(RuntimeError, match="install"):
        aule.uninstall()
    assert not aule.installed() and not is_ours(operators_of(lambda: bound_early(Q, K, V)))


def test_installs_nest() -> None:
    for _ in range(3):
        aule.install()
    for _ in range(3):
        assert aule.installed() and is_ours(operators_of(lambda: bound_early(Q, K, V)))
        aule.uninstall()
    assert not aule.installed() and not is_ours(operators_of(lambda: bound_early(Q, K, V)))
    with pytest.raises(RuntimeError):
        aule.uninstall()


def test_context_manager() -> None:
    with aule.install():
        with aule.install():
            assert is_ours(operators_of(lambda: bound_early(Q, K, V)))
        assert aule.installed() and is_ours(operators_of(lambda: bound_early(Q, K, V)))
    assert not aule.installed()
    with pytest.raises(ZeroDivisionError), aule.install():
        raise ZeroDivisionError
    assert not aule.installed() and not is_ours(operators_of(lambda: bound_early(Q, K, V)))


def trace() -> list[Any]:
    """What PyTorch does with a variety of calls: bits, strides, operators, gradient nodes, error texts."""
    seen: list[Any] = [F.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention]
    bshd = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in (Q, K, V)]
    calls: list[tuple[Any, dict[str, Any]]] = [
        ((Q, K, V), {}),
        ((Q, K, V), {"is_causal": True}),
        ((Q, K, V), {"attn_mask": torch.ones(5, 7, dtype=torch.bool), "is_causal": True}),
        ((Q, K, V), {"attn_mask": randn(4, 5, 7)}),
        ((Q, K, V), {"scale": float("nan")}),
        ((Q.half(), K.half(), V.half()), {}),
        (bshd, {}),
        ((Q[0], K[0], V[0]), {}),
        (qkv(heads_kv=2), {"enable_gqa": True}),
        ((Q, K[..., :4], V), {}),
        ((Q, K.double(), V), {}),
        ((Q, K, V), {"dropout_p": 1.5}),
        ((Q, K, V, torch.ones(7)), {}),
    ]
    for caller in CALLERS.values():
        for tensors, options in calls:
            torch.manual_seed(0)
            query = tensors[0].detach().requires_grad_()
            outputs: list[Any] = []
            try:
                operators = operators_of(lambda: outputs.append(caller(query, *tensors[1:], **options)))  # noqa: B023
            except (RuntimeError, IndexError) as error:
                seen.append((type(error), str(error)))
                continue
            out = outputs[0]
            gradient = torch.autograd.grad(out.float().sum(), query, allow_unused=True)[0]
            bits = [None if t is None else t.detach().contiguous().view(torch.uint8).tolist() for t in (out, gradient)]
            seen.append((bits, out.stride(), type(out.grad_fn).__name__, sorted(operators)))
    return seen


def test_uninstall_takes_everything_back() -> None:
    before = trace()
    assert any(PYTORCHS_NODE in entry for entry in before[1:])
    with aule.install():
        assert trace() != before
    assert trace() == before


def test_pytorchs_own_numbers_without_install() -> None:
    """In a fresh process: the bits before `import aule`, after it, and after install and uninstall are the same."""
    output = run_python(
        """
        import torch, torch.nn.functional as F
        torch.manual_seed(0)
        q, k, v = (torch.randn(2, 4, 33, 16, requires_grad=True) for _ in range(3))
        def results():
            found = []
            for options in ({}, {"is_causal": True}, {"attn_mask": torch.ones(33, 33).tril().bool()}):
                out = F.scaled_dot_product_attention(q, k, v, **options)
                found += [out.detach(), *torch.autograd.grad(out.sum(), (q, k, v))]
            return found
        first = results()
        import aule
        assert aule.flash_attention(q, k, v).shape == q.shape
        steps = {"import": results()}
        with aule.install():
            steps["install"] = results()
        steps["uninstall"] = results()
        for name, step in steps.items():
            pairs = list(zip(first, step))
            equal = all(torch.equal(*pair) for pair in pairs)
            print(name, equal, all(torch.allclose(*pair, atol=1e-5) for pair in pairs))
        """
    ).stdout
    assert output.splitlines() == ["import True True", "install False True", "uninstall True True"]


def test_installed_before_torch_is_imported() -> None:
    output = run_python(
        """
        import aule
        aule.install()
        import torch
        from torch.nn.functional import scaled_dot_product_attention
        q = torch.randn(1, 2, 5, 8, requires_grad=True)
        out = scaled_dot_product_attention(q, q, q)
        out.sum().backward()
        print(type(out.grad_fn).__name__ != "ScaledDotProductFlashAttentionForCpuBackward0", q.grad is not None)
        """
    ).stdout
    assert output.split() == ["True", "True"]


def test_install_and_uninstall_while_others_call() -> None:
    """In a process of its own: what goes wrong here is a crash."""
    output = run_python(
        """
        import threading, time, torch, aule
        import torch.nn.functional as F
        torch.set_num_threads(1)
        torch.manual_seed(0)
        q, k, v = (torch.randn(2, 4, 16, 16) for _ in range(3))
        mask = torch.ones(16, 16).tril().bool()
        def call():
            leaf = q.clone().requires_grad_()
            out = F.scaled_dot_product_attention(leaf, k, v, mask)
            return out.detach(), torch.autograd.grad(out.sum(), leaf)[0]
        expected, stop, calls, wrong = call(), threading.Event(), [0] * 4, []
        def work(index):
            while not stop.is_set():
                try:
                    for a, b in zip(call(), expected):
                        torch.testing.assert_close(a, b)
                    calls[index] += 1
                except BaseException as error:
                    wrong.append(repr(error))
                    return
        workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
        for worker in workers: worker.start()
        start, toggles, seconds = time.monotonic(), 0, 0
        while not wrong and seconds < 60 and (seconds < 2 or min(toggles, *calls) < 6):
            seconds = time.monotonic() - start
            aule.install(); time.sleep(0.001 * (toggles % 3)); aule.uninstall(); toggles += 1
        stop.set()
        for worker in workers: worker.join()
        print(wrong, min(calls) > 5, toggles > 5, aule.installed())
        """
    ).stdout
    assert output.strip() == "[] True True False"


def test_nested_installs_from_many_threads() -> None:
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(200):
            with aule.install():
                assert aule.installed()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not aule.installed() and not is_ours(operators_of(lambda: bound_early(Q, K, V)))
