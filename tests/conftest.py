"""Hypothesis profiles: `ci` is fixed and quick, `pytest --hypothesis-profile=deep tests/test_properties.py` is not."""

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", derandomize=True, max_examples=100, deadline=None, database=None, suppress_health_check=_SLOW
)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile("ci")
