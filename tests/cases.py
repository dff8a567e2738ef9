"""The case table of the tests. It lives in the package: `aule verify` needs it in an installed wheel."""

from aule.cases import FLOAT_DTYPES, QKV, Case, Inputs, bench_case, conformance_cases, make_inputs

__all__ = ["FLOAT_DTYPES", "QKV", "Case", "Inputs", "bench_case", "conformance_cases", "make_inputs"]
