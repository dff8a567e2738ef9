#!/usr/bin/env python
"""A GPU's kernels beside PyTorch's on the same card: resident tensors, one process, interleaved.

    python benchmarks/gpu.py                            # every group, about 4 minutes on an H100
    python benchmarks/gpu.py --only "decode" --json decode.json
    python benchmarks/gpu.py --quick                    # small shapes; without PyTorch's CUDA: aule alone

aule's side is `AttentionContext` (upload once, then repeated calls), PyTorch's side its SDPA back ends with tensors on
"cuda". Every row first compares the first and the last head with float64. Times are medians of samples of about 20 ms
of calls each, ratios are medians of the ratios of neighbouring samples. Exit code 1: a result is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import aule
from aule._arrays import ulp
from aule._bench import import_torch, interleave
from aule._verify import compare

#: Time of the calls between two synchronizations.
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Row:
    """A call. peers: PyTorch's back ends (names of SDPBackend). goal: the least ratio to the first peer, or TFLOPS."""

    group: str
    batch: int
    heads_q: int
    heads_kv: int
    seq_q: int
    seq_k: int
    dim: int
    dtype: str
    peers: tuple[str, ...]
    causal: bool = False
    backward: bool = False
    mask: str = ""  #: "", "bool" or "bias": (1, 1, seq_q, seq_k)
    softcap: float = 0.0
    window: int = 0  #: keys to the left, causal
    goal: str = ""

    @property
    def name(self) -> str:
        heads = str(self.heads_q) if self.heads_q == self.heads_kv else f"{self.heads_q}/{self.heads_kv}"
        length = str(self.seq_q) if self.seq_q == self.seq_k else f"{self.seq_q}x{self.seq_k}"
        rest = [
            "causal" if self.causal else "",
            f"{self.mask} mask" if self.mask else "",
            f"softcap {self.softcap:g}" if self.softcap else "",
            f"window {self.window}" if self.window else "",
        ]
        return " ".join([self.dtype, f"B={self.batch} H={heads} S={length} D={self.dim}", *(x for x in rest if x)])

    @property
    def flops(self) -> float:
        """Of the matrix products over the pairs that causal and window leave."""
        pairs = self.seq_q * self.seq_k
        if self.window:
            pairs = self.seq_q * (self.window + 1) - self.window * (self.window + 1) // 2
        elif self.causal:
            pairs = self.seq_q * (self.seq_q + 1) // 2
        return (2.5 if self.backward else 1.0) * 4 * self.batch * self.heads_q * pairs * self.dim

    @property
    def kv_bytes(self) -> int:
        size = 4 if self.dtype == "float32" else 2
        return 2 * self.batch * self.heads_kv * self.seq_k * self.dim * size


@dataclass
class Result:
    """Seconds of one call by name, ratios PyTorch / aule by peer, the largest error as a share of what is allowed."""

    row: Row
    seconds: dict[str, float]
    ratio: dict[str, float]
    error_used: float
    plan: str = ""
    notes: list[str] = field(default_factory=list)


