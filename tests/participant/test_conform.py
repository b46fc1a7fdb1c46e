"""Native grid -> the network's: expectations written by hand, and world coordinates kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_strip.card import Intensity
from bids_strip.domain import Conformed, Grid, Prediction, Volume
from bids_strip.errors import ConformError
from bids_strip.geometry import to_native
from bids_strip.participant.conform import conform, cut_short, frame_of, head_box, oriented, scaled
from tests.fakes import (
    BRAIN,
    CARD,
    CENTRE_MM,
    GRIDS,
    RADIUS_MM,
    conformed_world,
    grid_affine,
    make_phantom,
    world_of,
)

FINE = replace(CARD, zooms=(2.0, 2.0, 2.0), multiple=16)


def volume(directions: str, shape: tuple[int, int, int], zooms: tuple[float, ...]) -> Volume:
    return Volume(np.zeros(shape, np.float32), Grid(shape, grid_affine(directions, shape, zooms)))


# directions, shape, zooms -> axes, flips, conformed shape at 2 mm in multiples of 16
EXPECTED = [
    # as the card: nothing turned; 64 mm -> 32, 96 -> 48, 50 -> 25 -> 32
    ("RAS", (64, 96, 50), (1.0, 1.0, 1.0), (0, 1, 2), (False, False, False), (32, 48, 32)),
    # i runs to the left
    ("LAS", (64, 96, 50), (1.0, 1.0, 1.0), (0, 1, 2), (True, False, False), (32, 48, 32)),
    # i to the left, j to the back
    ("LPS", (64, 96, 50), (1.0, 1.0, 1.0), (0, 1, 2), (True, True, False), (32, 48, 32)),
    # R is behind k, A behind i (against it), S behind j: extents of x, y, z: 50, 64, 96 mm
    ("PSR", (64, 96, 50), (1.0, 1.0, 1.0), (2, 0, 1), (False, True, False), (32, 32, 48)),
    # turned by less than 45 degrees: its own axes stay
    ("oblique", (64, 96, 50), (1.0, 1.0, 1.0), (0, 1, 2), (False, False, False), (32, 48, 32)),
    # thick slices: 20 x 4 mm = 80 mm -> 40 -> 48
    ("LAS", (128, 128, 20), (0.5, 0.5, 4.0), (0, 1, 2), (True, False, False), (32, 32, 48)),
    # 65 mm do not fit into 32 voxels
    ("RAS", (65, 64, 64), (1.0, 1.0, 1.0), (0, 1, 2), (False, False, False), (48, 32, 32)),
]


@pytest.mark.parametrize(("directions", "shape", "zooms", "axes", "flips", "expected"), EXPECTED)
def test_axes_flips_and_shape(directions, shape, zooms, axes, flips, expected) -> None:
    frame, found = frame_of(volume(directions, shape, zooms), FINE)
    assert (frame.axes, frame.flips, found) == (axes, flips, expected)
    assert frame.native_shape == shape
    assert conform(
        Volume(np.indices(shape).sum(0).astype(np.float32), Grid(shape, np.diag([*zooms, 1.0]))),
        FINE,
    ).zooms == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("codes", ["RAS", "LIA", "PSR"])
@pytest.mark.parametrize("name", GRIDS)
def test_the_phantom_stays_where_it_is_in_the_world(name: str, codes: str) -> None:
    head = make_phantom(name)
    data = head.data * (head.sdt <= 0)
    card = replace(CARD, axis_codes=codes, intensity=Intensity((0.0, 100.0), (0.0, 1.0)))
    conformed = conform(Volume(data, Grid(data.shape, head.affine)), card)
    world = conformed_world(conformed, head.affine)
    weight = conformed.data / conformed.data.sum()
    centre = [(world[..., a] * weight).sum() for a in range(3)]
    assert np.allclose(centre, CENTRE_MM, atol=0.25)
    volume = float((conformed.data > 0.5).sum()) * CARD.zooms[0] ** 3
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3, rel=0.06)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SRA"])
def test_the_axes_point_where_the_card_says(name: str, codes: str) -> None:
    """A ramp along each world axis grows along the conformed axis of that code."""
    directions, shape, zooms = GRIDS[name]
    affine = grid_affine(directions, shape, zooms)
    card = replace(CARD, axis_codes=codes)
    for axis, code in enumerate(codes):
        world_axis = next(n for n, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        ramp = world_of(shape, affine)[..., world_axis].astype(np.float32)
        found = conform(Volume(ramp, Grid(shape, affine)), card).data
        middle = tuple(n // 2 for n in found.shape)
        change = [
            float(np.diff(np.take(found, [m - 1, m + 1], axis=a)[
                tuple(slice(None) if b == a else middle[b] for b in range(3))]).item())
            for a, m in enumerate(middle)
        ]  # fmt: skip
        assert int(np.argmax(np.abs(change))) == axis
        assert (change[axis] > 0) == (code in "RAS")


@pytest.mark.parametrize("name", GRIDS)
def test_a_ramp_of_the_world_keeps_its_values(name: str) -> None:
    """Each conformed voxel holds the value of the world at its own place."""
    directions, shape, zooms = GRIDS[name]
    affine = grid_affine(directions, shape, zooms)
    world = world_of(shape, affine)
    ramp = (world @ np.array([1.0, 0.5, -0.3])).astype(np.float32)
    card = replace(CARD, intensity=Intensity((0.0, 100.0), (-1e9, 1e9)))
    conformed = conform(Volume(ramp, Grid(shape, affine)), card)
    expected = conformed_world(conformed, affine) @ np.array([1.0, 0.5, -0.3])
    inner = tuple(slice(n // 4, -(n // 4)) for n in conformed.data.shape)
    found, true = conformed.data[inner].ravel(), expected[inner].ravel()
    slope, intercept = np.polyfit(true, found, 1)
    residual_mm = (found - (slope * true + intercept)) / slope
    assert np.abs(residual_mm).max() < 0.35  # a widened tent at odd steps: an eighth of a voxel
    assert slope > 0
    assert abs((0.5 - intercept) / slope - (ramp.min() + ramp.max()) / 2) < 1.5


def test_outside_the_field_of_view_is_zero() -> None:
    data = np.full((30, 30, 30), 5.0, np.float32)
    data[10:20] = 9.0
    conformed = conform(Volume(data, Grid(data.shape, np.diag([2.5, 2.5, 2.5, 1.0]))), FINE)
    world = conformed_world(conformed, np.diag([2.5, 2.5, 2.5, 1.0]))
    outside = ((world < -1.26) | (world > 29 * 2.5 + 1.26)).any(axis=-1)
    assert outside.any()
    assert (conformed.data[outside] == 0).all()


def test_percentiles_are_of_the_field_of_view_alone() -> None:
    """The padding does not count: the darkest voxel seen becomes 0, the brightest 1."""
    data = np.linspace(100, 200, 20**3, dtype=np.float32).reshape(20, 20, 20)
    rule = Intensity((0.0, 100.0), (0.0, 1.0))
    seen = np.zeros((20, 20, 20), bool)
    seen[:10] = True
    found = scaled(data, seen, rule)
    assert found[0, 0, 0] == 0
    assert found[9, 19, 19] == pytest.approx(1)
    assert (found[10:] == 0).all()
    assert found.dtype == np.float32


def test_clipping_follows_the_card() -> None:
    data = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    found = scaled(data, np.ones(data.shape, bool), Intensity((10.0, 90.0), (-0.05, 1.1)))
    assert found.min() == pytest.approx(-0.05)
    assert found.max() == pytest.approx(1.1)


def test_a_nearly_empty_image_is_scaled_by_its_extremes() -> None:
    """Both percentiles are 0: one bright voxel in a thousand still becomes 1."""
    data = np.zeros((20, 20, 20), np.float32)
    data[3, 3, 3] = 50.0
    found = scaled(data, np.ones(data.shape, bool), Intensity((1.0, 99.0), (0.0, 1.3)))
    assert found[3, 3, 3] == pytest.approx(1.0)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("zooms", [(40.0, 1.0, 1.0), (1.0, 1.0, 300.0)])
def test_a_field_of_view_beyond_any_head_is_refused(zooms: tuple[float, ...]) -> None:
    with pytest.raises(ConformError, match=r"larger than a head .*mm") as caught:
        conform(volume("RAS", (20, 20, 20), zooms), CARD)
    assert "\n" not in str(caught.value)
    assert caught.value.stage == "conform"


@pytest.mark.parametrize("zooms", [(0.001, 0.001, 0.001), (1.0, 1e-6, 1.0)])
def test_a_field_of_view_that_holds_no_head_is_refused(zooms: tuple[float, ...]) -> None:
    """As of voxel sizes in metres."""
    with pytest.raises(ConformError, match=r"holds no head .*in mm"):
        conform(volume("RAS", (20, 20, 20), zooms), CARD)


@pytest.mark.parametrize("name", GRIDS)
def test_turning_there_and_back_changes_nothing(name: str, rng) -> None:
    head = make_phantom(name)
    data = rng.standard_normal(head.data.shape).astype(np.float32)
    frame, _ = frame_of(Volume(data, Grid(data.shape, head.affine)), CARD)
    still = replace(frame, firsts=(0.0, 0.0, 0.0), steps=(1.0, 1.0, 1.0))
    everywhere = (slice(None), slice(None), slice(None))
    assert np.array_equal(to_native(oriented(data, frame), still, everywhere), data)


@pytest.mark.parametrize("excess", [1e-7, 1e-5])
def test_rounding_of_the_affine_does_not_enlarge_the_grid(excess: float) -> None:
    """256 voxels of 1.0000001 mm, as a float32 affine gives them, are 128 voxels of 2 mm.

    One voxel more and the sides jump to the next multiple: 144, with 42 % more work.
    """
    zoom = 1.0 + excess
    _, shape = frame_of(volume("RAS", (256, 256, 256), (zoom, zoom, zoom)), FINE)
    assert shape == (128, 128, 128)


def test_the_conformed_brain_is_bright() -> None:
    head = make_phantom()
    conformed = conform(Volume(head.data, Grid(head.data.shape, head.affine)), CARD)
    world = conformed_world(conformed, head.affine)
    deep = np.linalg.norm(world - np.array(CENTRE_MM), axis=-1) < RADIUS_MM - 8
    assert conformed.data[deep].min() > 0.8 * BRAIN / head.data.max()


def in_air(shape: tuple[int, int, int], zooms: tuple[float, float, float], air: float) -> Volume:
    """A ball of 80 mm about the middle of a larger field, noise everywhere."""
    middle = (np.array(shape) - 1) / 2
    away = (np.moveaxis(np.indices(shape), 0, -1) - middle) * zooms
    ball = 1000.0 * (np.linalg.norm(away, axis=-1) <= 80)
    noise = np.random.default_rng(2).uniform(0, air, shape)
    return Volume((ball + noise).astype(np.float32), Grid(shape, np.diag([*zooms, 1.0])))


@pytest.mark.parametrize("air", [0.0, 50.0])
def test_the_field_of_view_is_cut_to_the_head_with_room_around_it(air: float) -> None:
    zooms = (2.0, 3.0, 4.0)
    shape = (150, 90, 60)
    box = head_box(in_air(shape, zooms, air))
    for side, size, zoom in zip(box, shape, zooms, strict=True):
        for end, middle in ((side.start, (size - 1) / 2), (side.stop - 1, (size - 1) / 2)):
            room = abs(end - middle) * zoom - 80
            assert 6 <= room <= 25  # a plane 6 mm below the ball's top holds 4 cm^2


@pytest.mark.parametrize("air", [1000.0, -1000.0])
def test_nothing_is_cut_where_the_air_is_not_dark(air: float) -> None:
    head = in_air((100, 100, 100), (3.0, 3.0, 3.0), abs(air))
    data = head.data if air > 0 else -head.data
    assert head_box(Volume(data, head.grid)) == (slice(0, 100),) * 3


def test_a_cut_field_conforms_to_the_same_head() -> None:
    """The same voxels, no more than the head's, wherever the head lies in a wider field."""
    head = in_air((90, 90, 90), (2.0, 2.0, 2.0), 0.0)
    wide = np.pad(head.data, ((30, 70), (0, 110), (50, 50)))
    near, far = (conform(Volume(data, Grid(data.shape, head.grid.affine)), FINE)
                 for data in (head.data, wide))  # fmt: skip
    assert far.data.shape == near.data.shape
    assert far.data.sum() == pytest.approx(near.data.sum(), rel=0.01)


