"""Pictures of a sphere whose place in the world is known, on grids of all directions."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bids_strip.domain import Grid
from bids_strip.drawing.pictures import (
    AXIAL,
    CONTOUR,
    CORONAL,
    FAR,
    MOSAIC,
    SAGITTAL,
    TILE,
    Layer,
    Plane,
    Strip,
    as_webp,
    curtain,
    cut,
    edge,
    extent_of,
    grey,
    outlined,
    overlay,
    upright_to_voxels,
    whole,
    window,
)
from bids_strip.drawing.surface_views import SIDES, Painting, painted, sampled, seen
from bids_strip.geometry import quantised
from tests.fakes import CENTRE_MM, DIRECTIONS, GRIDS, RADIUS_MM, Phantom, make_phantom, world_of

PLANES = (SAGITTAL, CORONAL, AXIAL)


class Shown:
    """A phantom set up for cutting; what a slice shows of the world is asked of the world."""

    def __init__(self, head: Phantom) -> None:
        self.head, self.grid = head, Grid(head.data.shape, head.affine)
        self.to_voxels = upright_to_voxels(self.grid)
        self.brain = extent_of(head.truth, self.to_voxels, head.zooms)

    def layer(self, data: np.ndarray, outside: float = 0.0) -> Layer:
        return Layer(data, self.to_voxels, outside)

    def places(self, layout) -> np.ndarray:
        """World position of each pixel: a coordinate is linear, so that no slice bends it."""
        world = world_of(self.head.data.shape, self.head.affine)
        return np.stack(
            [cut(self.layer(world[..., axis], np.nan), layout, self.brain) for axis in range(3)],
            axis=-1,
        )


@pytest.fixture(params=GRIDS)
def shown(request: pytest.FixtureRequest) -> Shown:
    return Shown(make_phantom(request.param))


@pytest.mark.parametrize("layout", [TILE, MOSAIC], ids=["tile", "mosaic"])
def test_the_contour_lies_on_the_sphere(shown: Shown, layout) -> None:
    steps = quantised(shown.head.sdt)
    inside = cut(shown.layer(steps, 1000.0), layout, shown.brain) <= 0
    places = shown.places(layout)
    px = np.nanmin(np.linalg.norm(np.diff(places, axis=1), axis=-1))
    radius = np.linalg.norm(places[edge(inside)] - CENTRE_MM, axis=1)
    assert len(radius) > 1000
    # a pixel wide inwards, and half a voxel's sag of distances between voxels
    assert np.nanmax(radius) < RADIUS_MM + 0.3
    assert np.nanmin(radius) > RADIUS_MM - 1.5 * px - 0.6


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_slices_stand_upright(shown: Shown, plane: Plane, request) -> None:
    """Anterior to the left in sagittal slices, left on the left elsewhere; up is up."""
    places = shown.places(((Strip(plane, 1, 80, 70),),))
    along, down = (np.nanmean(np.diff(places, axis=axis), axis=(0, 1)) for axis in (1, 0))
    right = {"sagittal": (0, -1, 0), "coronal": (1, 0, 0), "axial": (1, 0, 0)}[plane.name]
    up = {"sagittal": (0, 0, 1), "coronal": (0, 0, 1), "axial": (0, 1, 0)}[plane.name]
    turned = np.abs(DIRECTIONS[GRIDS[request.node.callspec.params["shown"]][0]])
    for way, ought in ((along, right), (-down, up)):
        axis = int(np.argmax(np.abs(ought)))
        expected = turned[axis].max()  # the voxel axis nearest to it: 1 where nothing is turned
        assert np.dot(way, ought) / np.linalg.norm(way) == pytest.approx(expected, abs=1e-3)
    assert np.linalg.norm(along) == pytest.approx(np.linalg.norm(down), rel=1e-3)


def test_a_mark_shows_where_it_is(shown: Shown) -> None:
    """A bright ball to the right, in front and above of the middle of the brain."""
    world = world_of(shown.head.data.shape, shown.head.affine)
    ball = np.linalg.norm(world - (np.array(CENTRE_MM) + 11.0), axis=-1) < 9
    for plane, (left, upper) in zip(PLANES, ((True, True), (False, True), (False, True)),
                                    strict=True):  # fmt: skip
        layout = ((Strip(plane, 5, 80, 80),),)
        found = cut(shown.layer(ball.astype(np.uint8)), layout, shown.brain)
        rows, columns = np.nonzero(found > 0.5)
        assert len(rows) > 20
        assert (columns % 80 < 40).all() == left
        assert (columns % 80 >= 40).all() == (not left)
        assert (rows < 40).all() == upper


def test_all_heads_make_pictures_of_one_size(shown: Shown) -> None:
    data = shown.layer(shown.head.data)
    assert cut(data, TILE, shown.brain).shape == (104, 1144)
    assert cut(data, MOSAIC, shown.brain).shape == (418, 1104)
    assert cut(data, FAR, shown.brain, whole(shown.grid)).shape == (130, 1104)


def test_the_whole_field_of_view_fits(shown: Shown) -> None:
    """Nothing of it is cut off: its middle slices have all of its width, and black beside it."""
    ones = np.ones(shown.grid.shape, np.uint8)
    layout = ((Strip(AXIAL, 1, 60, 60), Strip(CORONAL, 1, 60, 60)),)
    found = cut(shown.layer(ones), layout, shown.brain, whole(shown.grid))
    assert found[30, :60].sum() > 30
    assert not found[[0, -1]][:, [0, 59, 60, 119]].any() or min(found.shape) == 60
    assert found.max() == 1


def test_the_overlay_is_the_ring_and_the_curtain_what_is_outside() -> None:
    inside = np.zeros((7, 8), bool)
    inside[2:6, 1:6] = True
    ring = np.zeros_like(inside)
    ring[[2, 5], 1:6] = ring[2:6, 1] = ring[2:6, 5] = True
    assert np.array_equal(edge(inside), ring)
    lines = overlay(inside)
    assert np.array_equal(lines[..., 3] > 0, ring)
    assert (lines[ring][:, :3] == CONTOUR).all()
    assert np.array_equal(curtain(inside)[..., 3] == 255, ~inside)
    on = outlined(grey(np.zeros((7, 8), np.float32), 0, 1), inside)
    assert (on[ring] == CONTOUR).all()
    assert not on[~ring].any()


def test_layers_are_kept_to_the_pixel(rng: np.random.Generator) -> None:
    inside = rng.random((40, 60)) > 0.5
    for picture in (overlay(inside), curtain(inside)):
        content = as_webp(picture, quality=None)
        found = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
        assert np.array_equal(found[..., 3], picture[..., 3])
        clear = picture[..., 3] == 0
        assert np.array_equal(found[~clear], picture[~clear])
        assert content == as_webp(picture, quality=None)


def test_the_window_holds_the_brain() -> None:
    head = make_phantom()
    black, white = window(head.data, head.truth, head.zooms)
    assert black < 10
    assert 1000 <= white < 1200


@pytest.mark.parametrize("slices", [1, 2])
def test_a_field_of_view_of_few_slices(slices: int) -> None:
    """Flat images are drawn too."""
    data = np.full((30, 30, slices), 50.0, np.float32)
    grid = Grid((30, 30, slices), np.diag([2.0, 2.0, 5.0, 1.0]))
    to_voxels = upright_to_voxels(grid)
    inside = np.zeros(data.shape, bool)
    inside[10:20, 10:20] = True
    brain = extent_of(inside, to_voxels, grid.zooms)
    assert cut(Layer(data, to_voxels), MOSAIC, brain).max() == 50


# the surface from six sides


def test_lines_of_sight_meet_the_sphere(shown: Shown) -> None:
    steps = shown.layer(quantised(shown.head.sdt), 1000.0)
    surface = sampled(steps, shown.brain, mm_per_step=0.02, border_mm=0.0)
    world = shown.grid.affine @ shown.to_voxels
    for side in SIDES:
        view = seen(surface, side)
        away = view.points @ world[:3, :3].T + world[:3, 3] - CENTRE_MM
        radius = np.linalg.norm(away, axis=1)
        assert np.abs(radius - RADIUS_MM).max() < 0.8
        assert np.abs(radius - RADIUS_MM).mean() < 0.25
        outwards = (view.normals @ world[:3, :3].T * away).sum(axis=1) / radius
        assert outwards.min() > 0.95
        area = view.hit.sum() * 1.5**2
        assert area == pytest.approx(np.pi * RADIUS_MM**2, rel=0.05)
        # the near half
        assert (view.points @ view.towards > (shown.brain.low + shown.brain.high) / 2
                @ view.towards - 2).all()  # fmt: skip


FACING = {
    # side: what grows to the right of the picture, and upwards, of R, A, S
    "left": ((0, -1, 0), (0, 0, 1)),
    "right": ((0, 1, 0), (0, 0, 1)),
    "front": ((-1, 0, 0), (0, 0, 1)),
    "back": ((1, 0, 0), (0, 0, 1)),
    "top": ((1, 0, 0), (0, 1, 0)),
    "bottom": ((-1, 0, 0), (0, 1, 0)),
}


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_views_are_as_a_person_there_sees_them(side) -> None:
    """The surface is painted by its coordinate; the picture must grow brighter that way."""
    shown = Shown(make_phantom("LPS"))
    surface = sampled(shown.layer(quantised(shown.head.sdt), 1000.0), shown.brain,
                      mm_per_step=0.02, border_mm=0.0)  # fmt: skip
    middle = (shown.brain.low + shown.brain.high) / 2
    for axis, way in enumerate(FACING[side.name]):
        toward = np.array(way, float)
        ramp = Painting(lambda points, _, w=toward: (points - middle) @ w,
                        ((0, 0, 0), (255, 255, 255)), -30, 30, (), "")  # fmt: skip
        picture = painted(seen(surface, side), side, ramp)
        rows, columns = np.nonzero(picture[..., 3])
        place = (columns, -rows)[axis]
        assert np.corrcoef(place, picture[rows, columns, 0])[0, 1] > 0.85
