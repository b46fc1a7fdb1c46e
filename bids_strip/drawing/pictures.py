"""Slices of a head and the outline of its brain, as small pictures.

Words:

scene
    A head, its surface, and where both lie for an eye that looks along its axes.
upright mm
    Millimetres along right, anterior, superior, counted along the axes of the voxels.

Planes are shown as in an atlas: anterior to the left in sagittal slices, left on the left
elsewhere, superior or anterior up. All heads make pictures of the same size.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Bool3, Float3, Grid
from bids_strip.geometry import bounding_box, every_nth, mapped

Picture = NDArray[np.uint8]
"""(height, width, 3) RGB, or (height, width, 4) RGB and opacity."""
Region = NDArray[np.bool_]
"""(height, width), True inside."""
CONTOUR = (255, 176, 0)
SECOND = (64, 190, 255)
"""Colours of contours that colour-blind people tell apart, on grey."""
_MARGIN_MM = 12.0
_SAMPLES_MM = 3.0
_ROOM = (0.1, 0.9)
"""Outermost slices, as shares of the brain's extent."""


@dataclass(frozen=True, slots=True)
class Plane:
    """How slices across one axis are shown.

    Attributes
    ----------
    name
        For the reader.
    across
        Axis that the slices are cut across: 0 right, 1 anterior, 2 superior.
    right, up
        Axes that run along the picture.
    mirrored
        True if the axis along the width runs to the left.
    """

    name: str
    across: int
    right: int
    up: int
    mirrored: bool = False


SAGITTAL = Plane("sagittal", across=0, right=1, up=2, mirrored=True)
CORONAL = Plane("coronal", across=1, right=0, up=2)
AXIAL = Plane("axial", across=2, right=0, up=1)


@dataclass(frozen=True, slots=True)
class Strip:
    """Slices of one plane, side by side.

    Attributes
    ----------
    plane
        How they are cut.
    slices
        How many.
    width, height
        Of each, pixels.
    """

    plane: Plane
    slices: int
    width: int
    height: int


Layout = tuple[tuple[Strip, ...], ...]
"""Rows of strips."""
TILE: Layout = (
    (Strip(SAGITTAL, 4, 110, 104), Strip(CORONAL, 4, 88, 104), Strip(AXIAL, 4, 88, 104)),
)
MOSAIC: Layout = (
    (Strip(AXIAL, 8, 138, 162),),
    (Strip(CORONAL, 8, 138, 128),),
    (Strip(SAGITTAL, 6, 184, 128),),
)
FAR: Layout = (
    (Strip(AXIAL, 3, 110, 130), Strip(CORONAL, 3, 110, 130), Strip(SAGITTAL, 3, 148, 130)),
)


