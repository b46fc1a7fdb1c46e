"""Grids, distances and masks against closed forms, scipy and nibabel."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bids_strip.domain import SDT_LIMIT_MM, Frame
from bids_strip.geometry import (
    STORED_STEP_MM,
    bounding_box,
    brain_region,
    closed,
    corners_apart_mm,
    dice,
    dilated,
    filled,
    gradient_at,
    largest_component,
    mapped,
    native_box,
    off_threshold,
    quantised,
    redistanced,
    resampled,
    resampling_matrix,
    shape_multiple,
    signed_distance,
    to_native,
    windowed,
    within,
)

ISO = (1.0, 1.0, 1.0)
ANISOTROPIC = (1.0, 1.5, 3.0)
ALL_ZOOMS = [ISO, (2.0, 2.0, 2.0), ANISOTROPIC]


def ball(
    radius: float,
    zooms: tuple[float, ...] = ISO,
    half_mm: float = 30.0,
    at: tuple[float, float, float] = (0.3, -0.4, 0.2),
) -> np.ndarray:
    """Signed distance to a sphere in closed form."""
    axes = [np.arange(-half_mm, half_mm + z / 2, z) - c for z, c in zip(zooms, at, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return (np.sqrt(x**2 + y**2 + z**2) - radius).astype(np.float32)


# bounding_box --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("margin_mm", "expected"),
    [
        (0.0, ((4, 9), (9, 12), (2, 31))),
        (4.0, ((0, 13), (7, 14), (1, 32))),  # 4, 2 and 1 voxels, and one more
        (4.1, ((0, 14), (6, 15), (0, 33))),
        (99.0, ((0, 20), (0, 30), (0, 40))),
    ],
)
def test_a_box_holds_the_mask_its_margin_and_a_voxel_within_the_array(
    margin_mm: float, expected: tuple[tuple[int, int], ...]
) -> None:
    mask = np.zeros((20, 30, 40), bool)
    mask[5:8, 10, 3:30] = True
    box = bounding_box(mask, margin_mm=margin_mm, zooms=(1.0, 2.0, 4.0))
    assert box == tuple(slice(*side) for side in expected)


def test_a_box_at_the_arrays_ends_stays_within_them() -> None:
    mask = np.ones((3, 4, 5), bool)
    assert bounding_box(mask, margin_mm=2.0, zooms=ISO) == (slice(0, 3), slice(0, 4), slice(0, 5))


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(ValueError, match="empty"):
        bounding_box(np.zeros((3, 3, 3), bool), margin_mm=1.0, zooms=ISO)


def test_corners_apart_are_the_farthest_ones_distance() -> None:
    """A shift along a diagonal is as long as it is; a turn about one corner tells at the other."""
    one = np.diag([1.0, 2.0, 3.0, 1.0])
    shifted = one.copy()
    shifted[:3, 3] = (2.0, 3.0, 6.0)
    assert corners_apart_mm(one, shifted, (4, 5, 6)) == pytest.approx(7.0)
    stretched = np.diag([1.1, 2.0, 3.0, 1.0])
    assert corners_apart_mm(stretched, one, (41, 5, 6)) == pytest.approx(4.0)
    assert corners_apart_mm(one, one, (4, 5, 6)) == 0.0


# signed_distance -----------------------------------------------------------------------------


@pytest.mark.parametrize("zooms", ALL_ZOOMS)
def test_signed_distance_of_a_ball(zooms: tuple[float, float, float]) -> None:
    true = ball(18.0, zooms)
    found = signed_distance(true <= 0, zooms=zooms, limit_mm=10.0)
    assert found.dtype == np.float32
    assert np.array_equal(found <= 0, true <= 0)
    assert not (found == 0).any()
    assert np.abs(found).max() <= 10.0
    error = found - np.clip(true, -10, 10)
    assert np.abs(error).max() <= max(zooms)  # where a mask puts its edge
    assert abs(error[np.abs(true) < 5].mean()) < 0.25 * max(zooms)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_signed_distance_lies_halfway_between_voxels(axis: int) -> None:
    """A plane across each axis in turn, the thick one too."""
    zooms = (1.0, 1.5, 4.0)
    mask = np.zeros((21, 21, 21), bool)
    np.moveaxis(mask, axis, 0)[:10] = True
    found = signed_distance(mask, zooms=zooms, limit_mm=100.0)
    expected = (np.arange(21) - 9.5) * zooms[axis]
    error = np.abs(np.moveaxis(found, axis, -1) - expected)
    assert error[..., np.abs(expected) <= 4.5].max() < 1e-4  # exact up to 5 mm
    assert error.max() <= 0.6  # farther ones are measured on a coarse grid


def test_signed_distance_where_the_mask_fills_the_array() -> None:
    found = signed_distance(np.ones((4, 5, 6), bool), zooms=ISO, limit_mm=7.0)
    assert (found == -7.0).all()


def test_signed_distance_far_from_the_mask_is_the_limit() -> None:
    mask = np.zeros((60, 8, 8), bool)
    mask[2:4] = True
    found = signed_distance(mask, zooms=ISO, limit_mm=5.0)
    assert (found[20:] == 5.0).all()
    assert (found[4:7] < 5.0).all()


# redistanced ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zooms", ALL_ZOOMS)
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_redistanced_against_the_closed_form(
    zooms: tuple[float, float, float], scale: float
) -> None:
    true = ball(17.0, zooms)
    found = redistanced(true * scale, zooms=zooms, limit_mm=12.0)
    error = np.abs(found - np.clip(true, -12, 12))
    deep = true < -14  # around the centre the nearest point is not unique
    assert error[~deep].mean() < 0.05 * max(zooms)
    assert np.percentile(error[~deep], 99) < 0.2 * max(zooms)
    assert error.max() < 0.6 * max(zooms)


@pytest.mark.parametrize("zooms", ALL_ZOOMS)
def test_redistanced_keeps_signs(zooms: tuple[float, float, float], rng) -> None:
    noise = ndimage.gaussian_filter(rng.standard_normal(ball(10, zooms).shape), 1.5) * 20
    level = (ball(17.0, zooms) + noise).astype(np.float32)
    level[np.abs(level) < 0.05] = 0.0  # exact zeros belong to the inside
    found = redistanced(level, zooms=zooms, limit_mm=12.0)
    assert np.array_equal(found <= 0, level <= 0)
    assert np.abs(found).max() <= 12.0


def test_redistanced_keeps_the_place_of_the_surface_inside_a_voxel() -> None:
    """A plane at 10.3 voxels stays there; a transform of the mask would put it at 10.5."""
    position = np.broadcast_to(np.arange(24)[:, None, None], (24, 12, 12))
    level = ((position - 10.3) * 2.0).astype(np.float32)
    found = redistanced(level * 3.0, zooms=(2.0, 2.0, 2.0), limit_mm=9.0)
    assert np.allclose(found, np.clip(level, -9, 9), atol=1e-3)


def test_redistanced_without_a_surface() -> None:
    found = redistanced(np.full((6, 6, 6), -1, np.float32), zooms=ISO, limit_mm=5.0)
    assert (found == -5.0).all()


# resampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("widen", [True, False])
@pytest.mark.parametrize(
    ("n_in", "n_out", "first", "step"),
    [(20, 10, 0.5, 2.0), (20, 7, 0.9, 2.9), (10, 31, -0.4, 0.3), (9, 9, 0.0, 1.0)],
)
def test_rows_inside_sum_to_one(
    n_in: int, n_out: int, first: float, step: float, widen: bool
) -> None:
    matrix = resampling_matrix(n_in, n_out, first=first, step=step, widen=widen)
    assert matrix.shape == (n_out, n_in)
    assert matrix.dtype == np.float32
    assert (matrix >= 0).all()
    position = first + step * np.arange(n_out)
    inside = (position >= -0.5) & (position <= n_in - 0.5)
    assert np.allclose(matrix.sum(axis=1), inside.astype(float), atol=1e-6)


def test_rows_beyond_the_outer_half_voxel_are_zero() -> None:
    matrix = resampling_matrix(4, 5, first=-0.51, step=1.25)
    position = -0.51 + 1.25 * np.arange(5)
    assert (matrix[0] == 0).all()
    assert (matrix[position > 3.51] == 0).all()
    assert matrix[1].sum() == pytest.approx(1)


@pytest.mark.parametrize("step", [0.37, 1.0, 1.9, 3.4])
def test_a_ramp_stays_a_ramp(step: float) -> None:
    """Away from the ends; a widened tent is symmetric only to a discrete sampling's precision."""
    n_in = 40
    first = 4.2
    n_out = int((n_in - 9) / step)
    position = first + step * np.arange(n_out)
    ramp = np.arange(n_in, dtype=np.float64) * 3 - 5
    linear = resampling_matrix(n_in, n_out, first=first, step=step, widen=False)
    assert np.allclose(linear @ ramp, position * 3 - 5, atol=1e-4)
    wide = resampling_matrix(n_in, n_out, first=first, step=step)
    assert np.abs(wide @ ramp - (position * 3 - 5)).max() < 0.3


