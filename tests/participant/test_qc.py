"""Metrics against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_strip.domain import BrainMask, Grid, NetworkTissues, Surface, Volume
from bids_strip.geometry import off_threshold, quantised, within
from bids_strip.metrics import FACES, METRICS
from bids_strip.participant.conform import conform
from bids_strip.participant.match import match
from bids_strip.participant.qc import measure
from bids_strip.participant.qc.image import bias
from bids_strip.participant.qc.mask import fov_contact_cm2, volume_change_per_mm, volume_ml
from bids_strip.participant.qc.tissues import tissue_volumes_ml, wm_cov
from tests.fakes import (
    CARD,
    DIRECTIONS,
    RADIUS_MM,
    conformed_world,
    grid_affine,
    make_phantom,
    normalised_of,
    products_of,
    segmented_of,
    sphere_sdt,
    world_of,
)

SURFACE = Surface(np.zeros((2, 2, 2), np.float32), 3, 1.25, 0.5, 0.97, 0.05)


def brain_of(sdt: np.ndarray, border: float = 0.0) -> BrainMask:
    steps = off_threshold(quantised(sdt), border)
    return BrainMask(within(steps, border), steps, border, False, 1.0)


@pytest.mark.parametrize("name", ["RAS", "PSR", "oblique", "anisotropic"])
def test_volume_of_a_ball(name: str) -> None:
    head = make_phantom(name)
    grid = Grid(head.data.shape, head.affine)
    expected = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    assert volume_ml(head.truth, grid) == pytest.approx(expected, rel=0.01)


def test_volume_of_a_box_is_exact() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[2:5, 3:7, 1:9] = True
    grid = Grid(mask.shape, grid_affine("oblique", mask.shape, (1.0, 2.0, 5.0)))
    assert volume_ml(mask, grid) == pytest.approx(3 * 4 * 8 * 10 / 1000)
    assert grid.zooms == pytest.approx((1, 2, 5))


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("face", FACES)
def test_contact_is_at_the_face_it_touches(directions: str, face: str) -> None:
    """A slab laid against one face of the world's box, whichever voxel axis that is."""
    shape, zooms = (12, 14, 10), (2.0, 3.0, 4.0)
    linear = DIRECTIONS[directions]
    world_axis = "RAS".find(face) if face in "RAS" else "LPI".find(face)
    axis = int(np.argmax(np.abs(linear[world_axis])))
    positive = linear[world_axis, axis] > 0
    at_end = positive == (face in "RAS")
    mask = np.zeros(shape, bool)
    slab = [slice(3, 8)] * 3
    slab[axis] = slice(-1, None) if at_end else slice(0, 1)
    mask[tuple(slab)] = True
    found = fov_contact_cm2(mask, Grid(shape, grid_affine(directions, shape, zooms)))
    other = [z for a, z in enumerate(zooms) if a != axis]
    key = f"fov_contact_{FACES[face]}_cm2"
    assert found.pop(key) == pytest.approx(25 * other[0] * other[1] / 100)
    assert set(found) == {f"fov_contact_{FACES[f]}_cm2" for f in FACES if f != face}
    assert not any(found.values())


def test_a_brain_in_the_middle_touches_nothing() -> None:
    head = make_phantom("PSR")
    assert not any(fov_contact_cm2(head.truth, Grid(head.data.shape, head.affine)).values())


@pytest.mark.parametrize("border", [0.0, 2.0, -2.0])
def test_change_of_a_balls_volume(border: float) -> None:
    """A shell of 1 mm over the ball: ((r + 1/2)^3 - (r - 1/2)^3) / r^3."""
    head = make_phantom("anisotropic")
    radius = RADIUS_MM + border
    expected = ((radius + 0.5) ** 3 - (radius - 0.5) ** 3) / radius**3
    assert volume_change_per_mm(brain_of(head.sdt, border)) == pytest.approx(expected, rel=0.12)


def measured(source, brain, *, shares: bool = True, **changes) -> dict[str, float]:
    """All metrics of a phantom; the network is sure of white matter inside and of bone outside."""
    conformed = conform(source.volume, CARD)
    told = np.zeros((6, *conformed.data.shape), np.float32)
    inside = sphere_sdt(conformed_world(conformed, source.volume.grid.affine)) <= 0
    told[2], told[4] = inside, ~inside
    network = NetworkTissues(told if shares else None, conformed.frame)
    products = replace(products_of(source, brain), match=match(source.volume.grid, brain))
    normalised = changes.get("normalised", normalised_of(source))
    segmented = changes.get("segmented", segmented_of(brain))
    return measure(SURFACE, network, normalised, segmented, products, brain)