@dataclass(frozen=True, eq=False)
class Extent:
    """A box in upright mm, (3,) float64 each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layer:
    """Values that a slice can be cut of.

    Attributes
    ----------
    data : (I, J, K)
        Numbers of any type.
    to_voxels : (4, 4) float64
        Upright mm -> voxels of `data`.
    outside
        What lies beyond.
    """

    data: NDArray[Any]
    to_voxels: Affine
    outside: float = 0.0


def upright_to_voxels(grid: Grid) -> Affine:
    """Upright mm of a grid -> its voxels; 0 mm at its first voxels from the left, back, below."""
    matrix = np.eye(4)
    for voxel_axis, (axis, way) in enumerate(nib.orientations.io_orientation(grid.affine)):
        matrix[voxel_axis, :3] = 0.0
        matrix[voxel_axis, int(axis)] = way / grid.zooms[voxel_axis]
        matrix[voxel_axis, 3] = grid.shape[voxel_axis] - 1 if way < 0 else 0.0
    return matrix


def extent_of(inside: Bool3, to_voxels: Affine, zooms: Sequence[float]) -> Extent:
    """The box around a region.

    Parameters
    ----------
    inside : (I, J, K) bool
        Not empty.
    to_voxels
        As in a `Layer`.
    zooms
        Of its voxels, mm.

    Raises
    ------
    ValueError
        If it is empty.
    """
    i, j, k = zooms
    box = bounding_box(inside, margin_mm=0.0, zooms=(i, j, k))
    ends = np.array([[side.start, side.stop - 1] for side in box], dtype=float)
    back = np.linalg.inv(to_voxels)
    corners = mapped(back, ends.T)
    return Extent(corners.min(axis=0), corners.max(axis=0))


def whole(grid: Grid) -> Extent:
    """The box of a field of view."""
    turn = nib.orientations.io_orientation(grid.affine)
    far = np.zeros(3)
    for voxel_axis, (axis, _) in enumerate(turn):
        far[int(axis)] = (grid.shape[voxel_axis] - 1) * grid.zooms[voxel_axis]
    return Extent(np.zeros(3), far)


def cut(layer: Layer, layout: Layout, brain: Extent, shown: Extent | None = None) -> Float3:
    """Cut slices and lay them out.

    Parameters
    ----------
    layer
        What to cut.
    layout
        Which slices, and how large.
    brain
        The slices are spread evenly over it.
    shown
        What has to fit into every slice; None takes the brain and some room around it.

    Returns
    -------
    (height, width) float32
        Values, interpolated linearly; all slices to one scale, which `shown` decides.
    """
    room = shown or Extent(brain.low - _MARGIN_MM, brain.high + _MARGIN_MM)
    mm_per_px = _scale(layout, room)
    rows = [[_strip(layer, strip, brain, room, mm_per_px) for strip in row] for row in layout]
    return np.vstack([np.hstack(row) for row in rows])


def _scale(layout: Layout, room: Extent) -> float:
    """The least mm a pixel at which all of the room fits into each slice."""
    sides = room.high - room.low
    return max(
        max(
            float(sides[strip.plane.right]) / strip.width,
            float(sides[strip.plane.up]) / strip.height,
        )
        for row in layout
        for strip in row
    )


def _strip(
    layer: Layer, strip: Strip, brain: Extent, room: Extent, mm_per_px: float
) -> NDArray[np.float32]:
    """Slices of one plane, in one resampling: its axes are slice, row, column."""
    plane = strip.plane
    depth = brain.high[plane.across] - brain.low[plane.across]
    first, last = (brain.low[plane.across] + share * depth for share in _ROOM)
    middle = (room.low + room.high) / 2
    side = -1.0 if plane.mirrored else 1.0
    to_upright = np.zeros((4, 4))
    to_upright[3, 3] = 1.0
    to_upright[plane.across, 0] = (last - first) / max(strip.slices - 1, 1)
    to_upright[plane.across, 3] = first
    to_upright[plane.up, 1] = -mm_per_px
    to_upright[plane.up, 3] = middle[plane.up] + mm_per_px * (strip.height - 1) / 2
    to_upright[plane.right, 2] = side * mm_per_px
    to_upright[plane.right, 3] = middle[plane.right] - side * mm_per_px * (strip.width - 1) / 2
    pull = layer.to_voxels @ to_upright
    found = ndimage.affine_transform(
        layer.data, pull[:3, :3], pull[:3, 3], (strip.slices, strip.height, strip.width),
        output=np.float32, order=1, cval=layer.outside, prefilter=False,
    )  # fmt: skip
    return np.hstack(list(found))


def window(data: NDArray[Any], inside: Bool3, zooms: Sequence[float]) -> tuple[float, float]:
    """Values that are shown black and white: what is brighter than the brain may saturate.

    Parameters
    ----------
    data, inside : (I, J, K)
        A head, and where its brain is.
    zooms
        mm.
    """
    i, j, k = zooms
    some = every_nth((i, j, k), _SAMPLES_MM)
    brain = data[some][inside[some]]
    if not brain.size:
        brain = data[inside]
    low = min(float(np.percentile(data[some], 1)), float(np.percentile(brain, 1)))
    return low, max(1.1 * float(np.percentile(brain, 99.5)) - 0.1 * low, low + 1e-6)


def grey(values: NDArray[np.float32], black: float, white: float) -> Picture:
    """Values as shades of grey."""
    scaled = np.clip((values - black) * (255.0 / (white - black)), 0, 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)


def edge(inside: Region, *, width: int = 1) -> Region:
    """Outermost pixels of a region: those with a neighbour outside it, up, down, left or right.

    A wider edge goes on inwards.
    """
    kept = ndimage.binary_erosion(inside, border_value=1, iterations=width)
    return np.asarray(inside & ~kept)


def outlined(
    picture: Picture, inside: Region, colour: tuple[int, int, int] = CONTOUR, *, width: int = 1
) -> Picture:
    """A picture with the outline of a region drawn on it."""
    found = picture.copy()
    found[edge(inside, width=width)] = colour
    return found


def overlay(inside: Region, colour: tuple[int, int, int] = CONTOUR) -> Picture:
    """The outline of a region alone, clear elsewhere."""
    found = np.zeros((*inside.shape, 4), np.uint8)
    found[edge(inside)] = (*colour, 255)
    return found


def curtain(inside: Region) -> Picture:
    """Black outside a region, clear within: laid over a head it leaves the stripped brain."""
    found = np.zeros((*inside.shape, 4), np.uint8)
    found[..., 3] = np.where(inside, 0, 255)
    return found


def as_webp(picture: Picture, *, quality: int | None) -> bytes:
    """Encode a picture, the same bytes every time.

    Parameters
    ----------
    quality
        0 to 100; None keeps every pixel as it is.
    """
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if quality is None:
        image.save(buffer, "WEBP", lossless=True, quality=20, method=2)
    else:
        image.save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()