def test_resampling_agrees_with_scipy(rng) -> None:
    """Same positions, another implementation: order 1 in voxel coordinates."""
    data = rng.standard_normal((12, 15, 10)).astype(np.float32)
    firsts, steps, shape = (0.3, 1.1, 0.0), (0.7, 0.9, 0.45), (14, 13, 20)
    matrices = tuple(
        resampling_matrix(n, m, first=f, step=s, widen=False)
        for n, m, f, s in zip(data.shape, shape, firsts, steps, strict=True)
    )
    oracle = ndimage.affine_transform(data, np.diag(steps), firsts, shape, order=1)
    assert np.allclose(resampled(data, matrices), oracle, atol=1e-5)


def test_widening_averages_what_lies_between() -> None:
    """A comb of every third voxel keeps its mean where plain interpolation would miss it."""
    comb = np.zeros(60, np.float32)
    comb[1::3] = 1.0
    wide = resampling_matrix(60, 20, first=0.0, step=3.0) @ comb
    plain = resampling_matrix(60, 20, first=0.0, step=3.0, widen=False) @ comb
    assert np.allclose(wide[1:-1], 1 / 3, atol=0.02)
    assert (plain[1:-1] == 0).all()


def test_shape_multiple() -> None:
    assert shape_multiple((1, 16, 17), 16) == (16, 16, 32)
    assert shape_multiple((5, 6, 7), 1) == (5, 6, 7)


