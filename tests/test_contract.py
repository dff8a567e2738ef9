"""What torch.nn.functional.scaled_dot_product_attention promises, kept by aule.flash_attention and by the hook.

Right calls: numbers, NaN, layout, kinds of tensors, modes. Truth is PyTorch's math operator in float64, the yardstick
the same operator in the type of the call. Wrong calls are in test_contract_errors.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right

import aule
from contract_rows import ACCEPTED, INF, NAN, Tensors, bshd, mask
from sdpa_tools import (
    DTYPES,
    ENTRIES,
    HALF,
    Attention,
    assert_accurate,
    assert_as_pytorch,
    entry,
    formula,
    is_ours,
    math,
    operators_of,
    outputs_and_gradients,
    qkv,
    randn,
)  # fmt: skip

Q, K, V = qkv()


@pytest.mark.parametrize("name", ACCEPTED)
def test_forward_and_backward_are_pytorchs(attend: Attention, name: str) -> None:
    tensors, options = ACCEPTED[name]
    if name.startswith("values") or name.endswith(("+inf", "NaN", "nan")):  # gradients of NaN are nobody's promise
        out = attend(*tensors, **options)
        wide = {key: value.double() if key == "attn_mask" else value for key, value in options.items()}
        truth = math(*(tensor.double() for tensor in tensors), **wide)
        yardstick = math(*tensors, **options)
        if options.get("is_causal"):  # a hidden score that overflows need not spread: masked after the product
            yardstick = formula(*tensors, causal="top-left")[0]
        truth = torch.where(yardstick.isnan(), NAN, truth)  # float32 overflows where float64 does not
        assert_accurate(out, truth, yardstick, name)
        return
    assert_as_pytorch(attend, tensors, options)
    with_gradient = attend(tensors[0].detach().requires_grad_(), *tensors[1:], **options).detach()
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):  # a shorter way through the code: equal bits
        with mode():
            out = attend(*tensors, **options)
        assert out.stride() == with_gradient.stride()
        torch.testing.assert_close(out, with_gradient, rtol=0, atol=0, equal_nan=True)


def test_nothing_is_handed_to_pytorch_needlessly() -> None:
    """The rows above test our kernels, not PyTorch's: the hook takes each of them, but for empty ones."""
    missed = []
    with entry("hook") as attend:
        for name, (tensors, options) in ACCEPTED.items():
            if "empty" not in name and not is_ours(operators_of(lambda: attend(*tensors, **options))):  # noqa: B023
                missed.append(name)
    assert not missed


@pytest.mark.parametrize("seq", [(512, 512), (1, 512), (512, 33)], ids=str)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_accuracy(attend: Attention, dtype: torch.dtype, is_causal: bool, seq: tuple[int, int]) -> None:
    tensors = qkv((1,), heads=2, seq_q=seq[0], seq_k=seq[1], dim=64, dtype=dtype)
    assert_as_pytorch(attend, tensors, {"is_causal": is_causal})


# ------------------------------------------------------------------------------------------------- hidden rows


