"""The case table as tests/hip runs it: which case on which architecture, and how results are judged."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from code_objects import padded_head_dims, variants
from hip_launch import GRADIENTS, Options, run_backward, run_forward

from aule._verify import judge, plain_values, truth_values
from aule.cases import Case, Inputs, conformance_cases, make_inputs

TARGETS = ("gfx90a", "gfx942", "gfx1100", "gfx1201")
#: Multiplications of the products beyond which the emulator takes longer than some ten seconds.
LARGEST = 60e6
#: Heads wider than this have no backward kernel yet.
LARGEST_BACKWARD_DIM = int(variants("LARGEST_BACKWARD")[0][0])


def work(case: Case) -> float:
    """Multiplications of both products, in whole tiles of 64 queries."""
    leading = np.prod(case.batch, dtype=np.int64) * case.heads_q
    return float(leading * max(case.q[-2], 64) * max(case.k[-2], 32) * (case.q[-1] + case.v[-1]))


CASES = {case.name: case for case in conformance_cases() if case.dtype != "float64" and work(case) <= LARGEST}


def has_backward(case: Case) -> bool:
    """Whether the kernels compute a gradient that the case wants."""
    wanted = any(name in GRADIENTS for name in case.gradients)
    return wanted and max(case.q[-1], case.v[-1]) <= LARGEST_BACKWARD_DIM and 3 * work(case) <= LARGEST


def table(names: list[str], every: int) -> list[object]:
    """(case, architecture): all pairs, most marked slow. Quick are small cases, one in `every`, on one architecture."""
    found = []
    for index, name in enumerate(names):
        case = CASES[name]
        small = work(case) <= 3e6 and padded_head_dims(case.q[-1], case.v[-1]) == (32, 32)
        for number, target in enumerate(TARGETS):
            quick = small and index % every == 0 and index // every % len(TARGETS) == number
            found.append(pytest.param(name, target, marks=() if quick else pytest.mark.slow, id=f"{name}-{target}"))
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


def check(name: str, target: str, options: Options | None = None, backward: bool = False) -> None:
    """Runs a case, judges its results and looks for writes between the elements."""
    inputs, truth, plain, rounding = prepared(name)
    outputs = run_forward(inputs, target, options)
    if backward:
        outputs = run_backward(inputs, outputs, target, options)
    rounding = dict(rounding, lse=rounding["lse"] + flushed_score(inputs, target))
    values = {result: array.values() for result, array in outputs.items()}
    wrong = [found.where for found in judge(inputs.case, values, truth, plain, rounding) if not found.ok]
    assert not wrong, f"{target}: {inputs.case}\n  " + "\n  ".join(wrong)
    for result, array in outputs.items():
        assert array.gaps_are_untouched(), f"{target} wrote between the elements of {result}: {inputs.case}"