# masks ---------------------------------------------------------------------------------------


def test_dilated_by_a_ball() -> None:
    point = np.zeros((21, 21, 21), bool)
    point[10, 10, 10] = True
    zooms = (1.0, 1.0, 2.0)
    i, j, k = np.indices(point.shape) - 10
    expected = np.sqrt(i**2 + j**2 + (2 * k) ** 2) <= 5.0
    assert np.array_equal(dilated(point, zooms=zooms, radius_mm=5.0), expected)


def test_closing_joins_what_is_near_and_leaves_what_is_far() -> None:
    mask = np.zeros((40, 20, 20), bool)
    mask[5:10, 5:15, 5:15] = mask[13:18, 5:15, 5:15] = mask[30:35, 5:15, 5:15] = True
    found = closed(mask, zooms=ISO, radius_mm=3.0)
    assert (found & mask).sum() == mask.sum()
    assert found[10:13, 8:12, 8:12].all()
    assert not found[20:28].any()


def test_closing_loses_and_adds_nothing_at_the_arrays_edge() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[:5] = True
    assert np.array_equal(closed(mask, zooms=ISO, radius_mm=3.0), mask)


@pytest.mark.parametrize("zooms", ALL_ZOOMS)
def test_closing_agrees_with_scipy(zooms: tuple[float, float, float], rng) -> None:
    mask = ndimage.gaussian_filter(rng.standard_normal((24, 24, 24)), 2) > 0.05
    radius = 3.0
    reach = [int(radius / z) for z in zooms]
    axes = np.meshgrid(*(np.arange(-r, r + 1) * z for r, z in zip(reach, zooms, strict=True)),
                       indexing="ij")  # fmt: skip
    element = sum(a**2 for a in axes) <= radius**2 + 1e-9
    padded = np.pad(mask, 5)
    oracle = ndimage.binary_closing(padded, element)[5:-5, 5:-5, 5:-5] | mask
    assert np.array_equal(closed(mask, zooms=zooms, radius_mm=radius), oracle)


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = np.zeros((12, 12, 12), bool)
    mask[2:10, 2:10, 2:10] = True
    mask[5, 5, 5] = False  # enclosed
    mask[2:5, 7, 7] = False  # open to the outside
    found = filled(mask)
    assert found[5, 5, 5]
    assert not found[2:5, 7, 7].any()
    assert np.array_equal(found, ndimage.binary_fill_holes(mask))


def test_a_hole_at_the_arrays_edge_is_open() -> None:
    mask = np.ones((6, 6, 6), bool)
    mask[0, 3, 3] = False
    assert not filled(mask)[0, 3, 3]
    mask[2, 2, 2] = False
    assert filled(mask)[2, 2, 2]


def test_a_diagonal_gap_does_not_open_a_hole() -> None:
    """Outside spreads by faces: a cube closed but for an edge keeps its inside."""
    mask = np.zeros((7, 7, 7), bool)
    mask[1:6, 1:6, 1:6] = True
    mask[3, 3, 3] = mask[4, 4, 3] = False
    assert filled(mask)[3, 3, 3]


