"""The split of an error by its scale, on a sphere whose error is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.finer import BAND_MM, SCALES_MM, parts

pytestmark = pytest.mark.training
ZOOM_MM = 2.0


def sphere(radius_mm: float = 40.0) -> np.ndarray:
    """Distance to a sphere in the middle, mm."""
    axes = np.meshgrid(*[(np.arange(56) - 27.5) * ZOOM_MM] * 3, indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes)) - radius_mm


@pytest.mark.parametrize("scale_mm", SCALES_MM)
def test_an_error_of_place_is_smooth_and_noise_is_not(scale_mm: float) -> None:
    truth = sphere()
    band = np.abs(truth) <= BAND_MM
    seen = np.ones(truth.shape, bool)
    noise = np.where(np.indices(truth.shape).sum(axis=0) % 2, 0.8, -0.8)
    offset = parts(truth + 0.8, truth, seen, ZOOM_MM)
    rough = parts(truth + noise, truth, seen, ZOOM_MM)
    smooth, rest = f"smooth, {scale_mm:g} mm", f"rest, {scale_mm:g} mm"
    assert np.allclose(offset["predicted"], np.clip(truth + 0.8, -20, 20))
    assert np.allclose((offset[smooth] - truth)[band], 0.8, atol=1e-3)
    assert np.allclose((offset[rest] - truth)[band], 0.0, atol=1e-3)
    assert np.abs((rough[smooth] - truth)[band]).mean() < 0.15
    assert np.abs((rough[rest] - truth - noise)[band]).mean() < 0.15


def test_what_lies_outside_the_field_has_no_say() -> None:
    truth = sphere()
    seen = np.ones(truth.shape, bool)
    seen[:28] = False
    found = np.where(seen, truth, truth + 50)
    split = parts(found, truth, seen, ZOOM_MM)
    band = (np.abs(truth) <= BAND_MM) & seen
    assert np.allclose(split["smooth, 6 mm"][band], truth[band], atol=1e-3)