def rows(quick: bool) -> Iterator[Row]:
    """The figures that issues 4 and 5 ask for. Tokens x heads x dim as FlashAttention's own benchmark has them."""
    efficient, flash = ("EFFICIENT_ATTENTION",), ("FLASH_ATTENTION", "CUDNN_ATTENTION")
    if quick:
        for dtype in ("float32", "float16", "bfloat16"):
            yield Row("quick", 1, 2, 1, 64, 64, 64, dtype, flash[:1] if dtype != "float32" else efficient)
        return
    for dim in (64, 128):
        for causal in (False, True):
            yield Row(
                "fp32 forward", 4, 2048 // dim, 2048 // dim, 4096, 4096, dim, "float32", efficient, causal, goal="1.0x"
            )
    for dtype in ("float16", "bfloat16"):
        for dim in (64, 128, 256):
            for seq in (1024, 4096, 16384) if dtype == "float16" and dim != 256 else (4096,):
                for causal in (False, True):
                    heads = 2048 // dim
                    yield Row(
                        "matrix forward", 16384 // seq, heads, heads, seq, seq, dim, dtype, flash, causal, goal="1.0x"
                    )
    for dim in (40, 80, 96, 112, 192):
        yield Row("padded heads", 4, 2048 // dim, 2048 // dim, 4096, 4096, dim, "float16", flash[:1], goal="0.95x")
    plain: dict[str, Any] = {"dtype": "float16", "dim": 128, "batch": 4, "seq_q": 4096, "seq_k": 4096}
    both = {"heads_q": 16, "heads_kv": 16}
    yield Row("features", peers=flash[:1], heads_q=16, heads_kv=4, goal="plain - 10 %", **plain)
    yield Row("features", peers=flash[:1], **both, **{**plain, "seq_k": 77}, goal="plain - 10 %")
    yield Row("features", peers=(), softcap=30.0, **both, **plain, goal="plain - 10 %")
    yield Row("features", peers=efficient, mask="bool", **both, **plain, goal="plain - 10 %")
    yield Row("features", peers=efficient, mask="bias", **both, **plain, goal="plain - 10 %")
    long = {"dtype": "float16", "dim": 128, "batch": 1, "seq_q": 16384, "seq_k": 16384}
    yield Row("features", peers=(), causal=True, window=1024, **both, **long, goal="plain - 10 %")
    for batch in (1, 16):
        for keys in (4096, 16384, 32768, 131072):
            if batch * keys <= 16 * 32768:
                yield Row("decode", batch, 32, 8, 1, keys, 128, "float16", flash, goal="1.0x")
    for dim in (64, 128):
        for causal in (False, True):
            heads = 2048 // dim
            yield Row(
                "fp32 backward", 4, heads, heads, 4096, 4096, dim, "float32", efficient, causal, True, goal="1.0x"
            )
            yield Row("fp16 backward", 4, heads, heads, 4096, 4096, dim, "float16", flash, causal, True, goal="1.0x")


class Resident:
    """The tensors of a row in a context, and the call."""

    def __init__(self, ctx: aule.AttentionContext, row: Row, host: dict[str, Any]) -> None:
        self.ctx, self.row = ctx, row
        self.tensors = {name: ctx.tensor(tuple(x.shape), str(x.dtype)).upload(x) for name, x in host.items()}
        t = self.tensors
        self.out = ctx.tensor(tuple(host["q"].shape), row.dtype)
        self.lse = ctx.tensor(tuple(host["q"].shape[:-1]), "float32")
        self.options: dict[str, Any] = {"causal": row.causal or None, "softcap": row.softcap, "mask": t.get("mask")}
        if row.window:
            self.options["window"] = (row.window, 0)
            self.options["causal"] = None
        if row.backward:
            self.gradients = {f"d{name}": ctx.tensor(t[name].shape, row.dtype) for name in ("q", "k", "v")}
        self.forward()

    def forward(self) -> None:
        t = self.tensors
        lse = self.lse if self.row.backward else None
        self.ctx.attention(t["q"], t["k"], t["v"], self.out, lse=lse, **self.options)

    def call(self) -> None:
        if not self.row.backward:
            return self.forward()
        t = self.tensors
        self.ctx.attention_backward(
            t["q"], t["k"], t["v"], self.out, self.lse, t["dout"], **self.gradients, **self.options
        )

    def result(self, name: str, like: Any, batch: int, heads: slice) -> Any:
        """Some heads of "out" or of the gradient of "q", "k" or "v", as a host tensor: no need to fetch all."""
        tensor = self.out if name == "out" else self.gradients[f"d{name}"]
        cut = tensor.narrow(0, batch, 1).narrow(1, heads.start, heads.stop - heads.start)
        return cut.download(like.new_empty(cut.shape))[0]

    def free(self) -> None:
        for tensor in (
            *self.tensors.values(),
            self.out,
            self.lse,
            *(self.gradients.values() if self.row.backward else ()),
        ):
            tensor.free()


def make_host(torch: Any, row: Row) -> dict[str, Any]:
    dtype = getattr(torch, row.dtype)
    generator = torch.Generator().manual_seed(len(row.name))
    shapes = {
        "q": (row.batch, row.heads_q, row.seq_q, row.dim),
        "k": (row.batch, row.heads_kv, row.seq_k, row.dim),
        "v": (row.batch, row.heads_kv, row.seq_k, row.dim),
    }
    if row.backward:
        shapes["dout"] = shapes["q"]
    host = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    pairs = (1, 1, row.seq_q, row.seq_k)
    if row.mask == "bool":
        host["mask"] = torch.rand(pairs, generator=generator) < 0.9
    elif row.mask == "bias":
        host["mask"] = torch.randn(pairs, generator=generator).to(dtype)
    return host


def visible(torch: Any, row: Row, device: Any) -> Any:
    """(seq_q, seq_k) bool of causal and window, or None."""
    if not row.causal and not row.window:
        return None
    query = torch.arange(row.seq_q, device=device)[:, None]
    key = torch.arange(row.seq_k, device=device)[None]
    seen = key <= query
    return seen & (key >= query - row.window) if row.window else seen


def one_head(torch: Any, row: Row, host: dict[str, Any], batch: int, head: int, dtype: Any, device: Any) -> list[Any]:
    """Plain attention of one K/V head and its query heads, and its gradients, in `dtype`."""
    group = row.heads_q // row.heads_kv
    cut = {
        name: x[batch, head * group : (head + 1) * group] if name in ("q", "dout") else x[batch, head : head + 1]
        for name, x in host.items()
        if name != "mask"
    }
    leaves = {name: x.to(device, dtype).requires_grad_(row.backward) for name, x in cut.items() if name != "dout"}
    scores = leaves["q"] @ leaves["k"].transpose(-1, -2) / math.sqrt(row.dim)
    if row.softcap:
        scores = row.softcap * torch.tanh(scores / row.softcap)
    seen = visible(torch, row, device)
    if row.mask == "bool":
        seen = host["mask"][0].to(device)
    elif row.mask == "bias":
        scores = scores + host["mask"][0].to(device, dtype)
    if seen is not None:
        scores = scores.masked_fill(~seen, -math.inf)
    out = torch.softmax(scores, -1) @ leaves["v"]
    if not row.backward:
        return [out.detach().double().cpu().numpy()]
    gradients = torch.autograd.grad(out, [leaves[x] for x in ("q", "k", "v")], cut["dout"].to(device, dtype))
    return [x.double().cpu().numpy() for x in gradients]


def check(torch: Any, row: Row, host: dict[str, Any], resident: Resident, device: Any) -> float:
    """The largest error as a share of what is allowed: twice that of plain attention in the same type, and rounding."""
    used, group = 0.0, row.heads_q // row.heads_kv
    for batch, head in {(0, 0), (row.batch - 1, row.heads_kv - 1)}:
        truth = one_head(torch, row, host, batch, head, torch.float64, device)
        plain = one_head(torch, row, host, batch, head, host["q"].dtype, device)
        names = ("q", "k", "v") if row.backward else ("out",)
        for name, expected, yard in zip(names, truth, plain, strict=True):
            heads = slice(head, head + 1) if name in ("k", "v") else slice(head * group, (head + 1) * group)
            largest = max(1.0, float(np.abs(expected).max()))
            rounding = 8 * 2.0**-23 * largest + (ulp(largest, row.dtype) if row.backward else 0.0)
            actual = resident.result(name, host["q"], batch, heads).double().numpy()
            found = compare(name, actual, expected, yard, row.dtype, rounding)
            if not found.ok:
                raise ArithmeticError(f"{row.name}: {found.where}")
            used = max(used, found.used)
    return used


def peer(torch: Any, row: Row, backend: str, device_tensors: dict[str, Any]) -> Callable[[], Any]:
    """PyTorch's call by one of its back ends. RuntimeError if it does not take it."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kind = getattr(SDPBackend, backend)
    q, k, v = (device_tensors[name].detach().requires_grad_(row.backward) for name in ("q", "k", "v"))
    options = {
        "is_causal": row.causal,
        "enable_gqa": row.heads_q != row.heads_kv,
        "attn_mask": device_tensors.get("mask"),
    }
    sdpa = torch.nn.functional.scaled_dot_product_attention
    if row.backward:
        with sdpa_kernel(kind):
            out = sdpa(q, k, v, **options)
        return lambda: torch.autograd.grad(out, (q, k, v), device_tensors["dout"], retain_graph=True)

    def call() -> Any:
        with sdpa_kernel(kind), torch.no_grad():
            return sdpa(q, k, v, **options)

    call()
    return call


def repeated(call: Callable[[], Any], synchronize: Callable[[], Any]) -> tuple[Callable[[], None], int]:
    """A function of as many calls as take SAMPLE_SECONDS, then a wait; and their number."""
    call()
    synchronize()
    started = time.perf_counter()
    call()
    synchronize()
    count = max(1, math.ceil(SAMPLE_SECONDS / max(time.perf_counter() - started, 1e-6)))

    def run() -> None:
        for _ in range(count):
            call()
        synchronize()

    return run, count


def measure(torch: Any, ctx: aule.AttentionContext, row: Row, seconds: float) -> Result:
    """Checks a row, then times it."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    host = make_host(torch, row)
    resident = Resident(ctx, row, host)
    try:
        resident.call()
        used = check(torch, row, host, resident, device)
        functions, counts, notes = {}, {}, []
        functions["aule"], counts["aule"] = repeated(resident.call, ctx.synchronize)
        device_tensors = {name: x.to(device) for name, x in host.items()} if cuda else {}
        for backend in row.peers if cuda else ():
            name = backend.split("_")[0].lower()
            try:
                call = peer(torch, row, backend, device_tensors)
            except RuntimeError as error:
                notes.append(f"{name}: {str(error).splitlines()[0][:100]}")
                continue
            functions[name], counts[name] = repeated(call, torch.cuda.synchronize)
        timing = interleave(functions, seconds, min_rounds=5, max_rounds=30)
    finally:
        resident.free()
    per_call = {name: timing.median(name) / counts[name] for name in functions}
    ratio = {name: timing.ratio(name, "aule") * counts["aule"] / counts[name] for name in functions if name != "aule"}
    return Result(row, per_call, ratio, used, notes=notes)


def line(result: Result) -> str:
    row = result.row
    decode = row.seq_q == 1
    parts = []
    for name, seconds in result.seconds.items():
        rate = f"{row.kv_bytes / seconds / 1e9:.0f} GB/s" if decode else f"{row.flops / seconds / 1e12:.1f} TFLOPS"
        parts.append(f"{name} {seconds * 1e3:.3f} ms {rate}")
    ratios = " ".join(f"{name} {value:.2f}" for name, value in result.ratio.items())
    notes = "; ".join(result.notes)
    return f"  {row.name:<44} {' | '.join(parts)}  ratio {ratios}  error {result.error_used:.2f} {notes}"


def environment(torch: Any, ctx: aule.AttentionContext) -> dict[str, Any]:
    return {
        "command": " ".join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": str(ctx.device),
        "aule": aule.__version__,
        "torch": torch.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three small rows: does everything work?")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="rows whose group or name contain TEXT (repeatable)"
    )
    parser.add_argument("--device", help="as AttentionContext takes it")
    parser.add_argument("--backend", help="as AttentionContext takes it")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each row (default %(default)s)")
    parser.add_argument("--limit", type=float, default=math.inf, help="stop after so many seconds (default: never)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and environment to FILE")
    arguments = parser.parse_args()
    torch = import_torch()
    if torch is None:
        print("benchmarks/gpu.py needs PyTorch: pip install torch", file=sys.stderr)
        return 2
    ctx = aule.AttentionContext(arguments.device, arguments.backend)
    report: dict[str, Any] = {"environment": environment(torch, ctx), "rows": [], "failed": []}
    print(f"{report['environment']['device']}; PyTorch {torch.__version__} on {report['environment']['cuda']}")
    wanted = [r for r in rows(arguments.quick) if all(x in f"{r.group} {r.name}" for x in arguments.only or ())]
    started, group = time.monotonic(), ""
    for row in wanted:
        if time.monotonic() - started > arguments.limit:
            print(f"stopped after {arguments.limit:g} s")
            break
        if row.group != group:
            group = row.group
            print(f"{group}" + (f" (goal {row.goal})" if row.goal else ""), flush=True)
        try:
            result = measure(torch, ctx, row, arguments.seconds)
        except (ArithmeticError, aule.Error) as error:
            print(f"  {row.name}: {error}", flush=True)
            report["failed"].append({"row": asdict(row), "error": str(error)})
            continue
        print(line(result), flush=True)
        report["rows"].append(asdict(result) | {"name": row.name})
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
        print(f"wrote {arguments.json}")
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
