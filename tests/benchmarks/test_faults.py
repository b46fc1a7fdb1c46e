"""Failures put into heads, against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.faults import (
    GM,
    IMAGE_FAULTS,
    MASK_FAULTS,
    SOFT,
    Found,
    Image,
    flipped,
    grown,
    half_empty,
    in_view,
    leak,
    loss,
    noise,
    placed,
    shifted,
    stripped,
    turned_over,
)
from bids_strip.domain import Conformed, Frame, Grid, Prediction, Volume

ZOOM = 2.0
SHAPE = (60, 64, 56)
RADIUS = 40.0


def sphere(place, centre=(0.0, 0.0, 0.0), radius=RADIUS):
    middle = np.array(centre)[:, None, None, None]
    return (np.linalg.norm(place - middle, axis=0) - radius).astype(np.float32)


def found_sphere(centre=(0.0, 0.0, 0.0)) -> Found:
    """A ball of a brain; the reference's frame has its origin in the middle of the grid."""
    affine = np.diag([ZOOM] * 3 + [1.0])
    pose = np.eye(4)
    pose[:3, 3] = [ZOOM * (n - 1) / 2 for n in SHAPE]
    place = placed(SHAPE, affine, pose)
    mm = sphere(place, centre)
    tissue = np.where(mm <= 0, np.uint8(2), np.uint8(0))
    shares = np.stack([(tissue == n).astype(np.float32) for n in range(6)])
    return Found(Prediction(mm, shares, mm + 2), (ZOOM,) * 3, place, np.ones(SHAPE, bool))


def ml(inside) -> float:
    return np.count_nonzero(inside) * ZOOM**3 / 1000


@pytest.fixture
def found() -> Found:
    return found_sphere()


def lump(place, _rng):
    """A ball of 15 mm whose middle lies on the brain's surface."""
    return sphere(place, (RADIUS, 0.0, 0.0), 15.0)


def test_places_follow_the_pose() -> None:
    angle = np.deg2rad(30)
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = (5, -7, 11)
    place = placed(SHAPE, np.diag([ZOOM] * 3 + [1.0]), pose)
    back = pose @ [*place[:, 10, 20, 30], 1.0]
    assert back[:3] == pytest.approx([20, 40, 60], abs=1e-3)


@pytest.mark.parametrize(("make", "label"), [
    (leak(lump), None), (leak(lump, tissue=True), GM),
    (loss(lump), None), (loss(lump, tissue=True), SOFT),
])  # fmt: skip
def test_a_leak_adds_a_region_and_a_loss_takes_it(found: Found, rng, make, label) -> None:
    faulty = make(found, rng)
    was, now = found.prediction.brain_mm <= 0, faulty.brain_mm <= 0
    region = lump(found.place, rng) <= 0
    adds = label == GM or (label is None and now.sum() > was.sum())
    assert np.array_equal(now, was | region if adds else was & ~region)
    changed = now != was
    assert ml(changed) > 4
    if label is None:
        assert faulty.shares is found.prediction.shares
    else:
        assert set(faulty.shares.argmax(axis=0)[changed]) == {label}
        assert np.array_equal(faulty.shares[:, ~changed], found.prediction.shares[:, ~changed])
        assert np.allclose(faulty.shares.sum(axis=0), 1)


def test_both_surfaces_fail_alike(found: Found, rng) -> None:
    faulty = leak(lump)(found, rng)
    added = faulty.no_csf_mm - found.prediction.no_csf_mm
    assert added[lump(found.place, rng) <= -1].max() <= 0
    assert ml(faulty.no_csf_mm <= 0) > ml(found.prediction.no_csf_mm <= 0) + 4


def test_a_leak_out_of_view_is_none(found: Found, rng) -> None:
    outside = replace(found, seen=found.place[0] < RADIUS - 10)
    assert leak(lump)(found, rng) is not None
    assert leak(lump)(outside, rng) is None


@pytest.mark.parametrize("by_mm", [4.0, -4.0])
def test_a_grown_sphere_has_the_radius_more(found: Found, rng, by_mm: float) -> None:
    faulty = grown(by_mm)(found, rng)
    expected = 4 / 3 * np.pi * (RADIUS + by_mm) ** 3 / 1000
    assert ml(faulty.brain_mm <= 0) == pytest.approx(expected, rel=0.01)


def test_a_shift_moves_the_middle(found: Found, rng) -> None:
    faulty = shifted(6.0)(found, rng)
    was, now = (np.argwhere(p.brain_mm <= 0).mean(axis=0) * ZOOM
                for p in (found.prediction, faulty))  # fmt: skip
    assert sorted(np.abs(now - was)) == pytest.approx([0, 0, 6], abs=1e-6)


def test_a_flip_that_changes_nothing_is_none(rng) -> None:
    assert flipped(0)(found_sphere(), rng) is None
    moved = found_sphere((10.0, 0.0, 0.0))
    faulty = flipped(0)(moved, rng)
    assert np.argwhere(faulty.brain_mm <= 0).mean(axis=0)[0] * ZOOM == pytest.approx(59 - 10)
    assert flipped(1)(moved, rng) is None


def test_what_is_in_view() -> None:
    """6 native voxels of 3 mm under 16 conformed of 2 mm: 18 mm of 32."""
    frame = Frame((0, 1, 2), (False,) * 3, (6, 6, 6), (2.5 - 15 / 3,) * 3, (2 / 3,) * 3)
    seen = in_view(Conformed(np.zeros((16, 16, 16), np.float32), (2.0,) * 3, frame))
    along = np.arange(16) * 2.0 - 15
    assert np.array_equal(seen[:, 8, 8], np.abs(along) < 9)


# images -------------------------------------------------------------------------------------


@pytest.fixture
def image() -> Image:
    """Stored with its first axis to the left and its last to the front."""
    affine = np.array([[-2.0, 0, 0, 60], [0, 0, 2, -56], [0, 2, 0, -64], [0, 0, 0, 1]])
    place = placed(SHAPE, np.diag([ZOOM] * 3 + [1.0]), np.eye(4))
    mask = sphere(place, (60, 60, 56)) <= 0
    data = np.random.default_rng(3).uniform(10, 20, SHAPE).astype(np.float32)
    return Image(Volume(data, Grid(SHAPE, affine)), mask)


def test_half_of_the_brain_is_empty(image: Image, rng) -> None:
    for _ in range(8):
        data = half_empty(image, rng).data
        empty = data == 0
        assert np.mean(empty[image.mask]) == pytest.approx(0.5, abs=0.06)
        assert np.array_equal(data[~empty], image.volume.data[~empty])


@pytest.mark.parametrize(("direction", "axis"), [("AP", 2), ("IS", 1)])
def test_the_header_is_turned_over_along_the_world_axis(image, rng, direction, axis) -> None:
    found = turned_over(direction)(image, rng)
    assert np.array_equal(found.data, np.flip(image.volume.data, axis))
    assert found.grid is image.volume.grid


def test_noise_knows_nothing_of_the_head(image: Image, rng) -> None:
    data = noise(image, rng).data
    assert abs(np.corrcoef(data.ravel(), image.volume.data.ravel())[0, 1]) < 0.02
    assert data.mean() == pytest.approx(100 * np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh's


def test_a_stripped_head_is_zero_outside_its_mask(image: Image, rng) -> None:
    data = stripped(image, rng).data
    assert not data[~image.mask].any()
    assert np.array_equal(data[image.mask], image.volume.data[image.mask])


def test_each_failure_has_a_name() -> None:
    names = [fault.name for fault in (*MASK_FAULTS, *IMAGE_FAULTS)]
    assert len({*names}) == len(names)
