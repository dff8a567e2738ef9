"""The command `aule`, also `python -m aule`: info, explain, verify, bench."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core
from ._array_ops import DTYPE_CODES

if TYPE_CHECKING:
    from ._bench import Row
    from .cases import Case

DTYPES = ("float32", "float64", "float16", "bfloat16")
CAUSAL = ("none", "top-left", "bottom-right")


def _sizes(text: str) -> tuple[int, ...]:
    """ "1,32,1,128" -> (1, 32, 1, 128)"""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers separated by commas, such as 1,32,1,128; got {text!r}"
        ) from None
    if len(sizes) < 2 or any(size < 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"expected at least two sizes, none negative; got {text!r}")
    return sizes


def _counts(text: str) -> tuple[int, ...]:
    """ "1,2" -> (1, 2)"""
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers separated by commas, such as 1,2; got {text!r}"
        ) from None
    if any(count < 1 for count in counts):
        raise argparse.ArgumentTypeError(f"expected numbers of at least 1; got {text!r}")
    return counts


def _window(text: str) -> tuple[int, int]:
    """ "127,0" -> (127, 0); -1 is unlimited."""
    parts = text.split(",")
    try:
        left, right = (int(part) for part in parts)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LEFT,RIGHT such as 127,0 (-1 is unlimited); got {text!r}") from None
    return left, right


def _shape(tensor: tuple[Any, ...]) -> str:
    return "x".join(str(size) for size in tensor[2])


def _tensor(sizes: tuple[int, ...], dtype: str) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """A contiguous tensor without memory: explain reads sizes only."""
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= max(size, 1)
    return 0, DTYPE_CODES[dtype], sizes, tuple(reversed(strides))


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def info(_: argparse.Namespace) -> int:
    """Prints what this installation is and what it can run on."""
    lines = [
        ("aule", _core.version()),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", platform.platform()),
        ("torch", _package_version("torch")),
        ("numpy", _package_version("numpy")),
        ("transformers", _package_version("transformers")),
        (
            "threads",
            f"{_core.num_threads()} of {os.cpu_count()} cores (AULE_NUM_THREADS or aule.set_num_threads changes it)",
        ),
    ]
    for name, value in lines:
        print(f"{name:<14}{value}")
    print("\ndevices, the preferred one first")
    for backend, name, details in _core.devices():
        print(f"  {backend:<12}{name}" + (f": {details}" if details else ""))
    for backend, _name, reason in _core.unavailable():
        print(f"  {backend:<12}not here: {reason}")
    if found := _core.vulkan_devices():
        print("\nVulkan devices (AULE_DEVICE takes a number, a part of the name, a family or a UUID)")
        for number, (_backend, name, details) in enumerate(found):
            print(f"  {number:<12}{name}: {details}")
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """Prints what would run for a call of these sizes, and why every other back end would not."""
    k = arguments.k or arguments.q
    v = arguments.v or k
    tensors = [_tensor(sizes, arguments.dtype) for sizes in (arguments.q, k, v)]
    mask = None
    if arguments.mask:
        mask_dtype = arguments.dtype if arguments.mask_dtype == "same" else arguments.mask_dtype
        mask = _tensor(arguments.mask, mask_dtype)
    heads = arguments.q[-3] if len(arguments.q) > 2 else 1
    per_head = _tensor((heads,), "float32")
    print(f"q {_shape(tensors[0])}  k {_shape(tensors[1])}  v {_shape(tensors[2])}  {arguments.dtype}")
    try:
        answer = _core.explain(
            *tensors, mask, per_head if arguments.alibi else None, per_head if arguments.sinks else None,
            CAUSAL.index(arguments.causal), *arguments.window, arguments.scale, arguments.softcap, arguments.dropout,
            arguments.backend, arguments.backward, arguments.profile,
        )  # fmt: skip
    except (ValueError, TypeError, RuntimeError) as error:
        print(f"aule explain: {error}", file=sys.stderr)
        return 1
    print(answer.rstrip("\n"))
    return 0


def _need_numpy(command: str) -> bool:
    try:
        import numpy  # noqa: F401
    except ImportError:
        print(f"aule {command} needs NumPy: pip install numpy", file=sys.stderr)
        return False
    return True


def verify(arguments: argparse.Namespace) -> int:
    """Runs the case table on this machine. Exit code 1 if a result is wrong."""
    if not _need_numpy("verify"):
        return 2
    from . import _verify
    from .cases import conformance_cases

    backends = arguments.backend or _verify.available_backends()
    unknown = sorted(set(backends) - set(_verify.available_backends()))
    if unknown:
        print(
            f"aule verify: no back end {', '.join(unknown)} here; there are {', '.join(_verify.available_backends())}",
            file=sys.stderr,
        )
        return 2

    def wanted(case: Case) -> bool:
        return all(part in case.name or part == case.axis for part in arguments.only or ())

    cases = [case for case in conformance_cases() if wanted(case)]
    if not cases:
        print("aule verify: no case matches --only; --list shows them", file=sys.stderr)
        return 2
    if arguments.list:
        for case in cases:
            print(f"{case.axis:<16}{case}")
        return 0
    return 0 if _verify.verify(backends, cases) else 1


def bench(arguments: argparse.Namespace) -> int:
    """Times aule, and PyTorch if it is there. Exit code 1 if a result is wrong or, with --gate, a group too slow."""
    if not _need_numpy("bench"):
        return 2
    from . import _suites

    threads = arguments.threads or (_core.num_threads(),)
    if arguments.q:
        rows = _custom_rows(arguments, threads)
    else:
        suites: dict[str, Callable[[], list[Row]]] = {
            "default": lambda: _suites.default_suite(threads),
            "quick": lambda: _suites.cpu_suite(threads, quick=True),
            "cpu": lambda: _suites.cpu_suite(threads),
        }
        rows = suites[arguments.suite]()
    rows = [row for row in rows if all(part in f"{row.group} {row.case.name}" for part in arguments.only or ())]
    if arguments.backend:
        rows = [replace(row, backend=arguments.backend) for row in rows]
    return run_bench(rows, arguments, _suites.CPU_GATES if arguments.gate else {})


def run_bench(rows: list[Row], arguments: argparse.Namespace, gates: dict[str, float]) -> int:
    """Measures, prints, and writes what `arguments` (seconds, rounds, json, plot) ask for. The exit code."""
    from . import _report

    if not rows:
        print("aule bench: no row is left", file=sys.stderr)
        return 2
    if arguments.plot:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            print("--plot needs matplotlib: pip install matplotlib", file=sys.stderr)
            return 2
    print(f"{_report.cpu_name()}, {os.cpu_count()} cores; aule {_core.version()}, torch {_package_version('torch')}")
    try:
        measurements = _report.run_rows(rows, arguments.seconds, arguments.rounds)
    except ArithmeticError as error:
        print(f"\nwrong result, so nothing is timed: {error}", file=sys.stderr)
        return 1
    groups = _report.summarize(measurements, gates)
    _report.print_summary(groups)
    if arguments.json:
        _report.write_json(arguments.json, measurements, groups)
        print(f"wrote {arguments.json}")
    if arguments.plot:
        _report.plot(arguments.plot, measurements)
        print(f"wrote {arguments.plot}")
    return 0 if all(result.passed for result in groups) else 1


def _custom_rows(arguments: argparse.Namespace, threads: tuple[int, ...]) -> list[Row]:
    from ._bench import Row
    from .cases import Case

    q, k = arguments.q, arguments.k or arguments.q
    if len(q) != 4 or len(k) != 4:
        raise SystemExit("aule bench: --q and --k want four sizes: batch,heads,sequence,head_dim")
    case = Case("x".join(map(str, q)), q, k, arguments.v or k, dtype=arguments.dtype, causal=arguments.causal)
    if case.causal == "bottom-right":
        raise SystemExit("aule bench: PyTorch has no causal bottom-right to compare with; use top-left or none")
    return [Row("custom", case, count, arguments.backward) for count in threads]


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Options that `aule bench` and the scripts in benchmarks/ have in common."""
    parser.add_argument(
        "--threads", type=_counts, metavar="N,...", help="thread counts, each measured (default: the library's)"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each row (default %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="at least this many samples of each row (default %(default)s)"
    )
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="rows whose group or name contain TEXT (repeatable)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and environment to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a picture (PNG, SVG, PDF); needs matplotlib")


