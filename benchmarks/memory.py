#!/usr/bin/env python
"""How much memory a call takes beyond its inputs: aule beside PyTorch's flash and math paths.

    python benchmarks/memory.py               # S = 8k, 16k, 32k
    python benchmarks/memory.py --quick       # S = 1k, 2k

Every figure comes from a process of its own: inputs are made, a small call loads what is loaded once, the system's
high-water mark is reset, and the growth of the resident set during one call is read (Linux only). It includes the
output and the gradients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PATHS = ("aule", "torch-flash", "torch-math")


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _available() -> int:
    """Free memory in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def measure(path: str, seq: int, heads: int, dim: int, dtype: str, backward: bool) -> dict[str, float]:
    """Runs in a process of its own. growth in bytes, seconds of the one call."""
    import time

    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    import aule

    sdpa = torch.nn.functional.scaled_dot_product_attention
    backend = {"torch-flash": SDPBackend.FLASH_ATTENTION, "torch-math": SDPBackend.MATH}.get(path)

    def call(inputs: list[torch.Tensor]) -> object:
        if backend is None:
            out = aule.flash_attention(*inputs)
        else:
            with sdpa_kernel(backend):
                out = sdpa(*inputs)
        return torch.autograd.grad(out, inputs, torch.ones_like(out)) if backward else out

    def make(length: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        shape = (1, heads, length, dim)
        return [
            torch.randn(shape, generator=generator).to(getattr(torch, dtype)).requires_grad_(backward) for _ in range(3)
        ]

    call(make(64))
    inputs = make(seq)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    started = time.perf_counter()
    result = call(inputs)
    seconds = time.perf_counter() - started
    del result
    return {"growth": _status("VmHWM") - before, "seconds": seconds}


def _needed(path: str, seq: int, heads: int, backward: bool) -> int:
    """A rough bound: the math path keeps two to four float32 score matrices."""
    return heads * seq * seq * 4 * (5 if backward else 3) if path == "torch-math" else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--lengths", type=lambda text: tuple(map(int, text.split(","))), help="default 8192,16384,32768"
    )
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(**json.loads(arguments.child))))
        return 0
    lengths = arguments.lengths or ((1024, 2048) if arguments.quick else (8192, 16384, 32768))
    rows = []
    print(f"{'pass':<18}{'S':>7}" + "".join(f"{path:>16}" for path in PATHS) + "   growth of the resident set")
    for backward in (False, True):
        for seq in lengths:
            cells = []
            for path in PATHS:
                row = {
                    "path": path,
                    "seq": seq,
                    "heads": arguments.heads,
                    "dim": arguments.dim,
                    "dtype": arguments.dtype,
                    "backward": backward,
                }
                needed = _needed(path, seq, arguments.heads, backward)
                if needed > 0.6 * _available():
                    cells.append(f"needs {needed / 2**30:.0f} GiB")
                    rows.append(row | {"skipped": f"needs about {needed} bytes"})
                    continue
                command = [sys.executable, __file__, "--child", json.dumps(row)]
                run = subprocess.run(command, capture_output=True, text=True)
                if run.returncode != 0:
                    print(run.stderr, file=sys.stderr)
                    return 1
                found = json.loads(run.stdout.splitlines()[-1])
                rows.append(row | found)
                cells.append(f"{found['growth'] / 2**20:.1f} MiB")
            name = "forward+backward" if backward else "forward"
            print(f"{name:<18}{seq:>7}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    if arguments.json:
        from aule._report import environment

        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(
            json.dumps({"format": 1, "environment": environment(), "rows": rows}, indent=1) + "\n"
        )
        print(f"wrote {arguments.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
