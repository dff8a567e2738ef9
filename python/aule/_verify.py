"""Runs cases on a back end and judges the results: what `aule verify` and tests/test_cases.py have in common.

A result may be wrong by twice the error of the plain computation in the same element type (whole score matrices in
float32, float64 for float64; the result rounded once), plus one unit in the last place of the largest value, plus the
rounding inside a kernel that `_rounding` explains.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np

from . import _core
from ._arrays import LAYOUTS, Array, Layout, decode, encode, place, ulp
from ._oracle import Result, attention
from .cases import QKV, Case, Inputs, make_inputs

CAUSAL_CODES = {"none": 0, "top-left": 1, "bottom-right": 2}
REFERENCE = "reference"


@dataclass(frozen=True)
class Outputs:
    """What a back end wrote: out and lse, then gradients by the name of their input."""

    arrays: dict[str, Array]

    def values(self) -> dict[str, np.ndarray]:
        return {name: array.values() for name, array in self.arrays.items()}

    def bits(self) -> dict[str, bytes]:
        return {name: np.ascontiguousarray(array.data).tobytes() for name, array in self.arrays.items()}


def result_dtypes(dtype: str) -> dict[str, str]:
    """The element type of each result of a call on `dtype` tensors."""
    wide = "float64" if dtype == "float64" else "float32"
    return {"out": dtype, "lse": wide, "q": dtype, "k": dtype, "v": dtype, "mask": wide, "sinks": "float32"}


def _optional(array: Array | None) -> Any:
    return None if array is None else array.core()


def _writable(layout: Layout) -> Layout:
    return replace(layout, expand=())


def run_case(inputs: Inputs, backend: str = "", num_threads: int = 0) -> Outputs:
    """Forward, and backward if the case wants gradients. Results lie in their input's layout, to check the gaps."""
    case, dtypes = inputs.case, result_dtypes(inputs.case.dtype)
    layouts = dict(zip(QKV, case.layouts(), strict=True))
    out_shape = (*inputs.leading, case.q[-2], case.v[-1])
    out = place(out_shape, case.dtype, _writable(layouts["q"]))
    lse = place(out_shape[:-1], dtypes["lse"], LAYOUTS["contiguous"])
    shared = (_optional(inputs.mask), _optional(inputs.alibi_slopes), _optional(inputs.sinks))
    options = (
        CAUSAL_CODES[case.causal], *case.window, case.scale, case.softcap, case.dropout_p, case.dropout_seed,
        backend, num_threads,
    )  # fmt: skip
    _core.attention_forward(
        inputs.q.core(), inputs.k.core(), inputs.v.core(), out.core(), lse.core(), *shared, *options
    )
    arrays = {"out": out, "lse": lse}
    wanted = [name for name in case.gradients if name != "lse"]
    if not wanted:
        return Outputs(arrays)

    tensors = {name: _expanded(getattr(inputs, name), case.batch) for name in QKV}
    gradients: dict[str, Array] = {}
    for name in wanted:
        source = tensors.get(name) or (inputs.mask if name == "mask" else inputs.sinks)
        assert source is not None, f"{case.name} wants the gradient of {name}, which it does not have"
        layout = _writable(layouts.get(name, LAYOUTS["contiguous"]))
        gradients[name] = place(source.shape, dtypes[name], layout)
    dout = place(out_shape, case.dtype, LAYOUTS["contiguous"], inputs.dout)
    dlse = None if inputs.dlse is None else place(out_shape[:-1], dtypes["lse"], LAYOUTS["contiguous"], inputs.dlse)
    _core.attention_backward(
        *(tensors[name].core() for name in QKV), out.core(), lse.core(), dout.core(), _optional(dlse),
        *(_optional(gradients.get(name)) for name in (*QKV, "mask", "sinks")), *shared, *options,
    )  # fmt: skip
    return Outputs(arrays | gradients)


def _expanded(array: Array, batch: tuple[int, ...]) -> Array:
    """Equal leading sizes, as backward wants them (autograd of expand sums the gradients up again)."""
    return array.view(np.broadcast_to(array.data, (*batch, *array.shape[-3:])))


def oracle(inputs: Inputs, compute: Any) -> Result:
    """The NumPy formulas at the given precision."""
    wants_gradients = any(name != "lse" for name in inputs.case.gradients)
    dout = inputs.dout if wants_gradients else None
    return attention(inputs.q.values(), inputs.k.values(), inputs.v.values(), inputs.rules, dout, inputs.dlse, compute)


