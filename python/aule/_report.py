"""Tables, JSON and pictures of what `_bench` measured."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from . import _core
from ._bench import Measurement, Row, import_torch, measure


@dataclass(frozen=True)
class GroupResult:
    """The geometric mean of a group's ratios (PyTorch's time over ours) and the factor it has to reach, if any."""

    group: str
    rows: int
    ratio: float
    lowest: float
    highest: float
    gate: float | None

    @property
    def passed(self) -> bool:
        return self.gate is None or self.ratio >= self.gate


def summarize(measurements: Iterable[Measurement], gates: dict[str, float]) -> list[GroupResult]:
    """One result for every group that has ratios."""
    by_group: dict[str, list[float]] = {}
    for found in measurements:
        if found.ratio is not None:
            by_group.setdefault(found.group, []).append(found.ratio)
    return [
        GroupResult(group, len(ratios), statistics.geometric_mean(ratios), min(ratios), max(ratios), gates.get(group))
        for group, ratios in by_group.items()
    ]


def run_rows(rows: list[Row], seconds: float, min_rounds: int, stream: TextIO = sys.stdout) -> list[Measurement]:
    """Measures the rows, one printed line each, under a heading for every group."""
    found: list[Measurement] = []
    group = None
    for index, row in enumerate(rows):
        if row.group != group:
            group = row.group
            print(f"\n{group}\n  {_HEADING}", file=stream)
        if stream.isatty():
            print(f"  [{index + 1} of {len(rows)}] {row.case.name} ...", end="\r", file=stream, flush=True)
        found.append(measure(row, seconds, min_rounds))
        print(f"  {_line(found[-1])}", file=stream, flush=True)
    return found


_HEADING = f"{'case':<34}{'threads':>8}{'aule':>12}{'torch':>12}{'ratio':>8}{'aule':>16}{'torch':>9}{'error':>7}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.3f} ms"


def _line(found: Measurement) -> str:
    ratio = "-" if found.ratio is None else f"{found.ratio:.2f}x"
    torch_rate = "-" if found.torch_rate is None else f"{found.torch_rate:.1f}"
    return (
        f"{found.name:<34}{found.threads:>8}{_milliseconds(found.aule_seconds):>12}{_milliseconds(found.torch_seconds):>12}"
        f"{ratio:>8}{found.aule_rate:>8.1f} {found.rate_unit:<7}{torch_rate:>9}{found.error_used:>7.2f}"
    )


def print_summary(groups: list[GroupResult], stream: TextIO = sys.stdout) -> None:
    """The table that the gate is read from."""
    if not groups:
        print("\nPyTorch is not installed: no comparison", file=stream)
        return
    print(f"\n{'group':<28}{'rows':>5}{'geomean':>9}{'lowest':>8}{'highest':>9}{'gate':>7}", file=stream)
    for result in groups:
        gate = "-" if result.gate is None else f"{result.gate:.1f}x"
        verdict = "" if result.gate is None else ("  reached" if result.passed else "  MISSED")
        print(
            f"{result.group:<28}{result.rows:>5}{result.ratio:>8.2f}x{result.lowest:>7.2f}x{result.highest:>8.2f}x{gate:>7}{verdict}",
            file=stream,
        )
    print("ratio: PyTorch's time / aule's; error: share of 2x the error of PyTorch's math path + 1 ulp", file=stream)


def _command_output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_name() -> str:
    """The processor's model name, as well as this system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return _command_output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """Where a measurement was made: enough to repeat it."""
    torch = import_torch()
    top = _command_output(["git", "rev-parse", "--show-toplevel"])
    in_source_tree = bool(top) and (Path(top) / "include" / "aule" / "aule.hpp").exists()
    commit = _command_output(["git", "rev-parse", "HEAD"]) if in_source_tree else ""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": None if torch is None else str(torch.__version__),
        "aule": _core.version(),
        "devices": [list(device) for device in _core.devices()],
        "commit": commit or None,
        "uncommitted_changes": bool(_command_output(["git", "status", "--porcelain"])) if commit else None,
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        "variables": {name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "AULE_"))},
    }


def write_json(path: Path, measurements: list[Measurement], groups: list[GroupResult]) -> None:
    """Everything that the tables show, and the environment."""
    document = {
        "format": 1,
        "environment": environment(),
        "groups": [asdict(result) | {"passed": result.passed} for result in groups],
        "rows": [asdict(found) for found in measurements],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def plot(path: Path, measurements: list[Measurement]) -> None:
    """A picture of the rates of aule and PyTorch, a panel for every group.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError:
        raise ModuleNotFoundError("--plot needs matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = list(dict.fromkeys(found.group for found in measurements))
    lines = [sum(found.group == group for found in measurements) for group in groups]
    figure, panels = pyplot.subplots(
        len(groups),
        1,
        figsize=(9, sum(0.34 * count + 0.9 for count in lines)),
        height_ratios=lines,
        squeeze=False,
        layout="constrained",
    )
    for panel, group in zip(panels[:, 0], groups, strict=True):
        found = [one for one in measurements if one.group == group]
        where = np.arange(len(found))
        panel.barh(where - 0.2, [one.aule_rate for one in found], 0.4, label="aule", color="#0072b2")
        if found[0].torch_rate is not None:
            panel.barh(where + 0.2, [one.torch_rate or 0.0 for one in found], 0.4, label="PyTorch", color="#bbbbbb")
        panel.set_yticks(where, [f"{one.name}, {one.threads} thr." for one in found], fontsize=7)
        panel.invert_yaxis()
        panel.set_xlabel(found[0].rate_unit)
        panel.set_title(group, loc="left", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
