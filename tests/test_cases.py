"""Every case of the table on every back end of this machine, against the NumPy oracle.

The yardstick for errors is PyTorch's math path.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from aule._arrays import Array
from aule._oracle import philox_words
from aule._verify import Comparison, available_backends, judge, run_case, truth_values
from cases import QKV, Case, Inputs, conformance_cases, make_inputs
from torch_math import math_values

BACKENDS = available_backends()
CASES = {case.name: case for case in conformance_cases()}
#: Threads split the work differently, the result has to be the same bits.
THREADS = (1, 2, 3, 7)


@lru_cache(maxsize=4)
def prepared(name: str) -> tuple[Inputs, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, float]]:
    """Inputs, truth, PyTorch's results and rounding; computed once for all back ends."""
    inputs = make_inputs(CASES[name])
    truth, rounding = truth_values(inputs)
    return inputs, truth, math_values(inputs), rounding


def failures(comparisons: list[Comparison], case: Case, backend: str) -> str:
    wrong = [comparison.where for comparison in comparisons if not comparison.ok]
    return f"\n{backend}: {case}\n  " + "\n  ".join(wrong) if wrong else ""


@pytest.mark.parametrize("name", CASES)
def test_oracle_agrees_with_pytorch(name: str) -> None:
    """Two independent formulas: NumPy's within a generous share of PyTorch's own rounding."""
    inputs, truth, torch_values, _ = prepared(name)
    for result, values in torch_values.items():
        expected = truth[result]
        assert values.shape == expected.shape
        if result == "lse":
            numbers = ~np.isnan(truth["out"]).any(axis=-1)
            values, expected = values[numbers], expected[numbers]
        assert np.array_equal(np.isnan(values), np.isnan(expected)), f"{result}: NaN in different places"
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
        narrow = result == "sinks" or (result == "mask" and inputs.case.mask == "float32")
        dtype = "float32" if inputs.case.dtype == "float64" and narrow else inputs.case.dtype
        rounding = {"float64": 1e-11, "float32": 1e-3, "float16": 1e-2, "bfloat16": 4e-2}[dtype]
        if inputs.case.values == "large" or (inputs.case.scale or 0) > 100:
            rounding = max(rounding, 3e-2)  # scores of 1e4 have an absolute rounding of 1e-3 in float32
        np.testing.assert_allclose(values, expected, rtol=0, atol=rounding * float(scale), err_msg=result)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, backend: str) -> None:
    inputs, truth, torch_values, rounding = prepared(name)
    outputs = run_case(inputs, backend)
    message = failures(judge(inputs.case, outputs.values(), truth, torch_values, rounding), inputs.case, backend)
    assert not message, message
    for result, array in outputs.arrays.items():
        assert array.gaps_are_untouched(), f"{backend} wrote between the elements of {result}: {inputs.case}"


#: The reference has no threads; a few cases are enough for it.
RUNS = [
    (name, backend) for name in CASES for backend in BACKENDS if backend != "reference" or name.startswith("everything")
]


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_same_bits_on_every_run_and_thread_count(name: str, backend: str) -> None:
    inputs = prepared(name)[0]
    first = run_case(inputs, backend).bits()
    for threads in THREADS:
        again = run_case(inputs, backend, num_threads=threads).bits()
        different = [result for result in first if first[result] != again[result]]
        assert not different, f"{backend}, {threads} threads: {different} changed: {inputs.case}"


#: Cases with a batch, of every kind: what a row gives may not depend on its batch mates.
SAMPLE = [
    name
    for name, case in CASES.items()
    if len(case.q) == 4 and case.q[0] == 2 and case.k[0] == 2 and case.q[-2] > 0 and "batch" not in name
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SAMPLE)
def test_same_bits_whatever_the_batch(name: str, backend: str) -> None:
    """A batch entry alone gives the same bits as in the batch (only entry 0 with dropout, which counts batches)."""
    inputs = prepared(name)[0]
    per_row = [result for result in ("out", "lse", *QKV) if result in ("out", "lse") or result in inputs.case.gradients]
    together = run_case(inputs, backend)
    for entry in (0,) if inputs.case.dropout_p else (0, 1):
        alone = run_case(_entry(inputs, entry), backend)
        for result in per_row:
            expected = np.ascontiguousarray(together.arrays[result].data[entry])
            found = np.ascontiguousarray(alone.arrays[result].data[0])
            assert expected.tobytes() == found.tobytes(), (
                f"{backend}: {result} of batch entry {entry} changed: {inputs.case}"
            )


def _entry(inputs: Inputs, entry: int) -> Inputs:
    """One batch entry of the inputs, without copying."""

    def cut(array: Array | None, rank: int) -> Array | None:
        if array is None or array.data.ndim < rank or array.shape[0] == 1:
            return array
        return array.view(array.data[entry : entry + 1])

    q, k, v = (cut(array, 4) for array in (inputs.q, inputs.k, inputs.v))
    assert q is not None and k is not None and v is not None
    shapes = {name: (1, *getattr(inputs.case, name)[1:]) for name in QKV}
    return replace(
        inputs, q=q, k=k, v=v, mask=cut(inputs.mask, 4), alibi_slopes=cut(inputs.alibi_slopes, 2),
        dout=inputs.dout[entry : entry + 1], dlse=None if inputs.dlse is None else inputs.dlse[entry : entry + 1],
        case=replace(inputs.case, **shapes),
    )  # fmt: skip


def test_philox_known_answers() -> None:
    """The known-answer tests of the Random123 distribution (Salmon et al. 2011) that our counter layout can reach."""
    words = philox_words(0, 1, 1, 4)[0, 0]
    assert [hex(int(word)) for word in words] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def test_names_are_unique_and_inputs_reproducible() -> None:
    assert len(CASES) == len(conformance_cases())
    for name in ("everything-bfloat16", "layout-mixed-float16"):
        first, second = make_inputs(CASES[name]), make_inputs(CASES[name])
        assert first.q.data.tobytes() == second.q.data.tobytes()
        assert first.mask is second.mask or first.mask.data.tobytes() == second.mask.data.tobytes()  # type: ignore[union-attr]


def test_flops_count_what_is_visible() -> None:
    assert Case("f", (2, 4, 8, 16), (2, 2, 8, 16), (2, 2, 8, 32)).flops() == 2 * 2 * 4 * 64 * (16 + 32)
    assert Case("c", (1, 1, 8, 16), (1, 1, 8, 16), (1, 1, 8, 16), causal="top-left").visible_pairs() == 36
    assert Case("w", (1, 1, 8, 16), (1, 1, 8, 16), (1, 1, 8, 16), window=(1, 0)).visible_pairs() == 15
