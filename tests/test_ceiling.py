"""The ceiling on memory: the kernel's refusal comes as an exception, and nothing stays set."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

from bids_strip.machine.ceiling import ceiling

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone")


def limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_DATA)


def test_more_is_refused_and_less_is_not() -> None:
    with ceiling(0.3):
        assert np.ones(10_000_000, np.float64).sum() == 10_000_000  # 80 MB
        with pytest.raises(MemoryError):
            np.empty(100_000_000, np.float64)  # 800 MB
    assert np.empty(100_000_000, np.float64).size


@pytest.mark.parametrize("error", [None, ValueError("x")])
def test_what_was_set_before_stays(error: Exception | None) -> None:
    before = limits()
    try:
        with ceiling(1.0):
            assert limits() != before
            if error:
                raise error
    except ValueError:
        pass
    assert limits() == before


def test_none_sets_nothing() -> None:
    before = limits()
    with ceiling(None):
        assert limits() == before


def test_a_stricter_limit_stays() -> None:
    """One that the user's shell set."""
    before = limits()
    strict = 40_000_000_000
    resource.setrlimit(resource.RLIMIT_DATA, (strict, before[1]))
    try:
        with ceiling(1000.0):
            assert limits()[0] == strict
        assert limits()[0] == strict
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
