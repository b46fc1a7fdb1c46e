"""Distances between fields against balls, shells and rods whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from training.fields import apart, missed

pytestmark = pytest.mark.training
I_MM, J_MM, K_MM = 2 * (np.indices((60, 60, 60)) - 29.3)
EVERYWHERE = np.ones((60, 60, 60), bool)


def ball(radius_mm: float) -> np.ndarray:
    return (np.sqrt(I_MM**2 + J_MM**2 + K_MM**2) - radius_mm).astype(np.float32)


def rod(radius_mm: float) -> np.ndarray:
    """From the centre to 55 mm along the first axis."""
    return np.maximum(np.hypot(J_MM, K_MM) - radius_mm, np.abs(I_MM - 27.5) - 27.5)


@pytest.mark.parametrize("step_mm", [-2.0, -0.3, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("slope", [1.0, 0.8])
def test_balls_are_as_far_apart_as_their_radii(step_mm: float, slope: float) -> None:
    """However steep the fields are."""
    found = apart(slope * ball(42 + step_mm), 0.9 * ball(42), EVERYWHERE, zoom_mm=2.0)
    assert found.signed_mm == pytest.approx(step_mm, abs=0.02)
    assert found.mean_mm == pytest.approx(abs(step_mm), abs=0.02)
    assert found.p95_mm == pytest.approx(abs(step_mm), abs=0.05)


def test_a_surface_far_from_the_true_one_counts() -> None:
    """A ball beside the brain: its surface, a sixth of ours, is some 20 mm from the true one."""
    beside = np.sqrt((I_MM - 40) ** 2 + J_MM**2 + K_MM**2) - 12
    found = apart(np.minimum(ball(24), beside), ball(24), EVERYWHERE, zoom_mm=2.0)
    share = 12**2 / (12**2 + 24**2)
    assert found.mean_mm == pytest.approx(0.5 * share * 18, rel=0.15)
    assert found.signed_mm == pytest.approx(found.mean_mm, rel=1e-3)
    assert found.p95_mm > 10


@pytest.mark.parametrize("radius_mm", [42, 50, 55])
@pytest.mark.parametrize("side", [1, -1])
def test_what_is_cut_off_counts_alike_on_either_side(
    radius_mm: float, side: int, monkeypatch
) -> None:
    """As by all points of the surfaces."""
    cut = np.maximum(ball(radius_mm), side * K_MM - radius_mm + 12).astype(np.float32)
    some = apart(cut, ball(radius_mm), EVERYWHERE, zoom_mm=2.0)
    monkeypatch.setattr("training.fields.POINTS", 10**9)
    every = apart(cut, ball(radius_mm), EVERYWHERE, zoom_mm=2.0)
    assert some.mean_mm == pytest.approx(every.mean_mm, rel=0.05)
    assert some.p95_mm == pytest.approx(every.p95_mm, rel=0.05)


def test_a_surface_is_measured_where_it_is_seen() -> None:
    wrong_below = np.where(K_MM < 0, ball(46), ball(42)).astype(np.float32)
    found = apart(wrong_below, ball(42), K_MM > 4, zoom_mm=2.0)
    assert found.mean_mm == pytest.approx(0, abs=0.05)


def test_without_a_surface_nothing_is_measured() -> None:
    assert np.isnan(apart(ball(42), ball(-1), EVERYWHERE, zoom_mm=2.0).mean_mm)


@pytest.mark.parametrize("thick_mm", [1.0, 3.0, 5.0])
def test_a_shell_is_as_deep_as_it_is_thick(thick_mm: float) -> None:
    found = missed(ball(42 - thick_mm), ball(42), EVERYWHERE, zoom_mm=2.0)
    assert found.share == pytest.approx(1 - (1 - thick_mm / 42) ** 3, rel=0.1)
    assert found.ml == pytest.approx(found.share * 4 / 3 * np.pi * 42**3 / 1000, rel=0.02)
    assert found.deep_mm == pytest.approx(thick_mm, abs=0.5)
    assert found.out_mm == pytest.approx(thick_mm, abs=0.5)


@pytest.mark.parametrize("radius_mm", [2.0, 3.0, 4.4])
def test_a_spur_is_far_from_the_mask_and_as_deep_as_half_its_thickness(radius_mm: float) -> None:
    labels = np.minimum(ball(42), rod(radius_mm)).astype(np.float32)
    found = missed(ball(42), labels, EVERYWHERE, zoom_mm=2.0)
    assert found.out_mm == pytest.approx(13.0, abs=1.0)
    assert found.deep_mm == pytest.approx(radius_mm, abs=0.8)


def test_a_layer_at_the_edge_of_the_field_is_not_deep() -> None:
    """The labels go on where nothing was seen."""
    seen = K_MM < 10
    found = missed(np.where(K_MM < 8, ball(42), 9).astype(np.float32), ball(42), seen, zoom_mm=2.0)
    assert 0 < found.deep_mm < 3


def test_what_is_not_missed_is_nothing() -> None:
    assert missed(ball(43), ball(42), EVERYWHERE, zoom_mm=2.0).ml == 0
    assert missed(ball(43), ball(-1), EVERYWHERE, zoom_mm=2.0).share == 0


def test_without_a_mask_all_is_missed() -> None:
    found = missed(ball(-1), ball(42), EVERYWHERE, zoom_mm=2.0)
    assert found.share == 1
    assert found.deep_mm == pytest.approx(42, abs=1.5)
    assert np.isinf(found.out_mm)
