"""The forward kernels' own machine code, executed for each architecture, on the case table and against its oracle.

The emulator reports accesses outside of a tensor, LDS races, and WMMA operands that RDNA3 would read as garbage.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tinygrad", reason="the emulator needs requirements/hip.txt")

from code_objects import CLANG, compiler
from hip_cases import CASES, TARGETS, check, prepared, table
from hip_launch import Options, run_forward

pytestmark = pytest.mark.skipif(compiler() is None, reason=f"{CLANG} is not installed")


@pytest.mark.parametrize(("name", "target"), table(list(CASES), every=2))
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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_unit_without_matrices(dtype: str) -> None:
    """RDNA2's unit, which no emulator runs, on an architecture that has its instructions."""
    check(f"everything-{dtype}", "gfx1100", Options(flags=("-DAULE_SCALAR_UNIT",)), backward=True)


@pytest.mark.parametrize("target", TARGETS)
def test_splits_of_rows_that_the_lowest_float_hides(target: str) -> None:
    """Every key of a row at -3.4e38: the splits' weights are their numbers of keys."""
    check("mask-lowest-float32", target, Options(splits=2))


def test_same_bits_whatever_the_order_of_waves() -> None:
    inputs = prepared("window-4,4-50x50")[0]
    first = run_forward(inputs, "gfx1201")
    again = run_forward(inputs, "gfx1201", Options(run={"wave_order": 3}))
    for result in first:
        assert np.array_equal(first[result].data, again[result].data, equal_nan=True), result
