"""The affine to the coarse reference: against poses that are known, on shapes in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import Grid
from bids_strip.registration.pose import fitted, turn_deg
from bids_strip.registration.reference import Reference, load_reference, moved, scale_of, shift_of
from tests.fakes import rotation, world_of

STEP_MM = 3.0


def posed(turn: np.ndarray, size: float, shift: tuple[float, float, float]) -> np.ndarray:
    """Reference mm -> head mm."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = size * turn, shift
    return pose


def head_grid(pose: np.ndarray) -> Grid:
    """A grid about a posed head."""
    shape = (76, 84, 76)
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = pose[:3, 3] - STEP_MM * (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def as_head(reference: Reference, pose: np.ndarray, grid: Grid) -> np.ndarray:
    """The reference's own distances as a head's, in that head's mm."""
    to_reference = np.linalg.inv(reference.grid.affine) @ np.linalg.inv(pose) @ grid.affine
    found = ndimage.affine_transform(reference.sdt_mm, to_reference[:3, :3], to_reference[:3, 3],
                                     grid.shape, order=1, mode="nearest")  # fmt: skip
    return (found * scale_of(pose)).astype(np.float32)


def farthest_mm(one: np.ndarray, other: np.ndarray, reference: Reference) -> float:
    """How far two poses bring a point of the reference's brain apart at most."""
    places = np.argwhere(reference.sdt_mm <= 0) @ reference.grid.affine[:3, :3].T
    places = places + reference.grid.affine[:3, 3]
    apart = places @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max())


def ellipsoid_reference() -> Reference:
    """Half axes 52, 70, 46 mm about (0, 8, -5): near its surface (f - 1) / |grad f| is distance."""
    template = load_reference()
    x, y, z = np.moveaxis(world_of(template.sdt_mm.shape, template.grid.affine), -1, 0)
    y, z = y - 8, z + 5
    level = np.sqrt((x / 52) ** 2 + (y / 70) ** 2 + (z / 46) ** 2)
    slope = np.sqrt((x / 52**2) ** 2 + (y / 70**2) ** 2 + (z / 46**2) ** 2) / np.maximum(level, 0.1)
    sdt = np.clip((level - 1) / np.maximum(slope, 1e-3), -12, 12).astype(np.float32)
    still = np.full_like(sdt, 0.5)
    return Reference(sdt, still, template.tissue, template.grid)


@pytest.mark.parametrize(
    ("turn", "size", "shift"),
    [
        ((0, 0, 0), 1.0, (0.0, 0.0, 0.0)),
        ((12, -6, 8), 1.1, (20.0, -15.0, 40.0)),
        ((-30, 4, -10), 0.85, (-5.0, 60.0, 3.0)),
        ((25, 15, 0), 0.6, (0.0, 0.0, -90.0)),
    ],
)
def test_an_ellipsoid_is_found_where_it_was_put(turn, size, shift) -> None:
    """The pose itself cannot be told from one that mirrors it: its surface and its size can."""
    reference = ellipsoid_reference()
    pose = posed(rotation(*turn), size, shift)
    grid = head_grid(pose)
    head = as_head(reference, pose, grid)
    found = fitted(head, grid.affine, reference)
    centre = np.array([0, 8, -5, 1.0])
    assert found @ centre == pytest.approx(pose @ centre, abs=0.3)
    assert scale_of(found) == pytest.approx(size, rel=0.01)
    left = moved(head, grid.affine, found, reference.grid) - reference.sdt_mm
    assert np.abs(left)[np.abs(reference.sdt_mm) < 4].mean() < 0.25


@pytest.mark.parametrize("turn", [(0, 0, 0), (15, -8, 10), (-28, 0, 0), (20, 12, -20)])
def test_the_brain_is_found_where_it_was_put(turn) -> None:
    reference = load_reference()
    pose = posed(rotation(*turn), 1.07, (12.0, -30.0, 25.0))
    grid = head_grid(pose)
    found = fitted(as_head(reference, pose, grid), grid.affine, reference)
    assert farthest_mm(found, pose, reference) < 1.0
    assert np.linalg.norm(turn_deg(found) - turn_deg(pose)) < 1.0


@pytest.mark.parametrize("mirror", ["x", "y", "z", "y-z", "x-y", "x-z"])
def test_axes_the_wrong_way_round_show(mirror: str) -> None:
    """A mirror of left and right cannot; any other turns the head by 90 degrees or more."""
    reference = load_reference()
    change = np.eye(4)
    if len(mirror) == 1:
        change["xyz".index(mirror), "xyz".index(mirror)] = -1
    else:
        one, other = ("xyz".index(axis) for axis in mirror.split("-"))
        change[:, [one, other]] = change[:, [other, one]]
    true = posed(rotation(9, 3, -4), 1.0, (0.0, 0.0, 0.0))
    grid = head_grid(true)
    head = as_head(reference, change @ true, grid)  # what is drawn in the mirror
    found = fitted(head, grid.affine, reference)
    turned = float(np.linalg.norm(turn_deg(found)))
    assert turned < 15 if mirror == "x" else turned > 80
    left = moved(head, grid.affine, found, reference.grid) - reference.sdt_mm
    assert np.abs(left)[np.abs(reference.sdt_mm) < 4].mean() < 0.5


def test_a_missing_part_does_not_drag_the_rest() -> None:
    reference = load_reference()
    pose = posed(rotation(5, 0, 5), 1.0, (0.0, 0.0, 0.0))
    grid = head_grid(pose)
    head = as_head(reference, pose, grid)
    x, y, z = np.moveaxis(world_of(grid.shape, grid.affine), -1, 0)
    beside = np.sqrt((x - 45) ** 2 + (y - 20) ** 2 + (z + 25) ** 2)
    lost = np.maximum(head, 22 - beside).astype(np.float32)  # a ball of 22 mm taken out
    found = fitted(lost, grid.affine, reference)
    assert farthest_mm(found, pose, reference) < 6
    shift = shift_of(moved(lost, grid.affine, found, reference.grid), reference)
    assert shift.min() < -3
    assert shift.max() < 1.5


@pytest.mark.parametrize(
    ("turn", "expected"),
    [((10, 0, 0), (10, 0, 0)), ((0, -20, 0), (0, -20, 0)), ((0, 0, 35), (0, 0, 35))],
)
def test_turns_are_told_by_their_axis(turn, expected) -> None:
    """Stretched or not."""
    stretch = np.diag([1.2, 0.9, 1.0])
    pose = posed(rotation(*turn) @ stretch, 1.3, (3.0, 4.0, 5.0))
    assert turn_deg(pose) == pytest.approx(expected, abs=1e-6)
