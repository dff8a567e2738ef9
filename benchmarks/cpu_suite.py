#!/usr/bin/env python
"""The CPU suite: aule beside PyTorch's own CPU attention, judged by the factors of issue 3.

    python benchmarks/cpu_suite.py            # about 10 minutes; wants a quiet machine
    python benchmarks/cpu_suite.py --quick    # seconds: does everything work?

Writes benchmarks/results/<name>.json with the figures, the environment and this command. Exit code 1: a result is wrong
or a group's geometric mean misses its factor (not with --quick, whose shapes are too small to judge by).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from aule._suites import CPU_GATES, cpu_suite
from aule.cli import add_measuring_options, run_bench

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small shapes, no gate, nothing written unless --json says so"
    )
    add_measuring_options(parser)
    arguments = parser.parse_args()
    threads = arguments.threads or tuple(sorted({1, min(2, os.cpu_count() or 1)}))
    if arguments.quick:
        arguments.seconds = min(arguments.seconds, 0.1)
    elif arguments.json is None:
        arguments.json = RESULTS / time.strftime("cpu_suite-%Y%m%d-%H%M%S.json", time.gmtime())
    rows = cpu_suite(threads, arguments.quick)
    rows = [row for row in rows if all(part in f"{row.group} {row.case.name}" for part in arguments.only or ())]
    return run_bench(rows, arguments, {} if arguments.quick else CPU_GATES)


if __name__ == "__main__":
    sys.exit(main())
