"""The coarse reference: what it must be, and what is left between it and a surface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_strip.domain import Grid
from bids_strip.registration.reference import LIMIT_MM, load_reference, moved, shift_of
from tests.fakes import sphere_sdt, world_of


def test_it_is_a_brain_of_a_common_size() -> None:
    reference = load_reference()
    inside = reference.sdt_mm <= 0
    assert reference.grid.zooms == pytest.approx((4, 4, 4))
    assert 1200 < inside.sum() * reference.grid.voxel_volume_ml < 1800
    middle = np.argwhere(inside).mean(axis=0) @ reference.grid.affine[:3, :3]
    assert np.abs(middle + reference.grid.affine[:3, 3]).max() < 12
    assert not inside[[0, -1]].any()
    assert not inside[:, [0, -1]].any()
    assert not inside[:, :, [0, -1]].any()


def test_it_has_no_handedness() -> None:
    reference = load_reference()
    for values in (reference.sdt_mm, reference.spread_mm, reference.tissue):
        assert np.array_equal(values, values[..., ::-1, :, :])
    x = world_of(reference.sdt_mm.shape, reference.grid.affine)[..., 0]
    assert np.array_equal(x, -x[::-1])  # its middle plane is that of the grid


def test_it_is_the_right_way_up() -> None:
    """The stem runs down from behind the middle; tissue lies inside, fluid at the rim."""
    reference = load_reference()
    world = world_of(reference.sdt_mm.shape, reference.grid.affine)
    low = world[(reference.sdt_mm <= 0) & (world[..., 2] < -60)]
    assert np.abs(low[:, 0]).max() < 50
    assert low[:, 1].mean() < 0
    assert reference.tissue.sum(axis=0).max() <= 1.02
    deep, rim = reference.sdt_mm < -11, np.abs(reference.sdt_mm) < 2
    assert reference.tissue[:2].sum(axis=0)[deep].mean() > 0.75
    assert reference.tissue[2][rim].mean() > reference.tissue[1][rim].mean()
    assert np.abs(reference.sdt_mm).max() <= LIMIT_MM
    assert 0.5 < reference.spread_mm[rim].mean() < 4


def test_distances_come_in_the_references_mm() -> None:
    """A ball of 60 mm in a head 1.5 times as large is one of 40 mm on the reference."""
    reference = load_reference()
    grid = Grid((80, 80, 80), np.diag([2.5, 2.5, 2.5, 1.0]))
    centre = (100.0, 95.0, 105.0)
    head = sphere_sdt(world_of(grid.shape, grid.affine), centre, 60.0)
    pose = np.diag([1.5, 1.5, 1.5, 1.0])
    pose[:3, 3] = centre
    found = moved(head, grid.affine, pose, reference.grid)
    expected = sphere_sdt(world_of(reference.sdt_mm.shape, reference.grid.affine), (0, 0, 0), 40.0)
    near = np.abs(expected) < 8
    assert found[near] == pytest.approx(expected[near], abs=0.1)


@pytest.mark.parametrize("out_mm", [6.0, -6.0])
def test_a_shift_counts_beyond_what_heads_differ_by(out_mm: float) -> None:
    """All of the surface 6 mm out, heads differing by 1 mm: 6 - 2 x 1 = 4 mm; in likewise."""
    reference = load_reference()
    still = replace(reference, spread_mm=np.full_like(reference.spread_mm, 1.0))
    shift = shift_of(reference.sdt_mm - np.float32(out_mm), still)
    band = np.abs(reference.sdt_mm) <= 2
    assert shift[band] == pytest.approx(np.sign(out_mm) * 4, abs=1e-4)
    assert not shift[~band].any()
    assert not shift_of(reference.sdt_mm - np.float32(1.9), still).any()
