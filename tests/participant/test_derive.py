"""Distances -> mask: the border, the invariant, inputs that are stripped already."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import Grid, Volume
from bids_strip.errors import DeriveError
from bids_strip.geometry import STORED_STEP_MM, closed, dice, filled
from bids_strip.participant.derive import derive, stripped_outline
from tests.fakes import GRIDS, RADIUS_MM, Phantom, make_phantom

BORDERS = [0.0, 2.0, -2.0, 0.5, -0.31, 0.02]


def native(head: Phantom, data: np.ndarray | None = None) -> Volume:
    return Volume(head.data if data is None else data, Grid(head.data.shape, head.affine))


def ball_ml(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3 / 1000


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("stripped", [False, True])
def test_the_mask_is_where_stored_distances_are_within_the_border(
    border: float, stripped: bool
) -> None:
    head = make_phantom(stripped=stripped)
    brain = derive(native(head), head.sdt, border_mm=border)
    assert brain.already_stripped is stripped
    assert brain.sdt_steps.dtype == np.int16
    assert brain.mask.dtype == bool
    stored = brain.sdt_steps.astype(np.float32) * np.float32(0.02)
    assert np.array_equal(brain.mask, stored <= np.float32(border))
    assert np.array_equal(brain.mask, brain.sdt_steps * STORED_STEP_MM <= border)


@pytest.mark.parametrize("border", [-4.0, -1.5, 0.0, 1.5, 4.0])
@pytest.mark.parametrize("name", ["RAS", "oblique", "anisotropic"])
def test_a_border_moves_the_surface_by_its_mm(name: str, border: float) -> None:
    head = make_phantom(name)
    brain = derive(native(head), head.sdt, border_mm=border)
    ml = brain.mask.sum() * np.prod(head.zooms) / 1000
    assert ml == pytest.approx(ball_ml(RADIUS_MM + border), rel=0.02)


def test_the_shell_between_two_borders() -> None:
    head = make_phantom()
    outer = derive(native(head), head.sdt, border_mm=3.0).mask
    inner = derive(native(head), head.sdt, border_mm=-3.0).mask
    assert not (inner & ~outer).any()
    shell = (outer & ~inner).sum() * np.prod(head.zooms) / 1000
    assert shell == pytest.approx(ball_ml(RADIUS_MM + 3) - ball_ml(RADIUS_MM - 3), rel=0.02)


def test_an_ordinary_head_is_not_flagged() -> None:
    for name in GRIDS:
        head = make_phantom(name)
        assert stripped_outline(native(head), head.sdt) is None
        brain = derive(native(head), head.sdt, border_mm=0.0)
        assert brain.network_dice == 1.0
        assert dice(brain.mask, head.truth) > 0.999


def test_a_head_in_zeroed_air_is_not_flagged() -> None:
    """Scanners write exact zeros into the air; skull and scalp are still there."""
    head = make_phantom()
    data = np.where(head.sdt > 14, 0, head.data)
    assert np.count_nonzero(data == 0) > 0.4 * data.size
    assert stripped_outline(native(head, data), head.sdt) is None


def test_a_tight_prediction_does_not_make_a_head_stripped() -> None:
    """The network says 6 mm too little: the scalp is still farther out than 8 mm."""
    head = make_phantom()
    data = np.where(head.sdt > 14, 0, head.data)
    assert stripped_outline(native(head, data), head.sdt + 6) is None


@pytest.mark.parametrize("name", GRIDS)
def test_a_stripped_input_keeps_its_outline(name: str, rng: np.random.Generator) -> None:
    """The mask is the closed non-zero set, whatever the network says of the rim."""
    head = make_phantom(name, stripped=True)
    data = head.data.copy()
    dark = rng.random(data.shape) < 0.02
    data[dark & (head.sdt < -6)] = 0  # ventricles that a stripping tool left black
    brain = derive(native(head, data), head.sdt + 2.0, border_mm=0.0)
    assert brain.already_stripped
    expected = filled(closed(data != 0, zooms=head.zooms, radius_mm=3.0))
    assert np.array_equal(brain.mask, expected)
    tight = head.sdt + 2.0 <= 0.01
    assert brain.network_dice == pytest.approx(dice(tight, brain.mask), abs=0.01)
    assert brain.network_dice < 0.95


def test_a_stripped_input_that_counts_from_elsewhere_keeps_its_outline(
    rng: np.random.Generator,
) -> None:
    """Interpolated as floats, z-scored as a whole, in hundreds below 0: the same outline."""
    head = make_phantom(stripped=True)
    data = head.data.astype(np.float32)
    expected = derive(native(head, data), head.sdt, border_mm=0.0).mask
    ringing = rng.normal(0, 1e-9, data.shape).astype(np.float32)
    for other in (data + ringing, (data - data.mean()) / data.std(), data - 1000, ringing - data):
        brain = derive(native(head, other), head.sdt + 2.0, border_mm=0.0)
        assert brain.already_stripped
        assert np.array_equal(brain.mask, expected)


def test_an_ordinary_head_that_counts_from_elsewhere_is_not_flagged() -> None:
    head = make_phantom()
    air = np.where(head.sdt > 14, 0, head.data).astype(np.float32)
    noise = np.random.default_rng(3).normal(0, 0.1, air.shape).astype(np.float32)
    dim = np.where(head.sdt > 3, air * np.float32(0.1), air) + noise
    for other in ((air - air.mean()) / air.std(), air - 1000, -air, air + 1e-9, dim):
        assert stripped_outline(native(head, other), head.sdt) is None


@pytest.mark.parametrize("border", [-3.0, 3.0])
def test_a_border_moves_a_stripped_outline_too(border: float) -> None:
    head = make_phantom(stripped=True)
    brain = derive(native(head), head.sdt, border_mm=border)
    ml = brain.mask.sum() * np.prod(head.zooms) / 1000
    assert ml == pytest.approx(ball_ml(RADIUS_MM + border), rel=0.06)


def test_a_border_moves_a_stripped_outline_in_thick_slices() -> None:
    """Slices of 4 mm: the slice 2 mm beyond the surface is within a border of 2.1 mm."""
    head = make_phantom("anisotropic", stripped=True)
    whole = derive(native(head), head.sdt, border_mm=0.0).mask
    wider = derive(native(head), head.sdt, border_mm=2.1).mask
    highest = [int(np.flatnonzero(m.any(axis=(0, 1)))[-1]) for m in (whole, wider)]
    assert highest[1] == highest[0] + 1


def test_specks_beside_a_stripped_brain_are_dropped() -> None:
    head = make_phantom(stripped=True)
    data = head.data.copy()
    data[0:2, 0:2, 0:2] = 9
    brain = derive(native(head, data), head.sdt, border_mm=0.0)
    assert brain.already_stripped
    assert not brain.mask[0:2, 0:2, 0:2].any()
    assert np.array_equal(brain.mask, head.truth)


def test_a_brain_cut_by_the_field_of_view_keeps_its_outline() -> None:
    head = make_phantom(stripped=True)
    keep = slice(16, None)
    cut = Phantom(head.data[keep], head.sdt[keep], head.affine, head.zooms)
    brain = derive(native(cut), cut.sdt, border_mm=0.0)
    assert brain.already_stripped
    assert brain.mask[0].any()
    assert np.array_equal(brain.mask, cut.sdt <= 0)


def test_specks_and_pinholes_of_the_interpolation_are_mended() -> None:
    head = make_phantom()
    distance = head.sdt.copy()
    middle = tuple(np.argwhere(distance < -20)[0])
    distance[middle] = 0.4
    distance[1, 1, 1] = -0.3
    brain = derive(native(head), distance, border_mm=0.0)
    assert brain.mask[middle]
    assert not brain.mask[1, 1, 1]
    assert np.array_equal(brain.mask, brain.sdt_steps <= 0)
    assert np.array_equal(brain.mask, np.rint(head.sdt / 0.02) <= 0)


def test_a_border_that_leaves_nothing_is_refused() -> None:
    head = make_phantom(radius=10.0)
    with pytest.raises(DeriveError, match="--border"):
        derive(native(head), head.sdt, border_mm=-12.0)


def test_distances_are_stored_within_20_mm() -> None:
    head = make_phantom()
    brain = derive(native(head), head.sdt, border_mm=0.0)
    mm = brain.sdt_steps * STORED_STEP_MM
    assert mm.max() == pytest.approx(20, abs=1e-6)
    assert mm.min() == pytest.approx(-20, abs=1e-6)
    near = np.abs(head.sdt) < 19.9
    assert np.abs(mm - head.sdt)[near].max() <= 0.0101


def test_the_input_is_left_alone() -> None:
    head = make_phantom()
    data, sdt = head.data.copy(), head.sdt.copy()
    derive(native(head), head.sdt, border_mm=1.0)
    assert np.array_equal(head.data, data)
    assert np.array_equal(head.sdt, sdt)


@pytest.mark.parametrize("border", [-0.5, -1.0, -2.0, -3.0, -2.01])
def test_a_tighter_border_keeps_the_larger_lobe(border: float) -> None:
    """Two balls and a thin bridge: one piece at 0, the bridge goes with the border."""
    grid = Grid((60, 30, 30), np.eye(4))
    i, j, k = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    large = np.sqrt((i - 16) ** 2 + (j - 15) ** 2 + (k - 15) ** 2) - 12
    small = np.sqrt((i - 44) ** 2 + (j - 15) ** 2 + (k - 15) ** 2) - 9
    bridge = np.maximum(np.sqrt((j - 15) ** 2 + (k - 15) ** 2) - 0.4, np.abs(i - 30) - 10)
    sdt = np.minimum(np.minimum(large, small), bridge).astype(np.float32)
    brain = derive(Volume(np.ones(grid.shape, np.float32), grid), sdt, border_mm=border)
    assert ndimage.label(brain.mask)[1] == 1
    assert dice(brain.mask, large <= border) > 0.99
    assert not brain.mask[44, 15, 15]
    for stored in (brain.sdt_steps.astype(np.float32) * np.float32(0.02),
                   brain.sdt_steps * STORED_STEP_MM, brain.sdt_steps * 0.02):  # fmt: skip
        assert np.array_equal(brain.mask, stored <= border)