@pytest.mark.parametrize("kind", ["bool", "-inf", "-inf of the query's type", "causal bottom-right"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hidden_rows_are_zero_and_leave_no_nan(dtype: torch.dtype, kind: str) -> None:
    hidden = torch.tensor([1, 3])
    tensors = qkv(dtype=dtype) if kind != "causal bottom-right" else qkv(seq_q=9, seq_k=7, dtype=dtype)
    options: dict[str, Any] = {"causal": "bottom-right"}
    if kind == "causal bottom-right":
        hidden = torch.tensor([0, 1])
    elif kind == "bool":
        options = {"attn_mask": torch.ones(5, 7, dtype=torch.bool).index_fill(0, hidden, False)}
    else:
        mask_dtype = torch.float32 if kind == "-inf" else dtype
        options = {"attn_mask": torch.zeros(5, 7, dtype=mask_dtype).index_fill(0, hidden, -INF)}
    for name in ENTRIES if "causal" not in options else ENTRIES[:1]:
        with entry(name) as attend:
            results = outputs_and_gradients(attend, tensors, options)
        for what, result in results.items():
            assert result is not None and torch.isfinite(result).all(), f"{name}: {what}"
        for what in ("out", "dquery"):
            assert not results[what].index_select(2, hidden).any(), f"{name}: {what}"  # type: ignore[union-attr]
        assert results["out"].any()  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_lowest_number_is_no_minus_infinity(attend: Attention, dtype: torch.dtype) -> None:
    tensors = qkv(dtype=dtype)
    out = attend(*tensors, torch.full((5, 7), torch.finfo(torch.float32).min))
    mean = tensors[2].double().mean(dim=-2, keepdim=True).expand(-1, -1, 5, -1)
    expected = mean if dtype != torch.float64 else math(*tensors, torch.full((5, 7), torch.finfo().min))
    assert_accurate(out, expected, expected.to(dtype))


def test_nan_stays_in_its_row(attend: Attention) -> None:
    query = Q.clone()
    query[1, 2, 3, 4] = NAN
    rows = attend(query, K, V).isnan().all(dim=-1)
    assert rows.nonzero().tolist() == [[1, 2, 3]]
    assert attend(Q, K, V, scale=NAN).isnan().all()


def test_minus_infinity_in_a_key_hides_it(attend: Attention) -> None:
    """Scores of exactly -inf for one key: the others share its weight."""
    key = K.clone()
    key[..., 2, :] = -INF
    out = attend(Q.abs(), key, V)
    others = [index for index in range(7) if index != 2]
    expected = math(Q.abs().double(), K[..., others, :].double(), V[..., others, :].double())
    assert_accurate(out, expected, expected.float())


# ----------------------------------------------------------------------------------------- layout of the output


def strides_like(query: torch.Tensor) -> tuple[int, ...]:
    return torch.empty_like(query).stride()


OUTPUTS: dict[str, tuple[Tensors, dict[str, Any], bool]] = {
    "BSHD view": ((bshd(4, 5), bshd(4, 7), bshd(4, 7)), {}, True),
    "BSHD view, causal": ((bshd(4, 5), bshd(4, 7), bshd(4, 7)), {"is_causal": True}, True),
    "BSHD view, mask": ((bshd(4, 5), bshd(4, 7), bshd(4, 7)), {"attn_mask": mask(5, 7)}, True),
    "BSHD view, grouped": ((bshd(4, 5), bshd(2, 7), bshd(2, 7)), {"enable_gqa": True}, True),
    "BSHD view, one query": ((bshd(4, 1), bshd(4, 7), bshd(4, 7)), {}, True),
    "BSHD view, half": (tuple(bshd(4, 5, dtype=torch.bfloat16) for _ in range(3)), {}, True),  # type: ignore[dict-item]
    "packed QKV": (tuple(randn(2, 5, 3, 4, 8).permute(2, 0, 3, 1, 4)), {}, True),  # type: ignore[dict-item]
    "BSHD view, dim_v of its own": ((bshd(4, 5), bshd(4, 7), bshd(4, 7, 6)), {}, False),
    "contiguous query": ((Q, bshd(4, 7), bshd(4, 7)), {}, False),
    "rank 3": (tuple(t[0] for t in (bshd(4, 5), bshd(4, 7), bshd(4, 7, 6))), {}, False),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("gradient", [False, True])
def test_strides_of_the_output(attend: Attention, name: str, gradient: bool) -> None:
    tensors, options, kept = OUTPUTS[name]
    query = tensors[0].detach().requires_grad_(gradient)
    out = attend(query, *tensors[1:], **options)
    if kept:
        assert out.shape == query.shape
        assert out.transpose(1, 2).is_contiguous(), f"strides {out.stride()} of sizes {tuple(out.shape)}"
    else:
        assert out.is_contiguous(), f"strides {out.stride()} of sizes {tuple(out.shape)}"


@pytest.mark.parametrize(
    "tensors",
    [(Q, K, V), qkv(seq_q=1, seq_k=1), qkv(seq_q=7), (Q, Q, Q), qkv(seq_k=0, seq_q=3), qkv((1,), heads=1, seq_k=1)],
    ids=["general", "one key", "square", "self", "no keys", "one of everything"],
)
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"dropout_p": 1.0}, {"scale": 0.0}], ids=str)
def test_output_never_aliases_inputs(attend: Attention, tensors: Tensors, options: dict[str, Any]) -> None:
    before = [tensor.clone() for tensor in tensors]
    out = attend(*tensors, **options)
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    assert out.untyped_storage().data_ptr() not in storages or not out.numel()
    out.add_(1)  # no element is stored twice either
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, before, strict=True))


# -------------------------------------------------------------------------------------- kinds of tensors and modes


class Named(torch.Tensor):
    """A subclass that adds nothing: it has to come out again."""


