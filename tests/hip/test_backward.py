"""The backward kernels' machine code, as test_forward: gradients of q, k, v and sinks."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tinygrad", reason="the emulator needs requirements/hip.txt")

from code_objects import CLANG, compiler
from hip_cases import CASES, TARGETS, check, has_backward, prepared, table
from hip_launch import Options, run_backward, run_forward

pytestmark = pytest.mark.skipif(compiler() is None, reason=f"{CLANG} is not installed")


@pytest.mark.parametrize(
    ("name", "target"), table([name for name, case in CASES.items() if has_backward(case)], every=4)
)
def test_case(name: str, target: str) -> None:
    check(name, target, backward=True)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["gqa-4", "sinks-hidden-rows-bfloat16"])
def test_kernel_with_all_features(name: str, target: str) -> None:
    check(name, target, Options(features=True), backward=True)


def test_same_bits_whatever_the_order_of_waves() -> None:
    inputs = prepared("gqa-4")[0]
    outputs = run_forward(inputs, "gfx1201")
    first = run_backward(inputs, outputs, "gfx1201")
    again = run_backward(inputs, outputs, "gfx1201", Options(run={"wave_order": 3}))
    for result in first:
        assert np.array_equal(first[result].data, again[result].data, equal_nan=True), result
