"""Measuring: aule and PyTorch on the same tensors in one process, interleaved; shared by `aule bench` and benchmarks/.

Every row checks the numbers before it times them. Times are medians, a ratio is the median of the ratios of
neighbouring samples (so that a machine that slows down for a while slows both).
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from . import _core
from ._arrays import ulp
from ._verify import compare, run_case
from .cases import QKV, Case, Inputs, make_inputs

#: A sample lasts at least this long, so that the clock and the loop around a short call do not count.
SAMPLE_SECONDS = 2e-3


@dataclass(frozen=True)
class Row:
    """One line of a benchmark. group names what is judged together; backend "" leaves the choice to the library."""

    group: str
    case: Case
    threads: int
    backward: bool = False
    backend: str = ""


@dataclass
class Measurement:
    """What a row gave: times in seconds of one call, torch_* None without PyTorch, samples taken of each.

    error_used: the largest error as a share of what `_verify.compare` allows.
    """

    group: str
    name: str
    dtype: str
    q: tuple[int, ...]
    k: tuple[int, ...]
    v: tuple[int, ...]
    causal: str
    threads: int
    backward: bool
    samples: int
    aule_seconds: float
    aule_rate: float
    rate_unit: str
    torch_seconds: float | None = None
    torch_rate: float | None = None
    torch_kernel: str | None = None
    ratio: float | None = None
    error_used: float = 0.0


@dataclass(frozen=True)
class Timing:
    """Samples per function, seconds for one call, in the order they were taken."""

    samples: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])

    def ratio(self, slow: str, fast: str) -> float:
        pairs = zip(self.samples[slow], self.samples[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)


def interleave(
    functions: dict[str, Callable[[], Any]], seconds: float, min_rounds: int = 5, max_rounds: int = 200
) -> Timing:
    """Times the functions in turn, A B, B A, A B, ... for about `seconds`, after a warm-up of each."""
    counts: dict[str, int] = {}
    expected = 0.0
    for name, function in functions.items():
        function()
        started = time.perf_counter()
        function()
        single = max(time.perf_counter() - started, 1e-9)
        counts[name] = max(1, math.ceil(SAMPLE_SECONDS / single))
        expected += counts[name] * single
    rounds = min(max(min_rounds, int(seconds / expected)), max_rounds)
    samples: dict[str, list[float]] = {name: [] for name in functions}
    order = list(functions)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name in order:
                function, count = functions[name], counts[name]
                started = time.perf_counter()
                for _ in range(count):
                    function()
                samples[name].append((time.perf_counter() - started) / count)
            order.reverse()
    finally:
        if collecting:
            gc.enable()
    return Timing(samples)


def import_torch() -> Any:
    """The torch module, or None."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def measure(row: Row, seconds: float = 1.0, min_rounds: int = 5) -> Measurement:
    """Checks the numbers of a row, then times it."""
    torch = import_torch()
    before = _core.num_threads()
    _core.set_num_threads(row.threads)
    try:
        if torch is None:
            return _measure_numpy(row, seconds, min_rounds)
        return _measure_torch(torch, row, seconds, min_rounds)
    finally:
        _core.set_num_threads(before)


def _rate(row: Row, seconds: float) -> tuple[float, str]:
    """GFLOP/s, or for decode GB/s of K and V, which is what limits it."""
    case = row.case
    if case.q[-2] == 1:
        size = {"float64": 8, "float32": 4}.get(case.dtype, 2)
        moved = size * (math.prod(case.k) + math.prod(case.v))
        return moved / seconds / 1e9, "GB/s"
    return case.flops(row.backward) / seconds / 1e9, "GFLOP/s"


def _measurement(row: Row, timing: Timing, error_used: float) -> Measurement:
    case = row.case
    aule_seconds = timing.median("aule")
    rate, unit = _rate(row, aule_seconds)
    found = Measurement(
        row.group, case.name, case.dtype, case.q, case.k, case.v, case.causal, row.threads, row.backward,
        len(timing.samples["aule"]), aule_seconds, rate, unit, error_used=error_used,
    )  # fmt: skip
    if "torch" in timing.samples:
        found.torch_seconds = timing.median("torch")
        found.torch_rate = _rate(row, found.torch_seconds)[0]
        found.ratio = timing.ratio("torch", "aule")
    return found


def _measure_numpy(row: Row, seconds: float, min_rounds: int) -> Measurement:
    """Without PyTorch: the core alone, on NumPy memory; compared with nothing."""
    inputs = make_inputs(row.case if row.backward else _without_gradients(row.case))
    timing = interleave({"aule": lambda: run_case(inputs, row.backend, row.threads)}, seconds, min_rounds)
    return _measurement(row, timing, 0.0)


def _without_gradients(case: Case) -> Case:
    return replace(case, gradients=())


def _measure_torch(torch: Any, row: Row, seconds: float, min_rounds: int) -> Measurement:
    threads_before = torch.get_num_threads()
    torch.set_num_threads(row.threads)
    try:
        functions, tensors = _torch_functions(torch, row)
        kernel = _torch_kernel(torch, row, tensors)
        error_used = _check_numbers(torch, row, functions["aule"](), tensors)
        timing = interleave(functions, seconds, min_rounds)
    finally:
        torch.set_num_threads(threads_before)
    found = _measurement(row, timing, error_used)
    found.torch_kernel = kernel
    return found