def test_largest_component_counts_the_rest() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[1:9, 1:9, 1:9] = mask[12:15, 12:15, 12:15] = mask[17, 17, 17] = True
    kept, rest = largest_component(mask)
    assert kept.sum() == 8**3
    assert kept[1, 1, 1]
    assert rest == (2, 28)


def test_components_touch_by_faces_only() -> None:
    mask = np.zeros((6, 6, 6), bool)
    mask[0:3, 0:3, 0:3] = mask[3, 3, 3] = True
    assert largest_component(mask)[1] == (1, 1)


@pytest.mark.parametrize("mask", [np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)])
def test_one_piece_or_none_is_left_alone(mask: np.ndarray) -> None:
    kept, rest = largest_component(mask)
    assert np.array_equal(kept, mask)
    assert rest == (0, 0)


def test_dice() -> None:
    a, b = np.zeros((2, 5, 5), bool), np.zeros((2, 5, 5), bool)
    assert dice(a, b) == 1.0
    a[0, :3, 0] = True
    b[0, 1:5, 0] = True
    assert dice(a, b) == pytest.approx(2 * 2 / 7)
    assert dice(a, ~a) == 0.0


def test_the_region_holds_near_fluid_and_not_far_fluid() -> None:
    """A ball of tissue in a lake: 6 mm of the lake belong to the brain, whatever the lake."""
    true = ball(15.0)
    region = brain_region(true <= 0, true > 0, zooms=ISO)
    inside = true[region]
    assert inside.max() <= 6.3
    assert np.array_equal(region, brain_region(true <= 0, (true > 0) & (true < 20), zooms=ISO))
    assert region[true <= 5.4].all()


@pytest.mark.parametrize("reach", [2.0, 6.0, 9.0])
def test_the_region_follows_its_reach(reach: float) -> None:
    true = ball(15.0)
    region = brain_region(true <= 0, true > 0, zooms=ISO, reach_mm=reach)
    radius = (3 * region.sum() / (4 * np.pi)) ** (1 / 3)
    assert radius == pytest.approx(15 + reach, abs=0.6)


def test_the_region_closes_sulci_and_fills_holes() -> None:
    true = ball(18.0)
    brain = true <= 0
    brain[28:31, 28:31, 28:31] = False  # a hole
    half = brain.shape[0] // 2
    brain[half, :, half + 8 :] = False  # a sulcus 1 mm wide
    region = brain_region(brain, np.zeros_like(brain), zooms=ISO)
    assert region[29, 29, 29]
    assert region[half, half, half + 8 : half + 14].all()
    assert region.sum() <= (true <= 1.0).sum()


def test_the_region_at_the_arrays_edge_is_not_eaten() -> None:
    brain = np.zeros((30, 30, 30), bool)
    brain[:15, 8:22, 8:22] = True
    region = brain_region(brain, np.zeros_like(brain), zooms=ISO)
    assert np.array_equal(region, brain)


# stored distances ----------------------------------------------------------------------------

BORDERS = [0.0, 0.02, -0.02, 0.1, -0.1, 0.5, -0.5, 1.0, -1.0, 2.0, -3.14, 0.013, 1 / 3, -0.007,
           0.0099, 0.0101, 7.77, 15.0, -15.0, 1e-9, -1e-9]  # fmt: skip


@pytest.mark.parametrize("border", BORDERS)
def test_mask_and_stored_distances_agree_in_every_precision(border: float) -> None:
    steps = off_threshold(np.arange(-1000, 1001, dtype=np.int16), border)
    mask = within(steps, border)
    slope32 = np.float32(0.02)
    in64 = steps.astype(np.float64) * np.float64(slope32)
    in32 = steps.astype(np.float32) * slope32
    decimal = steps.astype(np.float64) * 0.02
    assert np.array_equal(mask, in64 <= border)
    assert np.array_equal(mask, in32 <= np.float32(border))
    assert np.array_equal(mask, in32.astype(np.float64) <= border)
    assert np.array_equal(mask, decimal <= border)


@pytest.mark.parametrize("border", BORDERS)
def test_values_on_the_border_move_by_one_step_at_most(border: float) -> None:
    steps = np.arange(-1000, 1001, dtype=np.int16)
    moved = off_threshold(steps, border)
    assert moved.dtype == np.int16
    assert set(np.unique(steps - moved)) <= {0, 1}
    assert np.count_nonzero(steps != moved) <= 1