def test_a_head_that_fades_away_is_looked_at_whole() -> None:
    """A surface coil leaves half of it as dark as air: the prediction tells that it goes on."""
    head = in_air((120, 120, 120), (2.0, 2.0, 2.0), 0.0)
    fading = np.exp(-np.arange(120) * 2 / 30, dtype=np.float32)
    volume = Volume(head.data * fading, head.grid)
    conformed = conform(volume, FINE)
    assert conformed.data.shape[2] < 112
    middle = np.array([119.0, 119.0, 119.0])

    def told(found: Conformed) -> Prediction:
        index = np.moveaxis(np.indices(found.data.shape), 0, -1)
        place = np.empty(index.shape)
        for axis, (own, first, step) in enumerate(
            zip(found.frame.axes, found.frame.firsts, found.frame.steps, strict=True)
        ):
            at = first + step * index[..., axis]
            place[..., own] = 2 * (119 - at if found.frame.flips[axis] else at)
        return Prediction((np.linalg.norm(place - middle, axis=-1) - 70).astype(np.float32))

    assert cut_short(told(conformed), conformed)
    whole = conform(volume, FINE, whole=True)
    assert min(whole.data.shape) >= 120
    assert not cut_short(told(whole), whole)
    plain = conform(head, FINE)
    assert not cut_short(told(plain), plain)


