"""The forward kernels' own machine code, executed for each architecture, on the case table and against its oracle.

The emulator reports accesses outside of a tensor, LDS races, and WMMA operands that RDNA3 would read as garbage.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

pytest.importorskip("tinygrad", reason="the emulator needs requirements/hip.txt")

from code_objects import CLANG, compiler, padded_head_dims
from hip_launch import Options, run_forward

from aule._verify import judge, plain_values, truth_values
from aule.cases import Case, Inputs, conformance_cases, make_inputs

pytestmark = pytest.mark.skipif(compiler() is None, reason=f"{CLANG} is not installed")

TARGETS = ("gfx90a", "gfx942", "gfx1100", "gfx1201")
#: Multiplications of the products beyond which the emulator takes longer than some ten seconds.
LARGEST = 60e6


def work(case: Case) -> float:
    """Multiplications of both products, in whole tiles of 64 queries."""
    leading = np.prod(case.batch, dtype=np.int64) * case.heads_q
    return float(leading * max(case.q[-2], 64) * max(case.k[-2], 32) * (case.q[-1] + case.v[-1]))


CASES = {case.name: case for case in conformance_cases() if case.dtype != "float64" and work(case) <= LARGEST}


def quick(case: Case, number: int) -> bool:
    """Whether the quick run has it: small ones, each on one architecture."""
    small = work(case) <= 3e6 and padded_head_dims(case.q[-1], case.v[-1]) == (32, 32)
    return small and list(CASES).index(case.name) % len(TARGETS) == number


def table() -> list[object]:
    """(case, architecture): all of them, most marked slow."""
    found = []
    for name, case in CASES.items():
        for number, target in enumerate(TARGETS):
            marks = () if quick(case, number) else pytest.mark.slow
            found.append(pytest.param(name, target, marks=marks, id=f"{name}-{target}"))
    return found


@lru_cache(maxsize=4)
def prepared(name: str) -> tuple[Inputs, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, float]]:
    """Inputs, truth, the yardstick and rounding."""
    inputs = make_inputs(CASES[name])
    truth, rounding = truth_values(inputs)
    return inputs, truth, plain_values(inputs), rounding


def flushed_score(inputs: Inputs, target: str) -> float:
    """What MI200 loses of a score: its matrix units read subnormal float16 as 0 (one factor of a score, here)."""
    if target != "gfx90a" or inputs.case.dtype != "float16":
        return 0.0
    largest = max(float(np.abs(array.values()).max(initial=0.0)) for array in (inputs.q, inputs.k))
    scale = 1 / np.sqrt(max(inputs.q.shape[-1], 1)) if inputs.case.scale is None else abs(inputs.case.scale)
    return float(scale * 2.0**-14 * largest)


def check(name: str, target: str, options: Options | None = None) -> None:
    """Runs a case, judges its results and looks for writes between the elements."""
    inputs, truth, plain, rounding = prepared(name)
    outputs = run_forward(inputs, target, options)
    values = {result: array.values() for result, array in outputs.items()}
    rounding = dict(rounding, lse=rounding["lse"] + flushed_score(inputs, target))
    wrong = [found.where for found in judge(inputs.case, values, truth, plain, rounding) if not found.ok]
    assert not wrong, f"{target}: {inputs.case}\n  " + "\n  ".join(wrong)
    for result, array in outputs.items():
        assert array.gaps_are_untouched(), f"{target} wrote between the elements of {result}: {inputs.case}"


@pytest.mark.parametrize(("name", "target"), table())
def test_case(name: str, target: str) -> None:
    check(name, target)


#: The paths of the kernel that a case's sizes do not choose.
PATHS = {
    "features": Options(features=True),
    "fold": Options(fold=True),
    "no-fold": Options(fold=False),
    "splits": Options(splits=2),
    "fold-splits": Options(fold=True, splits=3),
    "waves-reversed": Options(run={"wave_order": "reverse"}),
    "waves-shuffled": Options(run={"wave_order": 7}),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["everything-float16", "gqa-4", "window-4,4-50x50", "sinks-hidden-rows-bfloat16"])
def test_path(name: str, path: str, target: str) -> None:
    check(name, target, PATHS[path])


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=pytest.mark.slow), "bfloat16"])
@pytest.mark.parametrize("target", ["gfx1100"])
def test_unit_without_matrices(target: str, dtype: str) -> None:
    """RDNA2's unit, which no emulator runs, on an architecture that has its instructions."""
    check(f"everything-{dtype}", target, Options(flags=("-DAULE_SCALAR_UNIT",)))


def test_same_bits_whatever_the_neighbours() -> None:
    """A row's bits depend neither on the other rows of its tile nor on the order of the waves."""
    inputs = prepared("window-4,4-50x50")[0]
    first = run_forward(inputs, "gfx1201")
    again = run_forward(inputs, "gfx1201", Options(run={"wave_order": 3}))
    for result in first:
        assert np.array_equal(first[result].data, again[result].data, equal_nan=True), result
