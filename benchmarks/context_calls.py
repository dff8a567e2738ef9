#!/usr/bin/env python
"""What a repeated `AttentionContext.attention` costs its caller: from Python to a submitted command buffer.

    python benchmarks/context_calls.py                       # the best GPU
    python benchmarks/context_calls.py --backend vulkan      # also a software one (lavapipe)

The first call of a kind records a command buffer, later ones submit it. Bursts of 32 calls begin on an idle device, so
that nobody waits for a full queue; a figure is the median over the bursts of a burst's time / 32, in microseconds, by
the clock on the wall and as the calling thread's processor time. A call of an empty batch goes the same way but submits
nothing: the difference is the driver's vkQueueSubmit. Results are checked first.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

BURST, BURSTS, GOAL_US = 32, 200, 10.0

#: name: batch, query heads, K/V heads, queries, keys, head size, options
CALLS: dict[str, tuple[int, int, int, int, int, int, dict[str, Any]]] = {
    "one head, 16 rows": (1, 1, 1, 16, 16, 64, {}),
    "decode, 8/2 heads, 64 keys": (1, 8, 2, 1, 64, 64, {"causal": "bottom-right"}),
    "causal, 4 heads, 16 rows": (1, 4, 4, 16, 16, 64, {"causal": True}),
    "empty batch: nothing submitted": (0, 1, 1, 16, 16, 64, {}),
}


def burst(context: Any, call: Any) -> tuple[float, float]:
    """Microseconds a call: wall, processor."""
    context.synchronize()
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(BURST):
        call()
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    return wall / BURST * 1e6, cpu / BURST * 1e6


def measure(context: Any, sizes: tuple[int, ...], options: dict[str, Any]) -> dict[str, float]:
    """Medians over the bursts."""
    import numpy as np

    import aule

    batch, heads_q, heads_kv, seq_q, seq_k, dim = sizes
    rng = np.random.default_rng(0)
    shapes = [(batch, heads_q, seq_q, dim), (batch, heads_kv, seq_k, dim), (batch, heads_kv, seq_k, dim)]
    host = [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]
    q, k, v = (context.tensor(array.shape).upload(array) for array in host)
    out = context.tensor(shapes[0])

    def call() -> None:
        context.attention(q, k, v, out, **options)

    call()
    if batch:
        expected = aule.flash_attention(*host, enable_gqa=True, backend="cpu", **options)
        np.testing.assert_allclose(out.download(), expected, rtol=0, atol=1e-5)
    bursts = [burst(context, call) for _ in range(BURSTS)]
    walls, cpus = zip(*bursts, strict=True)
    return {
        "wall_us": statistics.median(walls),
        "cpu_us": statistics.median(cpus),
        "wall_us_best_tenth": statistics.quantiles(walls, n=10)[0],
    }


def main() -> int:
    """The program; 1 if a call takes longer than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", help="vulkan, cpu; default: the best GPU")
    parser.add_argument("--device", help="number, part of the name or UUID of a device")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    import aule

    rows = {}
    with aule.AttentionContext(backend=options.backend, device=options.device) as context:
        device = str(context.device)
        print(f"{device}\n{'repeated call':34} {'wall us':>8} {'best tenth':>10} {'cpu us':>8}")
        for name, (*sizes, rules) in CALLS.items():
            rows[name] = row = measure(context, tuple(sizes), rules)
            print(f"{name:34} {row['wall_us']:8.2f} {row['wall_us_best_tenth']:10.2f} {row['cpu_us']:8.2f}", flush=True)
    *real, empty = rows.values()
    worst = max(row["wall_us"] for row in real)
    submit = statistics.mean(row["cpu_us"] for row in real) - empty["cpu_us"]
    print(f"vkQueueSubmit's share: {submit:.2f} us; slowest {worst:.2f} us, goal {GOAL_US:.0f} us")
    if options.json:
        document = {
            "command": " ".join(["python", *sys.argv]),
            "machine": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            "aule": aule.__version__,
            "device": device,
            "burst": BURST,
            "bursts": BURSTS,
            "rows": rows,
            "submit_cpu_us": submit,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if worst < GOAL_US else 1


if __name__ == "__main__":
    sys.exit(main())