def test_subclass_is_kept_and_parameter_is_not(attend: Attention) -> None:
    assert type(attend(Q.as_subclass(Named), K, V)) is Named
    assert type(attend(Q, K, V.as_subclass(Named))) is Named
    out = attend(torch.nn.Parameter(Q), torch.nn.Parameter(K), V)
    assert type(out) is torch.Tensor and out.requires_grad


def test_subclass_with_its_own_dispatch_is_kept(attend: Attention) -> None:
    """A wrapper around two tensors: both are computed, and its gradient is one again."""
    from torch.testing._internal.two_tensor import TwoTensor

    query = TwoTensor(Q, 2 * Q).requires_grad_()
    out = attend(query, K, V)
    assert type(out) is TwoTensor
    torch.testing.assert_close(out.a, math(Q, K, V), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.b, math(2 * Q, K, V), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(out.sum(), query)
    assert type(gradient) is TwoTensor


@pytest.mark.parametrize("which", ["query", "key", "value", "attn_mask", "gradient"])
def test_lazily_negated_tensors(attend: Attention, which: str) -> None:
    """A tensor may carry a minus that its memory does not show, as z.conj().imag does."""
    tensors = {"query": Q, "key": K, "value": V, "attn_mask": randn(5, 7, seed=4)}
    results = []
    for negate in (torch._neg_view, torch.neg):
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}
        out = attend(**{name: negate(leaf) if name == which else leaf for name, leaf in leaves.items()})
        seed = randn(*out.shape, seed=9)
        gradients = torch.autograd.grad(out, list(leaves.values()), negate(seed) if which == "gradient" else seed)
        results.append([out.detach(), *gradients])
    assert torch.complex(Q, Q).conj().imag.is_neg()
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    if which in ("query", "key", "value"):
        plain = [{**tensors, which: negate(tensors[which])} for negate in (torch._neg_view, torch.neg)]
        for options in plain:
            del options["attn_mask"]
        torch.testing.assert_close(attend(**plain[0]), attend(**plain[1]), rtol=0, atol=0)


def test_torch_function_modes_see_the_call(attend: Attention) -> None:
    """Tools that watch torch calls (FLOP counters, tracers) keep working."""
    seen = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            seen.append(function)
            return function(*args, **(kwargs or {}))

    with Watch():
        out = attend(Q, K, V)
    assert seen
    assert_accurate(out, math(Q.double(), K.double(), V.double()), math(Q, K, V))


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_autocast(attend: Attention, dtype: torch.dtype) -> None:
    query, key, value = (tensor.detach().requires_grad_() for tensor in (Q, K, V))
    with torch.autocast("cpu", dtype=dtype):
        out = attend(query, key, value, is_causal=True)
        double = attend(Q.double(), K.double(), V.double())
    assert out.dtype == dtype and double.dtype == torch.float64
    out.sum().backward()
    assert query.grad is not None and query.grad.dtype == torch.float32
    rounded = [tensor.to(dtype) for tensor in (Q, K, V)]
    truth = math(*(tensor.double() for tensor in rounded), is_causal=True)
    assert_accurate(out, truth, math(*rounded, is_causal=True))


