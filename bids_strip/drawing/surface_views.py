"""A brain's surface from six sides, coloured by a number that belongs to each of its points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Float3
from bids_strip.drawing.pictures import Extent, Layer, Picture, as_webp
from bids_strip.drawing.svg import image, scale, svg, text
from bids_strip.geometry import mapped

Points = NDArray[np.float64]
"""(N, 3), upright mm."""
SPACING_MM = 1.5
"""Of the samples of the distances, and the size of a pixel."""
_AROUND_MM = 3.0
_ZOOM = 1.5
_QUALITY = 70
_HEADING_PX = 18.0
_LEGEND_PX = 44.0
Palette = tuple[tuple[int, int, int], ...]
DIVERGING: Palette = ((0, 90, 160), (110, 175, 220), (245, 245, 245), (240, 165, 85), (190, 75, 0))
"""Blue, white, orange."""
SEQUENTIAL: Palette = ((0, 32, 77), (70, 78, 110), (124, 123, 120), (187, 175, 113), (255, 234, 70))
"""Dark blue to yellow, brighter all the way."""


@dataclass(frozen=True, slots=True)
class Side:
    """From where the surface is looked at.

    Attributes
    ----------
    name
        For the reader.
    axis
        The axis that the eye looks along.
    from_high
        True if the eye is at the axis' right, anterior or superior end.
    right, up
        Axes of the picture.
    mirrored
        True if the axis along the width runs to the left.
    """

    name: str
    axis: int
    from_high: bool
    right: int
    up: int
    mirrored: bool = False


SIDES: tuple[Side, ...] = (
    Side("left", 0, from_high=False, right=1, up=2, mirrored=True),
    Side("right", 0, from_high=True, right=1, up=2),
    Side("front", 1, from_high=True, right=0, up=2, mirrored=True),
    Side("back", 1, from_high=False, right=0, up=2),
    Side("top", 2, from_high=True, right=0, up=1),
    Side("bottom", 2, from_high=False, right=0, up=1, mirrored=True),
)
"""As a person sees them who stands there; the front is up from above and below."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Distances on a lattice along the upright axes.

    Attributes
    ----------
    mm : (I, J, K) float32
        Negative inside.
    low : (3,) float64
        Upright mm of its first point.
    """

    mm: Float3
    low: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """What of the surface is seen from one side.

    Attributes
    ----------
    hit : (height, width) bool
        Where a line of sight meets the surface.
    points : (N, 3) float64
        Where, upright mm, in the order of `hit`.
    normals : (N, 3) float64
        Of the surface there, outwards, of length 1.
    towards : (3,) float64
        From the surface to the eye.
    """

    hit: NDArray[np.bool_]
    points: Points
    normals: Points
    towards: NDArray[np.float64]


def sampled(distances: Layer, brain: Extent, *, mm_per_step: float, border_mm: float) -> Sampled:
    """Sample stored distances around a brain.

    Parameters
    ----------
    distances
        In steps.
    brain
        Where to.
    mm_per_step
        Millimetres of a step.
    border_mm
        Where the surface is.
    """
    low = brain.low - _AROUND_MM
    i, j, k = (int(np.ceil(n / SPACING_MM)) + 1 for n in brain.high + _AROUND_MM - low)
    lattice = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    lattice[:3, 3] = low
    pull = distances.to_voxels @ lattice
    found = ndimage.affine_transform(
        distances.data, pull[:3, :3], pull[:3, 3], (i, j, k), output=np.float32, order=1,
        cval=distances.outside, prefilter=False,
    )  # fmt: skip
    return Sampled(found * np.float32(mm_per_step) - np.float32(border_mm), low)


def seen(surface: Sampled, side: Side) -> Seen:
    """Follow parallel lines of sight to where they first meet the surface.

    Between the sample outside and the sample inside the distance is taken for linear.
    """
    ahead = np.moveaxis(surface.mm, side.axis, -1)
    ahead = ahead[..., ::-1] if side.from_high else ahead
    inside = ahead <= 0
    first = inside.argmax(axis=-1)
    met = inside.any(axis=-1) & (first > 0)
    rows, columns = np.nonzero(met)
    index = first[met]
    beyond, before = ahead[rows, columns, index], ahead[rows, columns, index - 1]
    depth = index - beyond / (beyond - before)
    length = surface.mm.shape[side.axis]
    along = length - 1 - depth if side.from_high else depth
    others = [axis for axis in range(3) if axis != side.axis]
    place = np.empty((len(index), 3))
    place[:, side.axis] = along
    place[:, others[0]], place[:, others[1]] = rows, columns
    towards = np.zeros(3)
    towards[side.axis] = 1.0 if side.from_high else -1.0
    return Seen(met, surface.low + SPACING_MM * place, _normals(surface.mm, place), towards)


def _normals(mm: Float3, place: Points) -> Points:
    """Direction in which distances grow, by differences over the nearest samples."""
    most = np.array(mm.shape) - 2
    i, j, k = np.clip(np.rint(place).astype(int), 1, np.maximum(most, 1)).T
    slope = np.column_stack([
        mm[i + 1, j, k] - mm[i - 1, j, k],
        mm[i, j + 1, k] - mm[i, j - 1, k],
        mm[i, j, k + 1] - mm[i, j, k - 1],
    ]).astype(np.float64)  # fmt: skip
    return np.asarray(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6))


@dataclass(frozen=True, eq=False)
class Painting:
    """How a surface is coloured.

    Attributes
    ----------
    value
        Points and normals, (N, 3) each -> a number a point, (N,).
    palette
        Colours from the least number to the most, at equal steps.
    least, most
        What lies beyond has the last colour.
    marks
        What stands below the scale of colours, at equal steps.
    said
        What the number is.
    """

    value: Callable[[Points, Points], NDArray[np.floating]]
    palette: Palette
    least: float
    most: float
    marks: tuple[str, ...]
    said: str


def painted(view: Seen, side: Side, painting: Painting) -> Picture:
    """Colour what is seen, darker where it turns away from the eye.

    Returns
    -------
    (height, width, 4) uint8
        Clear where there is no surface; upright as `SIDES` says.
    """
    numbers = painting.value(view.points, view.normals)
    stops = np.linspace(painting.least, painting.most, len(painting.palette))
    channels = zip(*painting.palette, strict=True)
    colours = np.column_stack([np.interp(numbers, stops, channel) for channel in channels])
    light = 0.45 + 0.55 * np.clip(view.normals @ view.towards, 0.0, 1.0)
    flat = np.zeros((*view.hit.shape, 4), np.uint8)
    flat[view.hit] = np.column_stack([colours * light[:, None], np.full(len(numbers), 255)])
    return _upright(flat, side)


def _upright(flat: Picture, side: Side) -> Picture:
    """Rows downwards, columns to the right; the axes of `flat` are the two left, in order."""
    turned = flat if side.right > side.up else flat.transpose(1, 0, 2)
    turned = turned[::-1]
    return turned[:, ::-1] if side.mirrored else turned


def at(layer: Layer, points: Points) -> NDArray[np.float32]:
    """Values of a layer at points, interpolated linearly, (N,)."""
    index = mapped(layer.to_voxels, points)
    found = ndimage.map_coordinates(
        layer.data, index.T, output=np.float32, order=1, mode="nearest", prefilter=False
    )
    return np.asarray(found)


def six_sides(surface: Sampled, paintings: Sequence[Painting]) -> bytes:
    """Draw a row of six views for each painting, with its scale, as SVG."""
    views = [seen(surface, side) for side in SIDES]
    rows = [[painted(view, side, painting) for view, side in zip(views, SIDES, strict=True)]
            for painting in paintings]  # fmt: skip
    widths = [picture.shape[1] * _ZOOM for picture in rows[0]]
    height = max(picture.shape[0] for picture in rows[0]) * _ZOOM
    middles = np.cumsum(widths) - np.array(widths) / 2
    parts = [text(x, 13, side.name) for x, side in zip(middles, SIDES, strict=True)]
    for n, (row, painting) in enumerate(zip(rows, paintings, strict=True)):
        top = _HEADING_PX + n * (height + _LEGEND_PX)
        picture = as_webp(_in_a_row(row), quality=_QUALITY)
        parts += [
            image(0, top, sum(widths), height, picture),
            scale(10, top + height + 6, 220, painting.palette, painting.marks, name=f"scale{n}"),
            text(246, top + height + 15, painting.said, anchor="start"),
        ]
    return svg(sum(widths), _HEADING_PX + len(rows) * (height + _LEGEND_PX), parts,
               label="the brain's surface from six sides")  # fmt: skip


def _in_a_row(pictures: Sequence[Picture]) -> Picture:
    """Pictures side by side, each in the middle of the height, on a clear ground."""
    height = max(picture.shape[0] for picture in pictures)
    missing = [height - picture.shape[0] for picture in pictures]
    return np.hstack([
        np.pad(picture, ((room // 2, room - room // 2), (0, 0), (0, 0)))
        for picture, room in zip(pictures, missing, strict=True)
    ])  # fmt: skip
