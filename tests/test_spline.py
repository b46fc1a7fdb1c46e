"""The spline in three passes against a function known everywhere, and against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_strip.spline import moves, spline_resampled

SHAPE, FOUND = (44, 50, 38), (40, 46, 42)
TURNS_DEG = [(0, 0, 0), (8, -5, 3), (20, -10, 15), (45, 0, 0), (30, 30, 30), (0, 90, 0),
             (100, 10, 170), (-90, 0, 90)]  # fmt: skip
DRAWN = np.random.default_rng(5)
WAVES, PHASES = DRAWN.normal(0, 0.3, (6, 3)), DRAWN.uniform(0, 6, 6)


def known(points):
    return sum(np.sin(points @ wave + phase) for wave, phase in zip(WAVES, PHASES, strict=True))


def points_of(shape):
    return np.stack(np.indices(shape), axis=-1).astype(float)


def turned(turn_deg, zoom=1.1):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix() * zoom
    middle = (np.array(SHAPE) - 1) / 2
    matrix[:3, 3] = middle - matrix[:3, :3] @ ((np.array(FOUND) - 1) / 2)
    return matrix


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_a_smooth_function_is_met_as_scipys_spline_meets_it(turn_deg) -> None:
    matrix = turned(turn_deg)
    data = known(points_of(SHAPE)).astype(np.float32)
    places = points_of(FOUND) @ matrix[:3, :3].T + matrix[:3, 3]
    deep = ((places >= 4) & (places <= np.array(SHAPE) - 5)).all(axis=-1)
    assert deep.mean() > 0.3
    ours = np.abs(spline_resampled(data, matrix, FOUND) - known(places))[deep]
    scipys = ndimage.affine_transform(data, matrix, output_shape=FOUND, order=3)
    scipys = np.abs(scipys - known(places))[deep]
    assert ours.mean() < 6 * scipys.mean()  # a turn about all axes at once is met least well
    assert ours.mean() < 0.005


@pytest.mark.parametrize("turn_deg", TURNS_DEG)
def test_nothing_lies_beyond_the_input(turn_deg) -> None:
    matrix = turned(turn_deg, zoom=1.5)
    places = points_of(FOUND) @ matrix[:3, :3].T + matrix[:3, 3]
    outside = ((places < -1e-3) | (places > np.array(SHAPE) - 1 + 1e-3)).any(axis=-1)
    inside = ((places > 1e-3) & (places < np.array(SHAPE) - 1 - 1e-3)).all(axis=-1)
    found = spline_resampled(np.full(SHAPE, 7, np.float32), matrix, FOUND)
    assert outside.any()
    assert not found[outside].any()
    assert np.allclose(found[inside], 7, atol=1e-4)


def test_the_moves_follow_one_another_to_the_affine(rng) -> None:
    matrix = turned((20, -10, 15))
    x_move, y_move, z_move = moves(matrix)
    for u, v, w in rng.uniform(0, 40, (20, 3)):
        z = np.dot(z_move[:3], (u, v, w)) + z_move.start
        y = np.dot(y_move[:3], (u, v, z)) + y_move.start
        x = np.dot(x_move[:3], (u, y, z)) + x_move.start
        assert np.allclose((x, y, z), matrix[:3, :3] @ (u, v, w) + matrix[:3, 3])


def test_threads_change_nothing(rng) -> None:
    data = rng.random(SHAPE).astype(np.float32)
    one, three = (spline_resampled(data, turned((8, -5, 3)), FOUND, threads=n) for n in (1, 3))
    assert np.array_equal(one, three)


def test_an_affine_without_volume_is_refused() -> None:
    with pytest.raises(ValueError, match="vanishes"):
        spline_resampled(np.zeros(SHAPE, np.float32), np.diag([1.0, 1.0, 0.0, 1.0]), FOUND)


@pytest.mark.parametrize("tilt_deg", [0, 8, 15, 45])
def test_thick_slices_that_lie_aslant_are_met_as_by_scipy(tilt_deg: float, rng) -> None:
    """Slices of 5 mm, detail from voxel to voxel: where lines shear apart nothing is mixed."""
    data = ndimage.gaussian_filter(rng.normal(0, 1, (50, 50, 14)), (1, 1, 0.5)).astype(np.float32)
    matrix = np.eye(4)
    turn = Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix()
    matrix[:3, :3] = np.diag([1, 1, 1 / 5]) @ turn * 2
    matrix[:3, 3] = (np.array(data.shape) - 1) / 2 - matrix[:3, :3] @ np.full(3, 11.5)
    theirs = ndimage.affine_transform(data, matrix, output_shape=(24, 24, 24), order=3)
    ours = spline_resampled(data, matrix, (24, 24, 24))
    both = (theirs != 0) & (ours != 0)
    apart = (ours - theirs)[both]
    assert np.sqrt((apart**2).mean()) < 0.1 * theirs[both].std()
