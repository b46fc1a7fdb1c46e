"""Conformed grid -> native: distances come back to their voxels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import Frame, Grid, Surface, Volume
from bids_strip.geometry import dice, to_native
from bids_strip.participant.clean import clean
from bids_strip.participant.conform import conform
from bids_strip.participant.restore import restore
from tests.fakes import (
    CARD,
    GRIDS,
    FakePredictor,
    TrueSphere,
    conformed_world,
    make_phantom,
    world_of,
)


def there_and_back(name: str, function) -> tuple[np.ndarray, np.ndarray]:
    """A function of the world, sampled on the conformed grid and restored; and its truth."""
    head = make_phantom(name)
    conformed = conform(Volume(head.data, Grid(head.data.shape, head.affine)), CARD)
    values = function(conformed_world(conformed, head.affine)).astype(np.float32)
    surface = Surface(values, 0, 0.0, 0.0, 1.0)
    return restore(surface, conformed.frame), head


@pytest.mark.parametrize("name", GRIDS)
def test_a_linear_function_comes_back_exactly(name: str) -> None:
    def plane(world: np.ndarray) -> np.ndarray:
        return world @ np.array([0.7, -0.2, 0.4]) + 3

    found, head = there_and_back(name, plane)
    true = plane(world_of(head.data.shape, head.affine))
    inner = tuple(slice(3, -3) for _ in range(3))
    assert found.shape == head.data.shape
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.allclose(found[inner], true[inner], atol=1e-3)


@pytest.mark.parametrize("name", GRIDS)
def test_a_part_of_the_native_grid_is_that_part_of_the_whole(name: str) -> None:
    head = make_phantom(name)
    conformed = conform(Volume(head.data, Grid(head.data.shape, head.affine)), CARD)
    whole = restore(Surface(conformed.data, 0, 0.0, 0.0, 1.0), conformed.frame)
    for window in (
        (slice(None), slice(None), slice(None)),
        (slice(3, 30, 4), slice(None, None, 3), slice(2, 20)),
    ):
        part = to_native(conformed.data, conformed.frame, window)
        # the order of the axes, and with it the rounding, follows their sizes
        np.testing.assert_allclose(part, whole[window], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", GRIDS)
def test_the_phantoms_surface_comes_back(name: str) -> None:
    """All the way from conform to restore, with distances known in closed form."""
    head = make_phantom(name)
    conformed = conform(Volume(head.data, Grid(head.data.shape, head.affine)), CARD)
    prediction = FakePredictor(TrueSphere(head.affine))(conformed)
    found = restore(clean(prediction, conformed.zooms), conformed.frame)
    near = np.abs(head.sdt) < 6
    assert np.abs(found - head.sdt)[near].mean() < 0.15
    assert np.abs(found - head.sdt)[near].max() < 0.8
    assert dice(found <= 0, head.sdt <= 0) > 0.985


def test_no_voxel_is_left_at_zero_at_the_edge() -> None:
    """A native voxel beyond the conformed grid would be taken for the surface.

    Against scipy's interpolation with the outermost values held: all that lies on the grid is
    that, and what lies beyond it is that or far.
    """
    far_mm = 24.0
    mm = np.full((8, 8, 8), far_mm, np.float32)
    mm[0:6, 2:6, 2:6] = -3  # reaches the grid's first plane
    frame = Frame((0, 1, 2), (False,) * 3, (20, 20, 20), (4.0, 0.0, 0.0), (2.0, 2.0, 2.0))
    found = restore(Surface(mm, 0, 0.0, 0.0, 1.0), frame)
    first = np.array([4, 0, 0]).reshape(3, 1, 1, 1)
    held = ndimage.map_coordinates(
        mm, (np.indices(found.shape) - first) / 2, order=1, mode="nearest"
    )
    as_held = np.isclose(found, held, atol=1e-4)
    assert (as_held | (found == far_mm)).all()
    on_grid = (slice(4, 19), slice(0, 15), slice(0, 15))
    assert as_held[on_grid].all()
    assert (found[2, 4:11, 4:11] == -3).all()  # a voxel beyond, beside what was predicted