def test_quantised_rounds_to_half_a_step_and_clips() -> None:
    mm = np.array([[[-99.0, -20.0, -0.011, -0.009, 0.0, 0.0101, 3.333, 20.0, 1e6]]], np.float32)
    steps = quantised(mm)
    assert steps.dtype == np.int16
    assert steps.ravel().tolist() == [-1000, -1000, -1, 0, 0, 1, 167, 1000, 1000]
    assert np.abs(steps * STORED_STEP_MM - np.clip(mm, -SDT_LIMIT_MM, SDT_LIMIT_MM)).max() <= 0.0101


@pytest.mark.parametrize("at", [20, 21])
@pytest.mark.parametrize("filled_in", [True, False])
def test_a_sheet_of_one_voxel_is_not_lost(at: int, filled_in: bool) -> None:
    """A sulcus or a plate one voxel wide, wherever it lies on the coarse grid."""
    mask = np.zeros((44, 40, 40), dtype=bool)
    mask[4:40, 4:36, 4:36] = not filled_in
    mask[at, 4:36, 4:36] = filled_in
    sdt = signed_distance(mask, zooms=ISO, limit_mm=12.0)
    assert np.array_equal(mask, sdt <= 0)
    beside = np.abs(sdt[[at - 3, at - 2, at - 1, at + 1, at + 2, at + 3], 20, 20])
    assert np.all(np.abs(beside - [2.5, 1.5, 0.5, 0.5, 1.5, 2.5]) <= 1.01)


def test_a_folded_surface_is_near_the_transform() -> None:
    """Against scipy's distance transform of the same mask, three times finer."""
    rng = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(rng.normal(size=(36, 36, 36)), 3.0)
    mask = np.zeros((48, 48, 48), dtype=bool)
    mask[6:42, 6:42, 6:42] = smooth > 0
    fine = np.kron(mask, np.ones((3, 3, 3), dtype=bool))
    outward = ndimage.distance_transform_edt(~fine, sampling=1 / 3) - 1 / 6
    inward = ndimage.distance_transform_edt(fine, sampling=1 / 3) - 1 / 6
    expected = np.where(fine, -inward, outward)[1::3, 1::3, 1::3]
    error = np.abs(signed_distance(mask, zooms=ISO, limit_mm=10.0) - np.clip(expected, -10, 10))
    near = np.abs(expected) < 5
    assert error[near].max() < 1.6
    assert error[near].mean() < 0.45


def test_the_native_box_holds_all_that_a_conformed_box_reaches(rng) -> None:
    """Against `to_native` of a map that is 1 in the box alone."""
    for _ in range(20):
        flips = tuple(bool(f) for f in rng.integers(0, 2, 3))
        axes = tuple(int(a) for a in rng.permutation(3))
        steps = tuple(float(s) for s in rng.uniform(0.5, 3, 3))
        firsts = tuple(float(f) for f in rng.uniform(-4, 4, 3))
        frame = Frame(axes, flips, (31, 29, 27), firsts, steps)
        box = tuple(slice(int(a), int(a) + int(n)) for a, n in zip(
            rng.integers(0, 6, 3), rng.integers(1, 6, 3), strict=True))  # fmt: skip
        held = np.zeros((12, 12, 12), np.float32)
        held[box] = 1
        reached = to_native(held, frame, (slice(None), slice(None), slice(None))) > 0
        reached[native_box(box, frame)] = False
        assert not reached.any()


# slopes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("zooms", ALL_ZOOMS)
def test_slopes_at_some_voxels_are_numpys(zooms, rng) -> None:
    """Those at the array's edges too."""
    data = rng.standard_normal((5, 2, 7)).astype(np.float32)
    at = np.nonzero(np.ones(data.shape, bool))
    for found, expected in zip(
        gradient_at(data, at, zooms), np.gradient(data, *zooms), strict=True
    ):
        assert found == pytest.approx(np.asarray(expected)[at], abs=1e-5)


def test_one_plane_has_no_slope_across_it(rng) -> None:
    data = rng.standard_normal((3, 1, 3)).astype(np.float32)
    _, across, _ = gradient_at(data, np.nonzero(data < 9), ISO)
    assert not across.any()


def test_a_point_of_a_part_lies_where_the_grids_own_point_lies(rng) -> None:
    affine = np.eye(4)
    affine[:3] = rng.standard_normal((3, 4))
    shape, window = (17, 19, 23), (slice(2, 9), slice(None, None, 3), slice(4, 20, 5))
    own = np.moveaxis(np.indices(shape), 0, -1)[window]
    part = np.moveaxis(np.indices(own.shape[:3]), 0, -1)
    expected = nib.affines.apply_affine(affine, own)
    assert mapped(windowed(affine, window), part) == pytest.approx(expected, abs=1e-12)
