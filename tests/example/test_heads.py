"""The drawn heads: repeatable, of a head's size, on the grid they say."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bids_strip.example import fields, heads
from bids_strip.example.anatomy import CUT_Z_MM, Figure, Tissue, draw_anatomy


def _coarse(draw: heads.HeadDraw) -> heads.HeadDraw:
    scan = replace(draw.scan, shape=(88, 104, 100), zooms=(2.2, 2.2, 2.2), tilt_deg=(0, 0, 0))
    return replace(draw, scan=replace(scan, shift_mm=(0, 0, 0)))


@pytest.fixture(scope="module")
def draw() -> heads.HeadDraw:
    return _coarse(heads.draw_head(np.random.default_rng(5)))


@pytest.fixture(scope="module")
def figure(draw: heads.HeadDraw) -> Figure:
    return draw_anatomy(draw.anatomy, draw.means)


@pytest.fixture(scope="module")
def head(draw: heads.HeadDraw, figure: Figure) -> heads.DrawnHead:
    return heads.take_scan(figure, draw.scan)


def test_a_draw_renders_to_the_same_bytes(draw: heads.HeadDraw, head: heads.DrawnHead) -> None:
    again = heads.render(draw)
    assert again.image.tobytes() == head.image.tobytes()
    assert again.labels.tobytes() == head.labels.tobytes()
    assert again.truth.tobytes() == head.truth.tobytes()


def test_draws_follow_the_generator() -> None:
    one, same, other = (heads.draw_head(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_types_and_shapes(draw: heads.HeadDraw, head: heads.DrawnHead) -> None:
    assert head.image.dtype == np.float32
    assert head.labels.dtype == np.uint8
    assert head.truth.dtype == bool
    assert head.image.shape == head.labels.shape == head.truth.shape == draw.scan.shape
    assert np.isfinite(head.image).all()
    assert head.image.min() >= 0


def test_the_brain_has_a_brains_volume(head: heads.DrawnHead) -> None:
    assert 1200 < head.truth.sum() * 2.2**3 / 1000 < 1700


def test_every_tissue_but_the_optional_one_is_drawn(figure: Figure) -> None:
    drawn = set(np.unique(figure.labels).tolist())
    assert {int(tissue) for tissue in Tissue} - {int(Tissue.DURA)} <= drawn


def test_truth_holds_the_brain_and_ends_at_the_cut(head: heads.DrawnHead) -> None:
    brain = (head.labels >= Tissue.GREY) & (head.labels <= Tissue.STEM)
    tissue = brain & (head.labels != Tissue.CSF)
    assert (head.truth | ~tissue).all()
    lowest = np.argwhere(head.truth)[:, 2].min()
    z_mm = (head.affine @ [0, 0, lowest, 1])[2]
    assert z_mm == pytest.approx(CUT_Z_MM, abs=6)


def test_contrast_is_that_of_a_t1w(head: heads.DrawnHead) -> None:
    median = {t: float(np.median(head.image[head.labels == t])) for t in Tissue}
    assert median[Tissue.WHITE] > median[Tissue.GREY] > median[Tissue.CSF]
    assert median[Tissue.FAT] > median[Tissue.BONE]
    assert median[Tissue.BACKGROUND] < 0.2


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PSR"])
def test_axis_codes_are_those_asked_for(draw: heads.HeadDraw, codes: str) -> None:
    scan = replace(draw.scan, axcodes=codes, oblique_deg=(8, -3, 4), zooms=(1.0, 1.5, 2.5))
    affine = heads.scan_affine(scan)
    assert "".join(nib.aff2axcodes(affine)) == codes
    assert nib.affines.voxel_sizes(affine) == pytest.approx(scan.zooms)


def test_the_brain_stays_the_brain_on_another_grid(
    draw: heads.HeadDraw, figure: Figure, head: heads.DrawnHead
) -> None:
    scan = replace(draw.scan, axcodes="LPS", oblique_deg=(10, 0, 5))
    turned = heads.take_scan(figure, scan)
    assert turned.truth.sum() == pytest.approx(head.truth.sum(), rel=0.02)
    centres = [
        (h.affine[:3, :3] @ np.argwhere(h.truth).mean(axis=0)) + h.affine[:3, 3]
        for h in (head, turned)
    ]
    assert np.linalg.norm(centres[0] - centres[1]) < 1


def test_an_ellipsoid_is_a_distance_for_a_sphere() -> None:
    at = fields.frame((-10, -10, -10), (10, 10, 10), 1.0)
    radius = np.sqrt(at.x**2 + at.y**2 + at.z**2)
    level = fields.ellipsoid(at, (0, 0, 0), (6, 6, 6))
    away = radius > 2
    assert level[away] == pytest.approx(radius[away] - 6, abs=1e-2)


def test_a_tube_is_a_distance_to_its_line() -> None:
    at = fields.frame((-5, -5, -5), (5, 5, 5), 1.0)
    level = fields.tube(at, [(0, 0, -20, 2), (0, 0, 20, 2)])
    assert level == pytest.approx(
        np.broadcast_to(np.sqrt(at.x**2 + at.y**2) - 2, at.shape), abs=1e-4
    )


def test_noise_is_about_normal() -> None:
    noise = fields.lattice_noise(np.random.default_rng(0), (60, 61, 62), 5.0)
    assert noise.shape == (60, 61, 62)
    assert abs(float(noise.mean())) < 0.25
    assert 0.7 < float(noise.std()) < 1.4