def truth_values(inputs: Inputs, few_numbers: bool = False) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The oracle's results, wider than the case's type, and what `_rounding` allows for each."""
    result = oracle(inputs, np.longdouble if inputs.case.dtype == "float64" else np.float64)
    values = {"out": result.out, "lse": result.lse, **result.gradients}
    return values, _rounding(inputs, result, few_numbers)


def _rounding(inputs: Inputs, result: Result, few_numbers: bool) -> dict[str, float]:
    """Absolute errors that come from the accumulator's type, for each result.

    A score's absolute rounding is the relative error of its probability; backward knows probabilities by the stored
    lse, so by lse's rounding; gradients of half types rest on an out that was rounded; and where terms cancel (one
    visible key: dQ is exactly 0) rounding is relative to the terms. PyTorch's flash path needs these allowances too:
    on mask-B11S-float32-float32 its largest error is 2.4 times that of the math path.
    few_numbers: a wider share. The error of a plain computation is a yardstick if it is the largest of many; of a
    single number it may happen to be 0.
    """
    unit = 2.0**-52 if inputs.case.dtype == "float64" else 2.0**-23
    largest_lse = float(np.abs(result.lse[np.abs(result.lse) < 6e4]).max(initial=0.0))
    score = max(result.largest_score, largest_lse)
    share = 4 + result.score_terms if few_numbers else 2 + score
    allowed = {name: unit * share * size for name, size in result.magnitudes.items()}
    if not few_numbers:
        allowed["out"] /= 2
    allowed["lse"] = unit * (share + largest_lse)
    for name, spread in result.spreads.items():
        allowed[name] = max(allowed[name], ulp(1.0, inputs.case.dtype) * spread)
    return allowed


def plain_values(inputs: Inputs) -> dict[str, np.ndarray]:
    """What whole score matrices in float32 (float64 for float64) give, rounded to the types of the results."""
    result = oracle(inputs, np.float64 if inputs.case.dtype == "float64" else np.float32)
    dtypes = result_dtypes(inputs.case.dtype)
    values = {"out": result.out, "lse": result.lse, **result.gradients}
    return {name: decode(encode(value, dtypes[name]), dtypes[name]) for name, value in values.items()}


@dataclass(frozen=True)
class Comparison:
    """One result against the truth. `used` is the error as a share of what is allowed; above 1 is wrong."""

    name: str
    error: float
    allowed: float
    where: str

    @property
    def used(self) -> float:
        if self.error == 0:
            return 0.0
        return self.error / self.allowed if self.allowed > 0 else float("inf")

    @property
    def ok(self) -> bool:
        return self.error <= self.allowed


def _difference(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """|actual - expected|; 0 where both are NaN or the same infinity, infinity where only one is."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(actual - expected)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    difference = np.where(same, 0, difference)
    return np.where(np.isnan(difference), np.inf, difference)


def compare(
    name: str, actual: np.ndarray, truth: np.ndarray, plain: np.ndarray, dtype: str, rounding: float = 0.0
) -> Comparison:
    """Judges `actual`, of element type `dtype`, by the rule at the top of this file; `rounding` is added to it."""
    if actual.shape != truth.shape:
        return Comparison(name, float("inf"), 0.0, f"{name} has shape {actual.shape}, expected {truth.shape}")
    if actual.size == 0:
        return Comparison(name, 0.0, 0.0, "")
    error = _difference(actual, truth)
    plain_error = _difference(plain, truth)
    finite = np.isfinite(truth)
    largest = float(np.abs(truth[finite]).max(initial=0.0))
    floor = rounding if np.isfinite(rounding) else 0.0
    allowed = 2 * float(plain_error[np.isfinite(plain_error)].max(initial=0.0)) + ulp(largest, dtype) + floor
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    index = ", ".join(str(int(i)) for i in worst)
    message = (
        f"{name}[{index}] is {float(actual[worst]):.9g}, expected {float(truth[worst]):.9g}: "
        f"error {float(error[worst]):.3g}, allowed {allowed:.3g}"
    )
    return Comparison(name, float(error[worst]), allowed, message)


def judge(
    case: Case,
    actual: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    plain: Mapping[str, np.ndarray],
    rounding: Mapping[str, float],
) -> list[Comparison]:
    """Compares every result in `actual`. lse counts only where out is a number: a NaN row has no lse to agree on."""
    # Gradients of mask and sinks are float32, but rest on an out that was rounded to the type of the call.
    dtypes = result_dtypes(case.dtype) | {
        "mask": case.dtype,
        "sinks": "float32" if case.dtype == "float64" else case.dtype,
    }
    found = []
    for name, values in actual.items():
        expected, yard = truth[name], plain[name]
        if name == "lse" and values.shape == expected.shape:
            numbers = ~np.isnan(truth["out"]).any(axis=-1)
            values, expected, yard = values[numbers], expected[numbers], yard[numbers]
        found.append(compare(name, values, expected, yard, dtypes[name], rounding.get(name, 0.0)))
    return found


def _as_float64(inputs: Inputs) -> Inputs:
    """The same values as float64 tensors: what the reference makes of them has no rounding of the case's own type."""

    def widen(array: Array | None) -> Array | None:
        if array is None or array.dtype == "bool":
            return array
        return place(array.shape, "float64", LAYOUTS["contiguous"], array.values())

    q, k, v = (widen(array) for array in (inputs.q, inputs.k, inputs.v))
    assert q is not None and k is not None and v is not None
    # alibi slopes and sinks stay float32, the only type they have.
    case = replace(inputs.case, dtype="float64", layout=LAYOUTS["contiguous"], mask_layout=LAYOUTS["contiguous"])
    return replace(inputs, q=q, k=k, v=v, mask=widen(inputs.mask), case=case)


