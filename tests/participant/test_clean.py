"""One surface out of whatever the network says."""

from __future__ import annotations

import numpy as np
import pytest

from bids_strip.domain import Prediction
from bids_strip.errors import DeriveError
from bids_strip.participant.clean import clean

ZOOMS = (2.0, 2.0, 2.0)
SHAPE = (48, 44, 46)


def sphere(radius: float, at: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    axes = [(np.arange(n) - n / 2) * 2.0 - c for n, c in zip(SHAPE, at, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return (np.sqrt(x**2 + y**2 + z**2) - radius).astype(np.float32)


def prediction(level: np.ndarray) -> Prediction:
    return Prediction(level.astype(np.float32))


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7])
def test_distances_are_true_whatever_the_networks_slope(scale: float) -> None:
    true = sphere(28.0)
    surface = clean(prediction(true * scale), ZOOMS)
    near = np.abs(true) < 15
    assert np.abs(surface.mm - true)[near].mean() < 0.1
    assert np.array_equal(surface.mm <= 0, true <= 0)
    assert surface.slope == pytest.approx(scale, rel=0.05)
    assert surface.deviation == pytest.approx(abs(scale - 1), abs=0.05)
    assert (surface.components_removed, surface.component_ml_removed) == (0, 0)
    assert surface.holes_filled_ml == 0


def test_pieces_are_removed_and_counted() -> None:
    true = sphere(27.0, (-12, 0, 0))
    piece = sphere(5.0, (34, 0, 0))
    speck = sphere(3.0, (34, 30, 30))
    surface = clean(prediction(np.minimum(np.minimum(true, piece), speck)), ZOOMS)
    assert np.array_equal(surface.mm <= 0, true <= 0)
    assert surface.components_removed == 2
    ml = (np.count_nonzero(piece <= 0) + np.count_nonzero(speck <= 0)) * 0.008
    assert surface.component_ml_removed == pytest.approx(ml)
    there = piece <= 0
    assert np.abs(surface.mm - true)[there].max() < 0.5  # no ghost of the piece


def test_holes_are_filled_and_leave_no_surface() -> None:
    true = sphere(28.0)
    hole = sphere(6.0, (4, 2, -3))
    surface = clean(prediction(np.maximum(true, -hole)), ZOOMS)
    assert np.array_equal(surface.mm <= 0, true <= 0)
    assert surface.holes_filled_ml == pytest.approx(np.count_nonzero(hole < 0) * 0.008, rel=0.02)
    assert surface.mm[hole < 0].max() < -12  # true depth, not the distance to the hole


@pytest.mark.parametrize("radius", [-5.0, 3.0, 20.0])
def test_less_than_a_brain_is_no_brain(radius: float) -> None:
    with pytest.raises(DeriveError, match="no brain found") as caught:
        clean(prediction(sphere(radius)), ZOOMS)
    assert "\n" not in str(caught.value)


def test_a_prediction_that_is_all_inside_is_no_surface() -> None:
    surface = clean(prediction(np.full(SHAPE, -3.0)), ZOOMS)
    assert (surface.mm < 0).all()
