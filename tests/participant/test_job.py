"""The clock of a run's stages."""

from __future__ import annotations

import time
from typing import NoReturn

import pytest

from bids_strip.errors import LoadError
from bids_strip.participant.job import Clock


def fail() -> NoReturn:
    raise LoadError("away")


def test_a_stage_that_is_done_again_counts_with_both_times() -> None:
    """The network is asked again where the head was cut short."""
    clock = Clock()
    for _ in range(3):
        clock("predict", time.sleep, 0.02)
    assert clock.seconds["predict"] >= 0.06


def test_a_stage_that_fails_when_it_is_done_again_is_the_last_one() -> None:
    clock = Clock()
    clock("conform", int)
    clock("predict", int)
    with pytest.raises(LoadError):
        clock("conform", fail)
    assert next(reversed(clock.seconds)) == "conform"
