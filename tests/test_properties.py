"""Random calls, shrunk to a readable `Case` when one is wrong.

pytest tests/test_properties.py                                # the fixed draw of CI
pytest tests/test_properties.py --hypothesis-profile=deep      # thousands of fresh ones
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, note
from hypothesis import strategies as st

import aule
from aule._arrays import LAYOUTS, Layout
from aule._verify import available_backends, judge, result_dtypes, run_case, truth_values
from cases import FLOAT_DTYPES, QKV, Case, make_inputs
from torch_math import math_values, to_torch

BACKENDS = available_backends()

lengths = st.one_of(st.integers(0, 20), st.sampled_from((31, 32, 33, 63, 64, 65, 127, 130, 257)))
head_dims = st.one_of(st.integers(1, 40), st.sampled_from((64, 72, 80, 128)))
permutations = st.sampled_from(((), (-1, -2), (-2, -3, -1), (-3, -1, -2), (-1, -3, -2), (-3, -2, -1)))
expansions = st.sampled_from(((), (), (), (-3,), (-2,), (-4,), (-1,)))
layouts = st.builds(
    Layout,
    order=permutations,
    steps=st.sampled_from(((), (1,), (2,), (-1,), (-1, 1), (2, -3), (-1, -2, 1), (3, 1, 1))),
    expand=expansions,
    pad=st.sampled_from((0, 0, 5, 64)),
    offset=st.integers(0, 3),
)


@st.composite
def cases(draw: st.DrawFn, max_leading: int = 2) -> Case:
    """A valid call. What is drawn first shrinks first: the features go before the shapes do."""
    seq_q, seq_k, dim, dim_v = draw(lengths), draw(lengths), draw(head_dims), draw(head_dims)
    heads_kv, group = draw(st.integers(1, 3)), draw(st.sampled_from((1, 1, 2, 3, 8)))
    leading = tuple(draw(st.lists(st.integers(1, 2), min_size=0, max_size=max_leading)))
    if seq_q * seq_k > 1000:  # long sequences with few heads, many heads with short sequences
        group, leading = min(group, 2), leading[:1]
    if seq_q * seq_k > 5000:
        heads_kv, leading = 1, ()
    heads_q = heads_kv * group

    def one_or(sizes: tuple[int, ...]) -> tuple[int, ...]:
        """`sizes`, some of them broadcast from 1."""
        return tuple(size if draw(st.booleans()) else 1 for size in sizes) if draw(st.integers(0, 3)) == 3 else sizes

    fields: dict[str, object] = {
        "dtype": draw(st.sampled_from(FLOAT_DTYPES)),
        "causal": draw(st.sampled_from(("none", "top-left", "bottom-right"))),
        "scale": draw(st.sampled_from((None, None, 0.3, -0.2, 0.0, 1.0))),
        "dropout_p": draw(st.sampled_from((0.0, 0.0, 0.0, 0.25, 0.9, 1.0))),
        "softcap": draw(st.sampled_from((0.0, 0.0, 2.0, 50.0))),
        "sinks": draw(st.booleans()),
        "alibi": draw(st.sampled_from((None, None, "heads", "batch" if len(leading) == 1 else "heads"))),
        "values": draw(st.sampled_from(("normal", "normal", "rising", "zero"))),
        "seed": draw(st.integers(0, 1000)),
        "layout": (draw(layouts), draw(layouts), draw(layouts)) if draw(st.booleans()) else LAYOUTS["contiguous"],
    }
    if draw(st.booleans()):
        fields["window"] = (draw(st.integers(-1, 40)), draw(st.integers(-1, 40)))
    gradients = list(draw(st.sampled_from((QKV, (), ("q",), ("k",), ("v",), ("k", "v")))))
    if draw(st.booleans()):
        kind = draw(st.sampled_from(("bool", "float32", "same")))
        full = (*leading, heads_q, seq_q, seq_k)
        shape = tuple(size if draw(st.booleans()) else 1 for size in full)[draw(st.integers(0, len(full) - 1)) :]
        values = ["random", "hidden-rows", "padded-left", "padded-right", "hidden"]
        fields |= {
            "mask": kind,
            "mask_shape": shape,
            "mask_values": draw(st.sampled_from(values if kind == "bool" else [*values, "lowest", "sprinkled"])),
            "mask_layout": draw(layouts),
        }
        if kind != "bool" and gradients:
            gradients += draw(st.sampled_from(([], ["mask"])))
    if fields["sinks"] and gradients:
        gradients += draw(st.sampled_from(([], ["sinks"])))
    if gradients:
        gradients += draw(st.sampled_from(([], ["lse"])))
    return Case(
        "drawn",
        (*(one_or(leading) if "mask" not in fields else leading), heads_q, seq_q, dim),  # a mask may not enlarge q
        (*one_or(leading), heads_kv, seq_k, dim),
        (*leading, heads_kv, seq_k, dim_v),
        gradients=tuple(gradients),
        **fields,  # type: ignore[arg-type]
    )


def fail_if_wrong(case: Case, actual: dict[str, np.ndarray], what: str) -> None:
    inputs = make_inputs(case)
    truth, rounding = truth_values(inputs, few_numbers=True)
    comparisons = judge(case, actual, truth, math_values(inputs), rounding)
    wrong = [comparison.where for comparison in comparisons if not comparison.ok]
    assert not wrong, f"\n{what}: {case}\n  " + "\n  ".join(wrong)


@pytest.mark.parametrize("backend", BACKENDS)
@given(case=cases(), threads=st.sampled_from((0, 1, 2, 5)))
def test_any_call_through_the_core(backend: str, case: Case, threads: int) -> None:
    """Results and gradients of every feature, in every memory layout (negative strides included)."""
    note(str(case))
    outputs = run_case(make_inputs(case), backend, threads)
    fail_if_wrong(case, outputs.values(), f"{backend}, {threads} threads")
    for result, array in outputs.arrays.items():
        assert array.gaps_are_untouched(), f"{backend} wrote between the elements of {result}: {case}"


@given(case=cases())
def test_any_call_through_torch(case: Case) -> None:
    """aule.flash_attention with autograd: options arrive, broadcast sizes and heads get summed gradients."""
    case = replace(case, dropout_p=0.0, layout=LAYOUTS["contiguous"], mask_layout=LAYOUTS["contiguous"])
    note(str(case))
    inputs = make_inputs(case)
    leaves = {name: to_torch(getattr(inputs, name)) for name in QKV}
    for name, array in (("mask", inputs.mask), ("sinks", inputs.sinks)):
        if array is not None:
            leaves[name] = to_torch(array)
    wanted = [name for name in case.gradients if name != "lse"]
    for name in wanted:
        leaves[name].requires_grad_(True)
    causal: object = {"none": None, "top-left": True, "bottom-right": "bottom-right"}[case.causal]
    if case.mask and case.causal == "top-left":
        causal = None
        case = replace(case, causal="none")
        inputs = replace(inputs, case=case)
    out, lse = aule.flash_attention(
        *(leaves[name] for name in QKV),
        attn_mask=leaves.get("mask"),
        scale=case.scale,
        enable_gqa=True,
        causal=causal,
        window=None if case.window == (-1, -1) else case.window,
        softcap=case.softcap,
        alibi_slopes=None if inputs.alibi_slopes is None else to_torch(inputs.alibi_slopes),
        sinks=leaves.get("sinks"),
        return_lse=True,
    )
    assert out.dtype == leaves["q"].dtype
    actual = {"out": out.detach().double().numpy(), "lse": lse.detach().double().numpy()}
    fail_if_wrong(replace(case, gradients=()), actual, "forward")
    if not wanted:
        return
    outputs, seeds = [out], [torch.from_numpy(np.array(inputs.dout)).to(out.dtype)]
    if inputs.dlse is not None:
        outputs, seeds = [*outputs, lse], [*seeds, torch.from_numpy(np.array(inputs.dlse)).to(lse.dtype)]
    gradients = torch.autograd.grad(outputs, [leaves[name] for name in wanted], seeds)
    truth, rounding = truth_values(inputs, few_numbers=True)
    found = {}
    for name, gradient in zip(wanted, gradients, strict=True):
        assert gradient.shape == leaves[name].shape and gradient.dtype == leaves[name].dtype, name
        found[name] = gradient.double().numpy()
        if name in QKV:  # the truth has the broadcast sizes; autograd summed over them
            truth[name] = _summed(truth[name], found[name].shape)
    yard = math_values(inputs, expand=False)
    comparisons = judge(case, found, truth, yard, rounding)
    wrong = [comparison.where for comparison in comparisons if not comparison.ok]
    assert not wrong, f"\nautograd: {case}\n  " + "\n  ".join(wrong)


def _summed(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and values.shape[axis] != 1)
    return values.sum(axis=axes, keepdims=True)


@given(case=cases(max_leading=1))
def test_any_call_through_numpy(case: Case) -> None:
    """NumPy arrays in any layout, negative strides included, give NumPy arrays."""
    dtype = case.dtype if case.dtype != "bfloat16" else "float32"
    case = replace(case, dtype=dtype, dropout_p=0.0, gradients=(), mask=None, mask_shape=(), sinks=False)
    note(str(case))
    inputs = make_inputs(case)
    result = aule.flash_attention(
        *(getattr(inputs, name).data for name in QKV),
        scale=case.scale,
        enable_gqa=True,
        causal={"none": None, "top-left": True, "bottom-right": "bottom-right"}[case.causal],
        window=None if case.window == (-1, -1) else case.window,
        softcap=case.softcap,
        alibi_slopes=None if inputs.alibi_slopes is None else inputs.alibi_slopes.data,
    )
    assert isinstance(result, np.ndarray) and result.dtype == np.dtype(result_dtypes(dtype)["out"])
    fail_if_wrong(case, {"out": result.astype(np.float64)}, "NumPy")
