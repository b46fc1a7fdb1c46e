"""Signed distances, mm, negative inside; pure.

A distance transform is only ever taken in a box around the brain: of a whole 256^3 grid it costs
seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_STEP_MM, Bool3, Float3, Zooms
from bids_strip.geometry.boxes import bounding_box
from bids_strip.geometry.resampling import resampled, resampling_matrix
from bids_strip.slabs import in_slabs

_NEAR_MM = 5.0
_ROWS = 8
"""Of a part that is measured at a time."""


def signed_distance(
    mask: Bool3, *, zooms: Zooms, limit_mm: float, coarse_mm: float = 2.0
) -> Float3:
    """Signed distance to the boundary between a mask's voxels and the others.

    Parameters
    ----------
    mask : (I, J, K) bool
        Not empty.
    zooms : tuple of float
        Voxel sizes in mm.
    limit_mm : float
        Distances are clipped to +-limit_mm.
    coarse_mm : float
        Distances are measured on every n-th voxel, about this far apart, and interpolated.

    Returns
    -------
    (I, J, K) float32, mm
        Negative inside, never 0: ``mask == (sdt <= 0)``. The surface runs halfway between voxels
        inside and outside, smoothly over the steps of an oblique one.

    Notes
    -----
    Distances to voxel faces, short on both sides of a stepped surface, serve as a level set;
    `redistanced` measures from its zero surface. A sheet thinner than the coarse grid can be lost
    there: near the surface no distance exceeds the one to the faces by more than a voxel.
    """
    box = bounding_box(mask, margin_mm=limit_mm, zooms=zooms)
    sdt = np.full(mask.shape, limit_mm, dtype=np.float32)
    inside = mask[box]
    if inside.all():
        sdt[box] = -limit_mm
        return sdt
    sign = np.where(inside, np.float32(-1), np.float32(1))
    reach = max(_NEAR_MM, 2 * max(zooms))
    outward = distance_within(inside, zooms=zooms, reach_mm=reach, to_faces=True)
    inward = distance_within(~inside, zooms=zooms, reach_mm=reach, to_faces=True)
    level = sign * np.minimum(np.where(inside, inward, outward), np.float32(reach))
    length = sign * _redistanced_coarsely(level, zooms, limit_mm, coarse_mm)
    faces = np.abs(level)
    length = np.where(faces < reach, np.minimum(length, faces + max(zooms)), length)
    sdt[box] = sign * np.clip(length, SDT_STEP_MM, limit_mm)
    return sdt


def distance_within(
    mask: Bool3, *, zooms: Zooms, reach_mm: float, to_faces: bool = False
) -> Float3:
    """Distance to the nearest voxel of a mask, as far as `reach_mm`.

    Parameters
    ----------
    mask : (I, J, K) bool
    zooms : tuple of float
        Voxel sizes in mm.
    reach_mm : float
        How far to look.
    to_faces : bool
        Measure to the voxel's box instead of its centre.

    Returns
    -------
    (I, J, K) float32, mm
        Exact up to `reach_mm`, infinite beyond.

    Notes
    -----
    One pass of minima an axis over the squared distance: for a few voxels of reach this is several
    times faster than a full distance transform.
    """
    squared = np.where(mask, np.float32(0), np.float32(np.inf))
    for axis, zoom in enumerate(zooms):
        lines = np.moveaxis(squared, axis, 0)
        least = lines.copy()
        near_side = 0.5 * zoom if to_faces else 0.0
        furthest = min(int((reach_mm + near_side) / zoom), len(lines) - 1)
        for offset in range(1, furthest + 1):
            cost = np.float32((offset * zoom - near_side) ** 2)
            np.minimum(least[offset:], lines[:-offset] + cost, out=least[offset:])
            np.minimum(least[:-offset], lines[offset:] + cost, out=least[:-offset])
        squared = np.moveaxis(least, 0, axis)
    distance = np.sqrt(squared)
    distance[distance > reach_mm * (1 + 1e-6)] = np.inf
    return np.ascontiguousarray(distance)


def _redistanced_coarsely(level: Float3, zooms: Zooms, limit_mm: float, coarse_mm: float) -> Float3:
    """`redistanced` on every n-th voxel, interpolated to the others."""
    strides = tuple(max(1, round(coarse_mm / z)) for z in zooms)
    i, j, k = (n * z for n, z in zip(strides, zooms, strict=True))
    few = level[tuple(slice(None, None, n) for n in strides)]
    if not (few <= 0).any():
        return level
    coarse = redistanced(few, zooms=(i, j, k), limit_mm=limit_mm)
    matrices = tuple(
        resampling_matrix(m, n, first=0.0, step=1 / stride, widen=False, hold=True)
        for m, n, stride in zip(few.shape, level.shape, strides, strict=True)
    )
    return resampled(coarse, matrices)


def redistanced(
    level: Float3, *, zooms: Zooms, limit_mm: float, threads: int = 1
) -> Float3:  # fmt: skip
    """True distances to the zero surface of a level-set function.

    Parameters
    ----------
    level : (I, J, K) float32
        Negative inside; its zero crossings, interpolated linearly, are the surface. A network's
        distance map is one, but only near the surface and only roughly of unit slope.
    zooms : tuple of float
        Voxel sizes in mm.
    limit_mm : float
        Distances are clipped to +-limit_mm.
    threads : int
        Parts that are worked on side by side.

    Returns
    -------
    (I, J, K) float32, mm
        Same sign as `level` in every voxel.

    Notes
    -----
    Each voxel beside the surface is given the point of the surface nearest to it, along the
    gradient; every other voxel measures its distance to the patch around the nearest of those
    points (found by the feature transform). This keeps the position of the surface inside a voxel,
    which a transform of the mask loses.
    """
    inside = level <= 0
    box = bounding_box(inside, margin_mm=limit_mm, zooms=zooms)
    sdt = np.full(level.shape, limit_mm, dtype=np.float32)
    phi, inner = level[box], inside[box]
    near = _beside_surface(inner)
    if not near.any():
        sdt[box] = np.where(inner, -limit_mm, limit_mm)
        return sdt
    nearest = ndimage.distance_transform_edt(
        ~near, sampling=zooms, return_distances=False, return_indices=True
    )
    patches, part = _patches(phi, near, zooms), sdt[box]

    def measure(rows: slice) -> None:
        distance = _distance_to_patches(patches, nearest[:, rows], rows, zooms)
        signed = np.where(inner[rows], -distance, np.maximum(distance, 1e-3))
        np.clip(signed, -limit_mm, limit_mm, out=part[rows])

    in_slabs(measure, len(inner), threads=threads, thick=_ROWS)
    return sdt


@dataclass(frozen=True, eq=False)
class _Patches:
    """Patches of a surface, each about a voxel wide, N of them.

    Attributes
    ----------
    number : (I, J, K) int32
        Of the patch beside a voxel; 0 where there is none.
    feet : three of (N,) float32
        A point of each, mm.
    normals : three of (N,) float32
        Directions across it.
    """

    number: NDArray[np.int32]
    feet: list[NDArray[np.float32]]
    normals: list[NDArray[np.float32]]


def _distance_to_patches(
    patches: _Patches, nearest: NDArray[np.int32], rows: slice, zooms: Zooms
) -> Float3:
    """Distance of each voxel of some rows to the patch beside the voxel nearest to it, mm.

    The foot is one point of a patch about a voxel wide: the part of the way that runs along the
    patch, up to a voxel, is not distance.
    """
    shape = patches.number.shape
    i, j, k = nearest
    number = patches.number.ravel().take((i * shape[1] + j) * shape[2] + k)
    squared = np.zeros(number.shape, dtype=np.float32)
    across = np.zeros_like(squared)
    for axis, zoom in enumerate(zooms):
        view = [1, 1, 1]
        view[axis] = -1
        here = np.arange(shape[axis], dtype=np.float32)[rows if axis == 0 else slice(None)] * zoom
        way = here.reshape(view) - patches.feet[axis].take(number)
        squared += way**2
        across += way * patches.normals[axis].take(number)
    along = np.minimum(np.maximum(squared - across**2, 0), max(zooms) ** 2)
    return np.asarray(np.sqrt(np.maximum(squared - along, 0)), dtype=np.float32)


def _beside_surface(inside: Bool3) -> Bool3:
    """Voxels with a face neighbour on the other side."""
    near = np.zeros_like(inside)
    for axis in range(3):
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differ = inside[tuple(ahead)] != inside[tuple(behind)]
        near[tuple(ahead)] |= differ
        near[tuple(behind)] |= differ
    return near


def _patches(phi: Float3, near: Bool3, zooms: Zooms) -> _Patches:
    """The zero surface beside each near voxel: the point nearest to it, and its normal there."""
    at = np.nonzero(near)
    number = np.zeros(near.shape, dtype=np.int32)
    number[at] = np.arange(len(at[0]), dtype=np.int32)
    gradient = gradient_at(phi, at, zooms)
    slope = np.sqrt(sum(g**2 for g in gradient)) + 1e-6
    # never farther than a voxel: where the slope is flat the foot is the voxel itself
    step = np.clip(phi[at] / slope, -max(zooms), max(zooms))
    normals = [np.asarray(g / slope, dtype=np.float32) for g in gradient]
    feet = [
        (index * zoom - step * normal).astype(np.float32)
        for index, zoom, normal in zip(at, zooms, normals, strict=True)
    ]
    return _Patches(number, feet, normals)


def gradient_at(
    data: Float3, at: tuple[NDArray[np.int64], ...], zooms: Zooms
) -> list[NDArray[np.float32]]:
    """Slopes at some voxels, a mm: `numpy.gradient` there alone.

    Parameters
    ----------
    data : (I, J, K) float32
        Along an axis with one voxel the slope is 0.
    at : three of (N,) int
        Voxels.
    zooms : tuple of float
        Voxel sizes in mm.

    Returns
    -------
    three of (N,) float32
    """
    flat = data.ravel()
    here = np.ravel_multi_index(at, data.shape)
    found = []
    for index, size, stride, zoom in zip(
        at, data.shape, (data.shape[1] * data.shape[2], data.shape[2], 1), zooms, strict=True
    ):
        ahead, behind = index < size - 1, index > 0
        rise = flat.take(here + stride * ahead) - flat.take(here - stride * behind)
        apart = np.maximum(ahead.astype(np.float32) + behind, 1)
        found.append(rise / (apart * np.float32(zoom)))
    return found