@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_autocast_takes_mixed_types(attend: Attention, mask_dtype: torch.dtype) -> None:
    """Everything that floats becomes the type of the autocast region, a mask too."""
    shown = mask(5, 7, dtype=mask_dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attend(Q.half(), K, V.bfloat16(), shown)
    assert out.dtype == torch.bfloat16
    rounded = [tensor.bfloat16() for tensor in (Q.half(), K, V)]
    shown = shown if mask_dtype == torch.bool else shown.bfloat16()
    wide = shown if mask_dtype == torch.bool else shown.double()
    assert_accurate(out, math(*(tensor.double() for tensor in rounded), wide), math(*rounded, shown))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradient_modes(attend: Attention, mode: Callable[[], Any]) -> None:
    query = Q.detach().requires_grad_()
    with mode():
        out = attend(query, K, V)
    assert out.requires_grad == (mode is torch.enable_grad)
    assert out.is_inference() == (mode is torch.inference_mode)
    assert_accurate(out, math(Q.double(), K.double(), V.double()), math(Q, K, V))


def nested(layout: torch.layout) -> torch.Tensor:
    pieces = [randn(4, seq, 8, seed=seq) for seq in (3, 5)]
    if layout == torch.strided:
        return torch.nested.nested_tensor(pieces, layout=layout)
    jagged = torch.nested.nested_tensor([piece.transpose(0, 1) for piece in pieces], layout=layout)
    return jagged.transpose(1, 2)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
def test_nested_tensors_are_pytorchs(attend: Attention, layout: torch.layout) -> None:
    tensor = nested(layout)
    pieces = attend(tensor, tensor, tensor).unbind()
    for piece, part in zip(pieces, tensor.unbind(), strict=True):
        torch.testing.assert_close(piece, math(part, part, part))
    shown = torch.ones(5, 5, dtype=torch.bool)
    if layout == torch.strided:
        with pytest.raises(RuntimeError, match="is_causal=True"):
            attend(tensor, tensor, tensor, is_causal=True)
        with pytest.raises(RuntimeError, match="not supported when an explicit attn_mask is set"):
            attend(tensor, tensor, tensor, shown)
    else:
        with pytest.raises(ValueError, match="Masks are not yet supported!"):
            attend(tensor, tensor, tensor, shown)


def test_kernel_that_cannot_run_is_an_error() -> None:
    """Somebody who allows cuDNN only does not get our kernel on the CPU."""
    with entry("hook") as attend, sdpa_kernel(SDPBackend.CUDNN_ATTENTION), pytest.raises(RuntimeError):
        attend(Q, K, V)


def test_rebinding_pytorchs_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.nn.functional.scaled_dot_product_attention = aule.flash_attention, CausalBias included."""
    monkeypatch.setattr(F, "scaled_dot_product_attention", aule.flash_attention)
    out = F.scaled_dot_product_attention(Q, K, V, attn_mask=causal_lower_right(5, 7))
    expected = formula(Q.double(), K.double(), V.double(), causal="bottom-right")[0]
    assert_accurate(out, expected, expected.float())
    attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    x = randn(2, 6, 16)
    operators = operators_of(lambda: attention(x, x, x, need_weights=False))
    assert is_ours(operators)


# -------------------------------------------------------------------------------------- big offsets, determinism


def far_apart(seed: int) -> torch.Tensor:
    """(3, 2, 5, 8) float16 with 2^30 elements from batch to batch: the last lies beyond 2^31 elements, 2^32 bytes.

    The memory is never touched in between, so the system does not provide it.
    """
    base = torch.empty(2**31 + 4096, dtype=torch.float16)
    view = base.as_strided((3, 2, 5, 8), (2**30, 64, 8, 1), seed)
    return view.copy_(randn(3, 2, 5, 8, seed=seed, dtype=torch.float16))


def test_offsets_beyond_32_bits(attend: Attention) -> None:
    tensors = tuple(far_apart(seed) for seed in range(3))
    shown = torch.ones(1, dtype=torch.bool).expand(3, 2, 5, 5)
    copies = tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in tensors)
    results = [outputs_and_gradients(attend, inputs, {"attn_mask": shown}) for inputs in (tensors, copies)]
    for name, result in results[0].items():
        assert torch.equal(result, results[1][name]), name  # type: ignore[arg-type]
    assert_as_pytorch(attend, copies)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_every_time_and_in_any_batch(attend: Attention, dtype: torch.dtype) -> None:
    """Repeated, and for each entry of the batch alone, gradients included."""
    tensors = qkv((4,), heads_kv=2, seq_q=33, seq_k=70, dim=24, dtype=dtype)
    options = {"is_causal": True, "enable_gqa": True}
    first = outputs_and_gradients(attend, tensors, options)
    again = outputs_and_gradients(attend, tensors, options)
    assert all(torch.equal(first[name], again[name]) for name in first)  # type: ignore[arg-type]
    seed = randn(4, 4, 33, 24, seed=9, dtype=dtype)
    for index in range(4):
        leaves = [tensor[index : index + 1].detach().requires_grad_() for tensor in tensors]
        out = attend(*leaves, **options)
        alone = [out.detach(), *torch.autograd.grad(out, leaves, seed[index : index + 1])]
        for name, result in zip(first, alone, strict=True):
            assert torch.equal(result[0], first[name][index]), name  # type: ignore[index]


def test_rows_do_not_depend_on_what_is_hidden(attend: Attention) -> None:
    """Changing keys and values that a mask hides changes no bit."""
    shown = torch.arange(7) < 4
    first = attend(Q, K, V, shown.expand(5, 7))
    key, value = K.clone(), V.clone()
    key[..., 4:, :], value[..., 4:, :] = 100.0, -100.0
    assert torch.equal(attend(Q, key, value, shown.expand(5, 7)), first)
