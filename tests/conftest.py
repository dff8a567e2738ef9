"""Hypothesis profiles: `ci` is fixed and quick, `pytest --hypothesis-profile=deep tests/test_properties.py` is not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", derandomize=True, max_examples=100, deadline=None, database=None, suppress_health_check=_SLOW
)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile("ci")


@pytest.fixture(params=["function", "hook"])
def attend(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """The two ways into the library that share PyTorch's contract: aule.flash_attention, and PyTorch's own function."""
    from sdpa_tools import entry

    with entry(request.param) as function:
        yield function


@pytest.fixture
def installed() -> Iterator[None]:
    """The hook for the time of a test. Whatever the test does or fails to do, nothing is installed afterwards."""
    import aule

    aule.install()
    yield
    while aule.installed():
        aule.uninstall()
