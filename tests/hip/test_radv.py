"""The Vulkan back end's kernels as Mesa compiles them for Radeon RX 7900 XTX and RX 9070: their machine code, executed.

What the planner would run on these devices, with the cases of the case table. The emulator reports accesses outside of
a tensor, LDS races between waves, and WMMA operands that RX 7000 would read as garbage.
"""

from __future__ import annotations

import subprocess

import pytest

pytest.importorskip("tinygrad", reason="the emulator needs requirements/hip.txt")

from hip_cases import CASES, prepared, work
from radv import ROOT, run_backward, run_forward

from aule._verify import judge

MOST_WORK = 4e6
NAMES = [name for name, case in CASES.items() if work(case) <= MOST_WORK and 0 not in (*case.q, *case.k, *case.v)]
GPUS = ("navi31", "gfx1201")
QUICK = 11  # of so many cases one is quick


@pytest.fixture(scope="session", autouse=True)
def mesa() -> None:
    done = subprocess.run([ROOT / "scripts" / "setup-vkstat"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"scripts/setup-vkstat: {done.stderr.strip()[-300:]}")


def check(name: str, gpu: str, scalar: bool = False) -> list[str]:
    inputs, truth, plain, rounding = prepared(name)
    outputs, modules = run_forward(inputs, gpu, scalar)
    values = {result: array.values() for result, array in outputs.items()}
    wrong = [found.where for found in judge(inputs.case, values, truth, plain, rounding) if not found.ok]
    assert not wrong, f"{gpu}, {modules}: {inputs.case}\n  " + "\n  ".join(wrong)
    for result, array in outputs.items():
        assert array.gaps_are_untouched(), f"{gpu} wrote between the elements of {result}: {inputs.case}"
    return modules


def pairs() -> list[object]:
    found = []
    for index, name in enumerate(NAMES):
        for number, gpu in enumerate(GPUS):
            quick = index % QUICK == 0 and index // QUICK % len(GPUS) == number
            found.append(pytest.param(name, gpu, marks=() if quick else pytest.mark.slow, id=f"{name}-{gpu}"))
    return found


@pytest.mark.parametrize(("name", "gpu"), pairs())
def test_case(name: str, gpu: str) -> None:
    check(name, gpu)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", ["everything-float16", "everything-bfloat16", "sinks-hidden-rows-bfloat16"])
def test_matrix_units(name: str, gpu: str) -> None:
    assert any("mma_columns" in module for module in check(name, gpu))


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", ["everything-float16", "everything-float32"])
def test_without_matrix_units(name: str, gpu: str) -> None:
    assert not any("mma" in module for module in check(name, gpu, scalar=True))


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("name", ["everything-float16", "everything-float32"])
def test_gradients(name: str, gpu: str) -> None:
    inputs, truth, plain, rounding = prepared(name)
    outputs, _ = run_forward(inputs, gpu)
    gradients, modules = run_backward(inputs, outputs, gpu)
    values = {result: array.values() for result, array in gradients.items()}
    wrong = [found.where for found in judge(inputs.case, values, truth, plain, rounding) if not found.ok]
    assert not wrong, f"{gpu}, {modules}: {inputs.case}\n  " + "\n  ".join(wrong)
    for result, array in gradients.items():
        assert array.gaps_are_untouched(), f"{gpu} wrote between the elements of {result}: {inputs.case}"