def one_end_cut(directions: str, *, lit_first: bool) -> tuple[Volume, Conformed]:
    """A field of 240 mm of which one half is lit, so that its other end is cut away."""
    shape, zooms = (120, 60, 60), (2.0, 2.0, 2.0)
    data = np.zeros(shape, np.float32)
    data[:50] = 1000
    found = Volume(
        data if lit_first else data[::-1], Grid(shape, grid_affine(directions, shape, zooms))
    )
    return found, conform(found, FINE)


@pytest.mark.parametrize("lit_first", [True, False])
@pytest.mark.parametrize("directions", ["RAS", "LAS"])
def test_a_brain_near_a_face_is_cut_where_the_field_was(directions: str, lit_first: bool) -> None:
    """At the first plane or the last, whichever way the axis runs; no other face is cut."""
    _, conformed = one_end_cut(directions, lit_first=lit_first)
    cut = -1 if lit_first == (directions == "RAS") else 0
    assert conformed.data.shape == (64, 64, 64)
    brain_mm = np.full(conformed.data.shape, 20, np.float32)
    brain_mm[10:-10, 10:-10, 10:-10] = -5  # 681 ml
    assert not cut_short(Prediction(brain_mm), conformed)
    for axis in range(3):
        for end in (0, -1):
            for near_mm, is_near in ((5.9, True), (6.1, False)):
                found = brain_mm.copy()
                found.swapaxes(0, axis)[end, 30, 30] = near_mm
                expected = is_near and (axis, end) == (0, cut)
                assert cut_short(Prediction(found), conformed) is expected


def test_hardly_any_brain_in_a_cut_field_is_looked_for_in_the_whole() -> None:
    volume, conformed = one_end_cut("RAS", lit_first=True)
    nothing = Prediction(np.full(conformed.data.shape, 20, np.float32))
    assert cut_short(nothing, conformed)
    whole = conform(volume, FINE, whole=True)
    assert not cut_short(Prediction(np.full(whole.data.shape, 20, np.float32)), whole)
    some = nothing.brain_mm.copy()
    some[20:49, 20:49, 20:49] = -5  # 195 ml
    assert cut_short(Prediction(some), conformed)
    some[20:50, 20:50, 20:49] = -5  # 209 ml
    assert not cut_short(Prediction(some), conformed)
