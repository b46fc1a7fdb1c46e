"""Slices of a head with the surface drawn on them, as small pictures.

Planes are shown as in an atlas: anterior to the left in sagittal slices, left on the left
elsewhere, superior or anterior up.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Float3, Grid, Zooms
from bids_strip.geometry import bounding_box

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""
CONTOUR = (255, 176, 0)
SECOND = (64, 190, 255)
"""Colours of contours that colour-blind people tell apart, on grey."""
PLANES = ("sagittal", "coronal", "axial")
_MARGIN_MM = 14.0
_ROOM = (0.14, 0.86)


@dataclass(frozen=True, eq=False)
class Upright:
    """A head's image and distances along R, A, S, cut to the surroundings of the brain.

    Attributes
    ----------
    image : (I, J, K) float32
        0 to 1.
    sdt_mm : (I, J, K) float32
        Distance to the surface, negative inside.
    zooms
        Voxel sizes in mm.
    """

    image: Float3
    sdt_mm: Float3
    zooms: Zooms


def upright(image: Float3, sdt_mm: Float3, grid: Grid) -> Upright:
    """Turn a head's axes to R, A, S and cut it to the surroundings of its brain.

    Parameters
    ----------
    image, sdt_mm : (I, J, K) float32
        On `grid`; the surface is at 0 mm.

    Raises
    ------
    ValueError
        If no voxel lies within the surface.
    """
    turn = nib.orientations.io_orientation(grid.affine)
    box = bounding_box(sdt_mm <= 0, margin_mm=_MARGIN_MM, zooms=grid.zooms)
    turned = [nib.orientations.apply_orientation(one[box], turn) for one in (image, sdt_mm)]
    order = np.argsort(turn[:, 0]).astype(int)
    i, j, k = (grid.zooms[axis] for axis in order)
    low, high = np.percentile(turned[0], (1.0, 99.5))
    scaled = np.clip((turned[0] - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return Upright(scaled.astype(np.float32), turned[1].astype(np.float32), (i, j, k))


def strip_of_slices(
    head: Upright, *, each: int, height_px: int, planes: Sequence[str] = PLANES
) -> Picture:
    """Draw a row of slices with the surface's contour.

    Parameters
    ----------
    head
        What to draw.
    each
        Slices a plane, spread evenly over the brain.
    height_px
        Of the row; slices are drawn true to scale with one another.

    Returns
    -------
    (height_px, width, 3) uint8
    """
    inside = head.sdt_mm <= 0
    extents = [n * z for n, z in zip(inside.shape, head.zooms, strict=True)]
    mm_per_px = max(extents[1:]) / height_px
    tiles = []
    for plane in planes:
        axis = PLANES.index(plane)
        hit = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        for share in np.linspace(*_ROOM, each):
            index = round(hit[0] + share * (hit[-1] - hit[0]))
            tiles.append(_slice(head, axis, index, mm_per_px))
    return np.hstack([_padded(tile, height_px) for tile in tiles])


def _slice(head: Upright, axis: int, index: int, mm_per_px: float) -> Picture:
    """One slice in square pixels, its contour one pixel wide."""
    zooms = [zoom for a, zoom in enumerate(head.zooms) if a != axis]
    factors = [zoom / mm_per_px for zoom in zooms]
    grey, distance = (
        _facing(ndimage.zoom(one.take(index, axis=axis), factors, order=1, grid_mode=True,
                             mode="nearest"), axis)
        for one in (head.image, head.sdt_mm)
    )  # fmt: skip
    rgb = np.repeat(np.round(grey * 255).astype(np.uint8)[..., None], 3, axis=2)
    rgb[edge(distance <= 0)] = CONTOUR
    return rgb


def edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Outermost pixels of a region: those with a neighbour outside it, up, down, left or right."""
    kept = ndimage.binary_erosion(inside, border_value=1)
    return np.asarray(inside & ~kept)


def _facing(data: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Rows downwards, columns to the right: superior or anterior up, see the module."""
    turned = data.T[::-1]
    return turned[:, ::-1] if axis == 0 else turned


def _padded(tile: Picture, height_px: int) -> Picture:
    """Centre a slice in the row's height, on black, two pixels of room on each side."""
    missing = max(height_px - tile.shape[0], 0)
    above = missing // 2
    padded = np.pad(tile, ((above, missing - above), (2, 2), (0, 0)))
    return padded[:height_px]


def as_webp(picture: Picture, *, quality: int) -> bytes:
    """Encode a picture, the same bytes every time.

    Parameters
    ----------
    quality
        0 to 100.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
