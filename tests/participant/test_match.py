"""The stage that matches a surface, and the metrics of its shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import BrainMask, Grid, Match
from bids_strip.geometry import quantised, within
from bids_strip.participant.match import match
from bids_strip.participant.qc import shape
from bids_strip.registration.reference import load_reference
from tests.fakes import rotation


def brain_of(sdt: np.ndarray, border: float = 0.0) -> BrainMask:
    steps = quantised(sdt)
    return BrainMask(within(steps, border), steps, border, False, 1.0)


def reference_head(
    zooms=(2.0, 3.0, 2.5), codes=(1, 1, 1), turn=(0, 0, 0)
) -> tuple[Grid, np.ndarray]:
    """The reference brain as a head, its voxel axes along or against R, A, S."""
    reference = load_reference()
    n = tuple(int(220 / zoom) for zoom in zooms)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(zooms) * codes)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(n) - 1) / 2)
    pose = np.eye(4)
    pose[:3, :3] = rotation(*turn)
    pull = np.linalg.inv(reference.grid.affine) @ np.linalg.inv(pose) @ affine
    sdt = ndimage.affine_transform(reference.sdt_mm, pull[:3, :3], pull[:3, 3], n, order=1,
                                   mode="nearest")  # fmt: skip
    return Grid(n, affine), sdt


def matched(sdt: np.ndarray, grid: Grid, border: float = 0.0) -> Match:
    found = match(grid, brain_of(sdt, border))
    assert found is not None
    return found


@pytest.mark.parametrize("codes", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
def test_the_reference_agrees_with_itself(codes) -> None:
    grid, sdt = reference_head(codes=codes)
    found = matched(sdt, grid)
    assert shape.reference_dice(found) > 0.985
    assert shape.reference_misfit_mm(found) < 0.2
    assert max(shape.reference_shift_mm(found)) < 0.3
    assert shape.reference_size(found) == pytest.approx(1, abs=0.01)
    assert shape.reference_stretch(found) == pytest.approx(1, abs=0.03)
    assert shape.reference_in_view(found, grid) == 1
    assert shape.asymmetry_mm(found) < 0.2
    assert np.abs(list(shape.rotation_deg(found).values())).max() < 1


def test_a_border_does_not_matter() -> None:
    grid, sdt = reference_head()
    plain, shifted = matched(sdt, grid), matched(sdt, grid, border=3.0)
    assert np.array_equal(plain.pose, shifted.pose)
    assert np.array_equal(plain.shift_mm, shifted.shift_mm)


def test_a_nod_is_told() -> None:
    grid, sdt = reference_head(turn=(17, 0, 0))
    found = shape.rotation_deg(matched(sdt, grid))
    assert found == pytest.approx({"x": 17, "y": 0, "z": 0}, abs=1)


def test_an_upside_down_header_is_told() -> None:
    """The same voxels under a header whose last axis runs the other way."""
    grid, sdt = reference_head()
    down = grid.affine @ np.diag([1, 1, -1, 1.0])
    down[:3, 3] = -down[:3, :3] @ ((np.array(grid.shape) - 1) / 2)
    found = shape.rotation_deg(matched(sdt, Grid(grid.shape, down)))
    assert max(abs(turn) for turn in found.values()) > 150


def test_a_lost_pole_shows_in_shift_and_symmetry() -> None:
    """What is cut lies in the left temporal lobe: inwards, one side."""
    grid, sdt = reference_head(zooms=(2.0, 2.0, 2.0))
    i, j, k = np.indices(grid.shape)
    x, y, z = (axis * 2.0 + grid.affine[a, 3] for a, axis in enumerate((i, j, k)))
    lost = np.maximum(sdt, 20 - np.sqrt((x + 45) ** 2 + (y - 28) ** 2 + (z + 25) ** 2))
    found = matched(lost.astype(np.float32), grid)
    out_mm, in_mm = shape.reference_shift_mm(found)
    assert in_mm > 3
    assert out_mm < 2
    assert shape.asymmetry_mm(found) > 3 * shape.asymmetry_mm(matched(sdt, grid))
    low = np.unravel_index(found.shift_mm.argmin(), found.shift_mm.shape)
    place = found.grid.affine[:3, :3] @ low + found.grid.affine[:3, 3]
    assert place[0] < -30  # left
    assert place[2] < 0


def test_what_lies_outside_the_field_of_view_is_told() -> None:
    """A head whose lower half was not scanned."""
    grid, sdt = reference_head(zooms=(2.0, 2.0, 2.0))
    half = grid.shape[2] // 2
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * half
    cut = Grid((*grid.shape[:2], grid.shape[2] - half), affine)
    whole = matched(sdt, grid)
    world = np.argwhere(whole.expected_mm <= 0) @ whole.grid.affine[:3, :3].T
    expected = (world[:, 2] + whole.grid.affine[2, 3] >= affine[2, 3] - 1).mean()
    assert shape.reference_in_view(whole, cut) == pytest.approx(expected, abs=0.03)


def test_nothing_inside_is_no_match() -> None:
    grid, sdt = reference_head()
    assert match(grid, brain_of(np.maximum(sdt, 0.5), 1.0)) is None