@lru_cache(maxsize=1)
def _torch_tensors(case: Case) -> dict[str, Any]:
    from . import _arrays

    torch = import_torch()
    inputs: Inputs = make_inputs(case)

    def convert(data: np.ndarray) -> Any:
        return (
            torch.from_numpy(data.view(np.int16)).view(torch.bfloat16)
            if case.dtype == "bfloat16"
            else torch.from_numpy(data)
        )

    tensors = {name: convert(getattr(inputs, name).data) for name in QKV}
    tensors["dout"] = convert(_arrays.encode(inputs.dout, case.dtype))
    return tensors


def _torch_functions(torch: Any, row: Row) -> tuple[dict[str, Callable[[], Any]], dict[str, Any]]:
    """The two calls as a user writes them; backward through autograd."""
    from . import flash_attention

    case = row.case
    tensors = {name: tensor.detach() for name, tensor in _torch_tensors(case).items()}
    inputs = tuple(tensors[name].requires_grad_(row.backward) for name in QKV)
    dout = tensors["dout"]
    options: dict[str, Any] = {"is_causal": case.causal == "top-left", "enable_gqa": case.heads_q != case.heads_kv}
    torch_attention = torch.nn.functional.scaled_dot_product_attention

    def forward(attention: Callable[..., Any]) -> Callable[[], Any]:
        def call() -> Any:
            with torch.no_grad():
                return (attention(*inputs, **options),)

        return call

    def forward_backward(attention: Callable[..., Any]) -> Callable[[], Any]:
        def call() -> Any:
            out = attention(*inputs, **options)
            return (out.detach(), *torch.autograd.grad(out, inputs, dout))

        return call

    wrap = forward_backward if row.backward else forward
    ours = partial(flash_attention, backend=row.backend) if row.backend else flash_attention
    return {"aule": wrap(ours), "torch": wrap(torch_attention)}, tensors


def _torch_kernel(torch: Any, row: Row, tensors: dict[str, Any]) -> str:
    """Which of its back ends PyTorch takes for this call."""
    from torch.nn.attention import SDPBackend

    case = row.case
    choice = torch._fused_sdp_choice(
        *(tensors[name] for name in QKV), is_causal=case.causal == "top-left", enable_gqa=case.heads_q != case.heads_kv
    )
    return str({int(b.value): b.name for b in SDPBackend.__members__.values()}.get(int(choice), choice)).lower()


def _check_numbers(torch: Any, row: Row, results: tuple[Any, ...], tensors: dict[str, Any]) -> float:
    """Compares the first and the last K/V head with float64. The largest error as a share of what is allowed.

    Raises:
        ArithmeticError: it is larger than that.
    """
    used = 0.0
    for batch, head in {(0, 0), (row.case.q[0] - 1, row.case.heads_kv - 1)}:
        truth, plain = _one_head(torch, row.case, row.backward, batch, head)
        group = row.case.heads_q // row.case.heads_kv
        for name, actual, expected, yard in zip(("out", *QKV), results, truth, plain, strict=False):
            heads = slice(head * group, (head + 1) * group) if name in ("out", "q") else slice(head, head + 1)
            values = actual[batch : batch + 1, heads].detach().double().numpy()
            # Results are sums of values of size 1, the inputs', that cancel: rounding is relative to those.
            largest = max(1.0, float(np.abs(expected).max()))
            rounding = 8 * 2.0**-23 * largest
            if name != "out":  # gradients rest on an out that was rounded to the type of the call
                rounding += ulp(largest, row.case.dtype)
            comparison = compare(name, values, expected, yard, row.case.dtype, rounding)
            if not comparison.ok:
                raise ArithmeticError(f"{row.case}, {row.threads} threads: {comparison.where}")
            used = max(used, comparison.used)
    return used


@lru_cache(maxsize=2)
def _one_head(
    torch: Any, case: Case, backward: bool, batch: int, head: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """PyTorch's math path for the query heads of one K/V head: in float64, and in the case's own type."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    tensors = _torch_tensors(case)
    group = case.heads_q // case.heads_kv
    of_q, of_kv = slice(head * group, (head + 1) * group), slice(head, head + 1)
    cut = {
        name: tensors[name].detach()[batch : batch + 1, of_q if name in ("q", "dout") else of_kv]
        for name in (*QKV, "dout")
    }
    found = []
    for dtype in (torch.float64, cut["q"].dtype):
        leaves = [cut[name].to(dtype).clone().requires_grad_(backward) for name in QKV]
        with sdpa_kernel(SDPBackend.MATH):
            out = torch.nn.functional.scaled_dot_product_attention(
                *leaves, is_causal=case.causal == "top-left", enable_gqa=group > 1
            )
        results = [out, *(torch.autograd.grad(out, leaves, cut["dout"].to(dtype)) if backward else ())]
        found.append([result.detach().double().numpy() for result in results])
    return found[0], found[1]
