"""The constexpr lane maps against the register layouts that AMD publishes, written here from the manuals' tables.

Sources: "AMD Instinct MI200/MI300 Instruction Set Architecture", matrix register layouts, as AMD's matrix instruction
calculator prints them; "RDNA3 ISA" 7.9 and "RDNA4 ISA" 7.12 on WMMA in wave32. The instructions themselves, in the
emulator's independent tables, agree: test_forward would fail otherwise.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CXX = next((name for name in ("clang++-19", "c++", "g++", "clang++") if shutil.which(name)), None)
Map = dict[tuple[int, int], tuple[int, int]]


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Map]:
    """(layout, matrix) -> (lane, element) -> (row, column)."""
    if CXX is None:
        pytest.skip("no C++ compiler")
    program = tmp_path_factory.mktemp("lane_maps") / "lane_maps"
    subprocess.run(
        [CXX, "-std=c++20", f"-I{HERE.parents[1] / 'src'}", HERE / "lane_maps.cpp", "-o", program], check=True
    )
    found: dict[tuple[str, str], Map] = defaultdict(dict)
    for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
        layout, matrix, *numbers = line.split()
        lane, element, row, column = map(int, numbers)
        found[layout, matrix][lane, element] = (row, column)
    return found


def mfma_32x32x8_d(lane: int, r: int) -> tuple[int, int]:
    """GPR r of 16: i = 8 (r / 4) + 4 (lane / 32) + r % 4, j = lane % 32."""
    return 8 * (r // 4) + 4 * (lane // 32) + r % 4, lane % 32


def mfma_16x16_d(lane: int, r: int) -> tuple[int, int]:
    """GPR r of 4: i = 4 (lane / 16) + r, j = lane % 16."""
    return 4 * (lane // 16) + r, lane % 16


def wmma_rdna3_d(lane: int, r: int) -> tuple[int, int]:
    """VGPR r of 8: the lower half-wave holds row 2 r, the upper 2 r + 1."""
    return 2 * r + lane // 16, lane % 16


def wmma_rdna4_d(lane: int, r: int) -> tuple[int, int]:
    """VGPR r of 8: the lower half-wave holds row r, the upper 8 + r."""
    return 8 * (lane // 16) + r, lane % 16


#: name: (lanes, rows and columns of D, accumulators, D's map, elements of A in a lane, A's map (row, depth)).
LAYOUTS: dict[
    str, tuple[int, int, int, Callable[[int, int], tuple[int, int]], int, Callable[[int, int], tuple[int, int]]]
]
LAYOUTS = {
    "mfma_32x32x8": (64, 32, 16, mfma_32x32x8_d, 4, lambda lane, e: (lane % 32, 4 * (lane // 32) + e)),
    "mfma_16x16x16": (64, 16, 4, mfma_16x16_d, 4, lambda lane, e: (lane % 16, 4 * (lane // 16) + e)),
    "mfma_16x16x4_f32": (64, 16, 4, mfma_16x16_d, 1, lambda lane, e: (lane % 16, lane // 16)),
    "wmma_rdna3": (32, 16, 8, wmma_rdna3_d, 16, lambda lane, e: (lane % 16, e)),
    "wmma_rdna4": (32, 16, 8, wmma_rdna4_d, 8, lambda lane, e: (lane % 16, 8 * (lane // 16) + e)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_the_published_one(layout: str, maps: dict[tuple[str, str], Map]) -> None:
    lanes, _, accumulators, d, operands, a = LAYOUTS[layout]
    assert maps[layout, "D"] == {(lane, r): d(lane, r) for lane in range(lanes) for r in range(accumulators)}
    expected = {(lane, e): a(lane, e) for lane in range(lanes) for e in range(operands)}
    if layout == "wmma_rdna4":  # the order of the depth, common to A and B, is ours: compare lines only
        assert {key: line for key, (line, _) in maps[layout, "A"].items()} == {
            key: line for key, (line, _) in expected.items()
        }
        expected = maps[layout, "A"]
    assert maps[layout, "A"] == expected
    assert maps[layout, "B"] == {key: (depth, line) for key, (line, depth) in expected.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_a_bijection(layout: str, maps: dict[tuple[str, str], Map]) -> None:
    size = LAYOUTS[layout][1]
    held = Counter(maps[layout, "D"].values())
    assert set(held) == {(row, column) for row in range(size) for column in range(size)}
    assert set(held.values()) == {1}
    copies = 2 if layout == "wmma_rdna3" else 1  # RDNA3 wants operands in both half-waves
    assert set(Counter(maps[layout, "A"].values()).values()) == {copies}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_accumulators_of_a_lane_are_neighbours(layout: str, maps: dict[tuple[str, str], Map]) -> None:
    """What a product's lanes hold of 128 lines: each once, in runs of 16 bytes, where the instruction puts its row."""
    _, rows, accumulators, d, _, _ = LAYOUTS[layout]
    run = 4 if layout == "mfma_16x16x4_f32" else 8
    held = maps[layout, "P"]
    assert sorted(index for index, _ in held.values()) == list(range(128))
    assert sorted(row for _, row in held.values()) == list(range(128))
    for (group, element), (index, row) in held.items():
        assert index % run == element % run
        first_lane = group * rows
        assert row == element // accumulators * rows + d(first_lane, element % accumulators)[0]