NO_TISSUES = {  # of a brain all white: no grey matter and no fluid to compare
    "snr_gm", "snr_csf", "snr_total", "snrd_gm", "snrd_csf", "snrd_total", "cnr", "cjv",
    "surface_on_bright",
}  # fmt: skip
OF_SHARES = {
    "tissue_margin_mm", "tissue_margin_low_mm", "tissue_margin_high_mm", "tissue_outside_ml",
    "tissue_outside_lump_ml", "other_inside_ml", "other_inside_lump_ml", "certainty",
}  # fmt: skip
KEYS = {metric.key for metric in METRICS}
WIDTHS = {"fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg"}  # which white noise may or may not have


def test_what_can_be_had_is_measured_and_nothing_else(source_of) -> None:
    head = make_phantom()
    source, brain = source_of(head), brain_of(head.sdt)
    found = measured(source, brain)
    assert KEYS - set(found) - WIDTHS == NO_TISSUES
    assert set(found) <= KEYS
    assert all(isinstance(v, float) and np.isfinite(v) for v in found.values())
    assert found["components_removed"] == 3
    assert found["component_ml_removed"] == 1.25
    assert found["holes_filled_ml"] == 0.5
    assert found["sdt_slope"] == 0.97
    assert found["sdt_deviation"] == 0.05
    untold = measured(source, brain, shares=False)
    assert KEYS - set(untold) - WIDTHS == NO_TISSUES | OF_SHARES


def test_every_value_lies_in_its_range(source_of) -> None:
    head = make_phantom("anisotropic")
    found = measured(source_of(head), brain_of(head.sdt))
    for metric in METRICS:
        value = found.get(metric.key, metric.least or 0.0)
        assert metric.least is None or value >= metric.least, metric.key
        assert metric.most is None or value <= metric.most, metric.key


@pytest.mark.parametrize("wrong", ["constant", "thin", "nothing inside", "no white", "touching"])
def test_what_cannot_be_measured_is_absent(source_of, wrong: str) -> None:
    """No error, no number that is not one."""
    head = make_phantom("RAS")
    source, brain = source_of(head), brain_of(head.sdt)
    changes = {}
    if wrong == "constant":
        flat = Volume(np.full_like(source.volume.data, 7.0), source.volume.grid)
        changes["normalised"] = replace(normalised_of(source), volume=flat)
    elif wrong == "thin":
        thin = Volume(source.volume.data[:, :, 17:19].copy(), Grid((38, 42, 2), head.affine))
        source, brain = replace(source, volume=thin), brain_of(head.sdt[:, :, 17:19])
    elif wrong == "nothing inside":
        brain = brain_of(np.where(head.sdt <= 0, np.float32(0.5), head.sdt), 1.0)
    elif wrong == "no white":
        none = segmented_of(brain)
        changes["segmented"] = replace(none, steps=np.zeros_like(none.steps))
    elif wrong == "touching":
        brain = brain_of(np.full(head.sdt.shape, -5.0, np.float32))
    found = measured(source, brain, **changes)
    assert set(found) <= KEYS
    assert all(np.isfinite(v) for v in found.values())
    assert ("wm_cov" in found) == (wrong not in {"no white", "nothing inside"})


def test_range_and_slope_of_a_linear_field(source_of) -> None:
    """ln field = 0.02 a mm along x: 20 percent a cm. Samples lie 3 mm apart: 3 percent."""
    head = make_phantom("anisotropic")
    brain = brain_of(head.sdt)
    x_mm = world_of(head.data.shape, head.affine)[..., 0]
    field = (0.02 * x_mm).astype(np.float32)
    found = replace(normalised_of(source_of(head)), log_field=field)
    told = bias(found, brain)
    assert told["bias_slope_percent_per_cm"] == pytest.approx(20, rel=1e-3)
    end = 0.8837 * RADIUS_MM  # (2 + 3u - u^3) / 4 = 0.99: the ball's share below u radii
    assert told["bias_range"] == pytest.approx(np.exp(0.04 * end), rel=0.05)
    fields = np.exp(field[brain.sdt_steps <= 0])
    assert told["inu_med"] == pytest.approx(np.median(fields), rel=0.02)
    low, high = np.percentile(fields, (5, 95))
    assert told["inu_range"] == pytest.approx(high - low, rel=0.05)


def test_variation_of_white_matter(source_of, rng) -> None:
    head = make_phantom()
    source = source_of(head)
    noisy = Volume(rng.normal(1000, 50, head.data.shape).astype(np.float32), source.volume.grid)
    found = replace(normalised_of(source), volume=noisy)
    assert wm_cov(found, segmented_of(brain_of(head.sdt))) == pytest.approx(0.05, rel=0.05)


def test_volumes_of_the_tissues(source_of) -> None:
    head = make_phantom("PSR")
    found = tissue_volumes_ml(segmented_of(brain_of(head.sdt)), source_of(head).volume.grid)
    expected = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    assert found == {"gm_volume_ml": 0, "csf_volume_ml": 0,
                     "wm_volume_ml": pytest.approx(expected, rel=0.01)}  # fmt: skip
