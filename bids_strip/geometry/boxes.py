"""Boxes and lattices of voxels; pure."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import Affine, Bool3, Shape3, Zooms

Box = tuple[slice, slice, slice]


def bounding_box(mask: Bool3, *, margin_mm: float, zooms: Zooms) -> Box:
    """Smallest box around a mask, widened by a margin and a voxel, clipped to the array.

    Parameters
    ----------
    mask : (I, J, K) bool
        Not empty.
    margin_mm : float
        Added on each side, mm, in whole voxels, and one voxel more: with 0 one voxel.
    zooms : tuple of float
        Voxel sizes in mm.

    Returns
    -------
    Box
        Both ends of each side given, within the array.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = []
    for axis, zoom in enumerate(zooms):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if not hit.size:
            raise ValueError("an empty mask has no bounding box")
        margin = int(np.ceil(margin_mm / zoom)) + 1
        low, high = int(hit[0]) - margin, int(hit[-1]) + margin + 1
        box.append(slice(max(low, 0), min(high, mask.shape[axis])))
    return box[0], box[1], box[2]


def corners_apart_mm(one: Affine, other: Affine, shape: Shape3) -> float:
    """How far apart two affines place a grid, mm.

    Parameters
    ----------
    one, other : (4, 4) float64
        Voxel -> mm.
    shape : tuple of int
        Of the grid.

    Returns
    -------
    float
        The largest distance between the two places of a corner voxel's centre; not a number if an
        affine holds one that is none.
    """
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(shape) - 1
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def every_nth(zooms: Zooms, apart_mm: float) -> Box:
    """Slices that take voxels about so far apart along each axis."""
    i, j, k = (slice(None, None, max(1, round(apart_mm / z))) for z in zooms)
    return i, j, k


def shape_multiple(shape: Shape3, multiple: int) -> Shape3:
    """The smallest shape that holds `shape` with sides a multiple of `multiple`."""
    i, j, k = (-(-n // multiple) * multiple for n in shape)
    return i, j, k
