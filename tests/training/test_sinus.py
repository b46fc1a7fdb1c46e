"""The gap in a vein's label, closed form: a straight tube in a block of cerebellum."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.maps import GROUP_INDEX, TrainingMap  # noqa: E402
from training.sinus import GAP_MM, called_cerebellum  # noqa: E402

pytestmark = pytest.mark.training
CEREBELLUM, VEIN = GROUP_INDEX["cerebellar_cortex"], GROUP_INDEX["vein"]


def tube(gap_mm: int, around: int = CEREBELLUM) -> TrainingMap:
    """A vein of 10 mm along the last axis with a gap in its middle."""
    groups = np.full((40, 40, 60), around, np.uint8)
    i, j = np.indices((40, 40)) - 19.5
    lumen = i**2 + j**2 < 25
    groups[lumen] = VEIN
    half = gap_mm // 2
    groups[..., 30 - half : 30 + half] = around
    return TrainingMap("tube", groups, np.zeros((2, 20, 20, 30), np.int8))


def test_a_gap_is_bridged_within_the_tube() -> None:
    source = tube(10)
    found = called_cerebellum(source)
    assert found[20, 20, 25:35].all()
    assert not found[..., :25].any()
    i, j = np.nonzero(found.any(axis=2))
    assert np.hypot(i - 19.5, j - 19.5).max() < 5


def test_a_gap_too_long_is_none() -> None:
    """No ball of half the gap's limit touches both ends on the axis."""
    assert not called_cerebellum(tube(GAP_MM + 6))[20, 20, 29:31].any()


@pytest.mark.parametrize("around", ["cortex", "bone"])
def test_nothing_but_cerebellum_counts(around: str) -> None:
    assert not called_cerebellum(tube(10, GROUP_INDEX[around])).any()


def test_no_vein_no_gap() -> None:
    groups = np.full((20, 20, 20), CEREBELLUM, np.uint8)
    assert not called_cerebellum(TrainingMap("m", groups, np.zeros((2, 10, 10, 10)))).any()