@dataclass(frozen=True)
class Verdict:
    """What became of a case on a back end: status is ok, wrong, error or rejected."""

    case: Case
    backend: str
    status: str
    detail: str = ""
    used: float = 0.0


def verify_case(case: Case, backends: Iterable[str]) -> list[Verdict]:
    """Checks each back end against the reference back end run in float64, and the reference itself against NumPy."""
    inputs = make_inputs(case)
    rounding = truth_values(inputs)[1]
    plain = plain_values(inputs)
    by_reference = run_case(_as_float64(inputs), REFERENCE).values()
    verdicts = []
    for backend in backends:
        truth = truth_values(inputs)[0] if backend == REFERENCE else by_reference
        verdicts.append(_verdict(case, backend, inputs, truth, plain, rounding))
    return verdicts


def _verdict(case: Case, backend: str, inputs: Inputs, truth: Any, plain: Any, rounding: Any) -> Verdict:
    try:
        outputs = run_case(inputs, backend)
    except NotImplementedError as error:
        return Verdict(case, backend, "rejected", str(error))
    except Exception as error:
        return Verdict(case, backend, "error", f"{type(error).__name__}: {error}")
    comparisons = judge(case, outputs.values(), truth, plain, rounding)
    wrong = [comparison for comparison in comparisons if not comparison.ok]
    used = max(comparison.used for comparison in comparisons)
    if wrong:
        return Verdict(case, backend, "wrong", "; ".join(comparison.where for comparison in wrong), used)
    outside = [name for name, array in outputs.arrays.items() if not array.gaps_are_untouched()]
    if outside:
        return Verdict(case, backend, "wrong", f"wrote between the elements of {', '.join(outside)}", used)
    return Verdict(case, backend, "ok", "", used)


def available_backends() -> list[str]:
    """Names of the back ends of this build and machine, the preferred one first; "reference" is always among them."""
    names = list(dict.fromkeys(name for name, _, _ in _core.devices()))
    return names if REFERENCE in names else [*names, REFERENCE]


def verify(backends: list[str], cases: list[Case], stream: TextIO = sys.stdout) -> bool:
    """Runs cases, shows progress, prints a line for every axis and every failure. True if nothing is wrong."""
    live = stream.isatty()
    verdicts: list[Verdict] = []
    started = time.monotonic()
    print(f"{len(cases)} cases on {', '.join(backends)}, against the float64 reference", file=stream)
    print(f"{'axis':<16}{'back end':<12}{'ok':>6}{'wrong':>7}{'rejected':>10}{'worst':>8}{'seconds':>9}", file=stream)
    for axis in dict.fromkeys(case.axis for case in cases):
        group = [case for case in cases if case.axis == axis]
        axis_started = time.monotonic()
        found: list[Verdict] = []
        for index, case in enumerate(group):
            if live:
                print(f"\r{axis}: {index + 1} of {len(group)} {case.name:<40.40}", end="", file=stream, flush=True)
            found += verify_case(case, backends)
        if live:
            print("\r" + " " * 78 + "\r", end="", file=stream)
        for backend in backends:
            _print_axis(axis, backend, found, time.monotonic() - axis_started, stream)
        verdicts += found
    bad = [verdict for verdict in verdicts if verdict.status in ("wrong", "error")]
    for verdict in bad[:20]:
        print(f"\n{verdict.status}: {verdict.backend}: {verdict.case}\n  {verdict.detail}", file=stream)
    if len(bad) > 20:
        print(f"\n... and {len(bad) - 20} more", file=stream)
    for backend, reason in sorted({(v.backend, v.detail) for v in verdicts if v.status == "rejected"}):
        print(f"rejected by {backend}: {reason}", file=stream)
    ok = sum(verdict.status == "ok" for verdict in verdicts)
    print(
        f"{ok} of {len(verdicts)} results are right, {len(bad)} wrong, {time.monotonic() - started:.1f} s", file=stream
    )
    print(
        "worst: the largest error as a share of what is allowed (2x a plain float32 computation + 1 ulp)", file=stream
    )
    return not bad


def _print_axis(axis: str, backend: str, found: list[Verdict], seconds: float, stream: TextIO) -> None:
    mine = [verdict for verdict in found if verdict.backend == backend]
    count = {
        status: sum(verdict.status == status for verdict in mine) for status in ("ok", "wrong", "error", "rejected")
    }
    worst = max((verdict.used for verdict in mine), default=0.0)
    print(
        f"{axis:<16}{backend:<12}{count['ok']:>6}{count['wrong'] + count['error']:>7}{count['rejected']:>10}"
        f"{worst:>8.2f}{seconds:>9.1f}",
        file=stream,
        flush=True,
    )