def _add_shapes(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--q", type=_sizes, required=required, metavar="B,H,L,D", help="sizes of the query")
    parser.add_argument("--k", type=_sizes, metavar="B,H,S,D", help="sizes of the key (default: those of the query)")
    parser.add_argument("--v", type=_sizes, metavar="B,H,S,D", help="sizes of the value (default: those of the key)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument(
        "--causal", choices=CAUSAL, default="none", help="top-left is SDPA's is_causal, bottom-right the KV-cache kind"
    )
    parser.add_argument("--backward", action="store_true", help="the gradient too")


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="aule", description="FlashAttention for every GPU and any CPU.")
    parser.add_argument("--version", action="version", version=f"aule {_core.version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("info", help="versions, devices, threads", description=info.__doc__)
    command.set_defaults(run=info)

    command = commands.add_parser(
        "explain", help="what would run for a call, and why", description=explain.__doc__,
        epilog="example: aule explain --q 1,32,1,128 --k 1,8,4096,128 --dtype float16 --causal bottom-right",
    )  # fmt: skip
    _add_shapes(command, required=True)
    command.add_argument(
        "--window", type=_window, default=(-1, -1), metavar="LEFT,RIGHT", help="keys seen to each side; -1 is unlimited"
    )
    command.add_argument("--mask", type=_sizes, metavar="...,L,S", help="sizes of a mask")
    command.add_argument(
        "--mask-dtype",
        choices=("bool", "float32", "same"),
        default="bool",
        help="same: --dtype's (default %(default)s)",
    )
    command.add_argument("--scale", type=float, help="default 1 / sqrt(D)")
    command.add_argument("--softcap", type=float, default=0.0)
    command.add_argument("--dropout", type=float, default=0.0, metavar="P")
    command.add_argument("--alibi", action="store_true", help="with ALiBi slopes")
    command.add_argument("--sinks", action="store_true", help="with attention sinks")
    command.add_argument("--backend", default="", help="ask for this back end only")
    command.add_argument(
        "--profile", default="", metavar="GPU",
        help=f"a recorded GPU instead of this machine: {', '.join(_core.device_profiles()) or 'none in this build'}",
    )  # fmt: skip
    command.set_defaults(run=explain)

    command = commands.add_parser("verify", help="check the results on this machine", description=verify.__doc__)
    command.add_argument(
        "--backend", action="append", metavar="NAME", help="a back end to check (repeatable; default: all)"
    )
    command.add_argument(
        "--only", action="append", metavar="TEXT", help="cases of this axis, or with TEXT in their name (repeatable)"
    )
    command.add_argument("--list", action="store_true", help="print the cases instead of running them")
    command.set_defaults(run=verify)

    command = commands.add_parser("bench", help="measure the speed, beside PyTorch", description=bench.__doc__)
    command.add_argument(
        "--suite",
        choices=("default", "quick", "cpu"),
        default="default",
        help="cpu is the whole suite, about 10 minutes",
    )
    _add_shapes(command, required=False)
    command.add_argument("--backend", help="where aule's side runs (default: its own choice; the CPU for --suite cpu)")
    command.add_argument("--gate", action="store_true", help="fail if a group misses its factor over PyTorch")
    add_measuring_options(command)
    command.set_defaults(run=bench)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line `arguments` (default: the process's). The exit code."""
    parsed = make_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except BrokenPipeError:  # `aule verify | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
