"""Grids, resampling, masks and signed distances; pure functions of arrays.

Distances are in mm, negative inside. A distance transform is only ever taken in a box around the
brain: of a whole 256^3 grid it costs seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import (
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    Affine,
    Bool3,
    Float3,
    Frame,
    Shape3,
    Zooms,
)

T = TypeVar("T")
Box = tuple[slice, slice, slice]
STORED_STEP_MM = float(np.float32(SDT_STEP_MM))
"""The step of stored distances as a NIfTI header holds it."""
_NEAR_MM = 5.0
_SLAB = 16


def bounding_box(mask: Bool3, *, margin_mm: float, zooms: Zooms) -> Box:
    """Smallest box around a mask, widened by a margin and clipped to the array.

    Parameters
    ----------
    mask : (I, J, K) bool
        Not empty.
    margin_mm : float
        Added on each side, mm.
    zooms : tuple of float
        Voxel sizes in mm.

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
        box.append(slice(max(int(hit[0]) - margin, 0), int(hit[-1]) + margin + 1))
    return box[0], box[1], box[2]


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


def dilated(mask: Bool3, *, zooms: Zooms, radius_mm: float) -> Bool3:
    """All voxels whose centre lies within `radius_mm` of a voxel of the mask."""
    return np.isfinite(distance_within(mask, zooms=zooms, reach_mm=radius_mm))


def closed(mask: Bool3, *, zooms: Zooms, radius_mm: float) -> Bool3:
    """Morphological closing by a ball: dilated, then eroded by the same radius.

    Beyond the array's edge lies nothing of the mask, and nothing is lost there.
    """
    pad = [(int(np.ceil(radius_mm / z)) + 1,) * 2 for z in zooms]
    grown = dilated(np.pad(mask, pad), zooms=zooms, radius_mm=radius_mm)
    shrunk = ~dilated(~grown, zooms=zooms, radius_mm=radius_mm)
    inner = tuple(slice(p, -p) for p, _ in pad)
    return np.asarray(shrunk[inner]) | mask


def filled(mask: Bool3) -> Bool3:
    """Fill enclosed holes: outside is what reaches the array's edge by faces."""
    padded = np.pad(~mask, 1, constant_values=True)
    labels, _ = ndimage.label(padded)
    return np.asarray(labels[1:-1, 1:-1, 1:-1] != labels[0, 0, 0])


def brain_region(brain: Bool3, csf: Bool3, *, zooms: Zooms, reach_mm: float = 6.0) -> Bool3:
    """What a mask should hold, given the brain's tissue and the fluid around it.

    The one definition of the surface for training, quality control and evaluation: the tissue, the
    fluid within `reach_mm` of it, closed by 3 mm, holes filled.

    Parameters
    ----------
    brain : (I, J, K) bool
        Tissue and ventricles, the stem down to its cut.
    csf : (I, J, K) bool
        Subarachnoid fluid; the spinal part below the cut left out.
    zooms : tuple of float
        Voxel sizes in mm.
    reach_mm : float
        R of the network card.

    Returns
    -------
    (I, J, K) bool
    """
    box = bounding_box(brain, margin_mm=reach_mm + 6.0, zooms=zooms)
    near = csf[box] & dilated(brain[box], zooms=zooms, radius_mm=reach_mm)
    region = np.zeros(brain.shape, dtype=bool)
    region[box] = filled(closed(brain[box] | near, zooms=zooms, radius_mm=3.0))
    return region


def resampling_matrix(
    n_in: int, n_out: int, *, first: float, step: float, widen: bool = True, hold: bool = False
) -> NDArray[np.float32]:
    """Weights that bring samples from one regular axis to another.

    Parameters
    ----------
    n_in, n_out : int
        Voxels along the axis before and after.
    first, step : float
        Position of the first output voxel and distance between output voxels, in input voxels.
    widen : bool
        Average over the output's step where the output is coarser.
    hold : bool
        Let the outermost sample stand for all that lies beyond it.

    Returns
    -------
    (n_out, n_in) float32
        Linear interpolation; where the output is coarser the tent is widened to the output's step,
        so that nothing is skipped, unless `widen` is false. Rows beyond the input's outer half
        voxel are zero; rows within it sum to one.
    """
    position = first + step * np.arange(n_out)
    if hold:
        position = np.clip(position, 0, n_in - 1)
    offset = np.arange(n_in)[None, :] - position[:, None]
    if widen and abs(step) > 1.0:
        weights = _tent_share(offset + 0.5, abs(step)) - _tent_share(offset - 0.5, abs(step))
    else:
        weights = np.clip(1.0 - np.abs(offset), 0.0, None)
    inside = (position > -0.5 - 1e-6) & (position < n_in - 0.5 + 1e-6)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(inside[:, None] & (total > 0), weights / np.maximum(total, 1e-9), 0.0)
    return weights.astype(np.float32)


def _tent_share(position: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Share of a tent of half-width `reach`, centred on 0, that lies below a position."""
    x = np.clip(position / reach, -1.0, 1.0)
    return np.asarray(0.5 + x - 0.5 * x * np.abs(x))


def resampled(data: Float3, matrices: tuple[NDArray[np.float32], ...]) -> Float3:
    """Apply one matrix an axis.

    Parameters
    ----------
    data : (I, J, K) float32
    matrices : three of (n_out, n_in) float32
        From `resampling_matrix`, in the order of the axes.

    Returns
    -------
    (I', J', K') float32
    """
    found = np.ascontiguousarray(data, dtype=np.float32)
    # the axis that shrinks most first; no axis is moved, which would copy
    for axis in sorted(range(3), key=lambda a: len(matrices[a]) / matrices[a].shape[1]):
        matrix = matrices[axis]
        if axis == 0:
            planes = matrix @ found.reshape(len(found), -1)
            found = planes.reshape(len(matrix), *found.shape[1:])
        else:
            found = np.matmul(matrix, found) if axis == 1 else found @ matrix.T
    return found


def affine_resampled(
    data: Float3, matrix: Affine, shape: Shape3, *, order: int, outside: float = 0.0,
    threads: int = 1,
) -> Float3:  # fmt: skip
    """Bring samples from one grid to another that lies anyhow in it.

    Parameters
    ----------
    data : (I, J, K) float32
    matrix : (4, 4) float64
        Voxel of the output -> voxel of the input.
    shape : tuple of int
        Of the output.
    order : int
        1 interpolates linearly, 3 by a cubic spline.
    outside : float
        Beyond the input's outermost samples.
    threads : int
        Slabs of the output are made side by side; their number does not depend on this.

    Returns
    -------
    float32 array of `shape`
    """
    spline = ndimage.spline_filter(data, order, output=np.float32) if order > 1 else data
    found = np.empty(shape, dtype=np.float32)

    def make(rows: slice) -> None:
        slab = found[rows]
        corner = matrix[:3, :3] @ (rows.start, 0, 0) + matrix[:3, 3]
        ndimage.affine_transform(
            spline, matrix[:3, :3], corner, output_shape=slab.shape, order=order, cval=outside,
            prefilter=False, output=slab,
        )  # fmt: skip

    in_slabs(make, shape[0], threads=threads)
    return found


def in_slabs(
    make: Callable[[slice], T], length: int, *, threads: int, thick: int = _SLAB
) -> list[T]:
    """What is made of each slab of an axis, in order; slabs are made side by side.

    Parameters
    ----------
    make
        Takes the rows of a slab. NumPy and SciPy let other threads work meanwhile.
    length : int
        Of the axis.
    threads : int
        How many slabs at a time; what is made does not depend on this.
    thick : int
        Rows of a slab.
    """
    slabs = [slice(start, min(start + thick, length)) for start in range(0, length, thick)]
    if threads == 1:
        return [make(rows) for rows in slabs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(make, slabs))


def native_box(box: Box, frame: Frame) -> Box:
    """Native voxels that lie within a box of the conformed grid, and those beside it."""
    found = [slice(0, 0)] * 3
    for axis, side in enumerate(box):
        own, first, step = frame.axes[axis], frame.firsts[axis], frame.steps[axis]
        size = frame.native_shape[own]
        low = int(np.floor(first + step * (side.start - 1)))
        high = int(np.ceil(first + step * side.stop)) + 1
        low, high = (size - high, size - low) if frame.flips[axis] else (low, high)
        found[own] = slice(min(max(low, 0), size), max(min(high, size), 0))
    return found[0], found[1], found[2]


def to_native(data: Float3, frame: Frame, window: Box, *, hold: bool = False) -> Float3:
    """Interpolate conformed data linearly at voxels of the native grid.

    Parameters
    ----------
    data : (I, J, K) float32
        On the conformed grid.
    frame
        How that grid lies in the native one.
    window
        Native voxels wanted along each native axis; with a step every n-th of them.
    hold : bool
        Let the outermost values stand for what lies beyond the conformed grid; 0 does otherwise.

    Returns
    -------
    (I', J', K') float32
        In the native order of axes.
    """
    matrices = []
    for axis, n_in in enumerate(data.shape):
        own, first, step = frame.axes[axis], frame.firsts[axis], frame.steps[axis]
        matrix = resampling_matrix(n_in, frame.native_shape[own], first=-first / step,
                                   step=1 / step, widen=False, hold=hold)  # fmt: skip
        matrices.append((matrix[::-1] if frame.flips[axis] else matrix)[window[own]])
    found = resampled(data, (matrices[0], matrices[1], matrices[2]))
    return np.ascontiguousarray(found.transpose(np.argsort(frame.axes)))


def every_nth(zooms: Zooms, apart_mm: float) -> Box:
    """Slices that take voxels about so far apart along each axis."""
    i, j, k = (slice(None, None, max(1, round(apart_mm / z))) for z in zooms)
    return i, j, k


def redistanced(level: Float3, *, zooms: Zooms, limit_mm: float) -> Float3:
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
    feet, normals = _surface_points(phi, near, zooms)
    index = ndimage.distance_transform_edt(
        ~near, sampling=zooms, return_distances=False, return_indices=True
    )
    distance = _distance_to_patches(feet, normals, tuple(index), zooms)
    sdt[box] = np.clip(np.where(inner, -distance, np.maximum(distance, 1e-3)), -limit_mm, limit_mm)
    return sdt


def _distance_to_patches(
    feet: list[Float3], normals: list[Float3], index: tuple[NDArray[np.int32], ...], zooms: Zooms
) -> Float3:
    """Distance of each voxel to the patch of surface around its foot, mm.

    The foot is one point of a patch about a voxel wide: the part of the way that runs along the
    patch, up to a voxel, is not distance.
    """
    squared = np.zeros(feet[0].shape, dtype=np.float32)
    across = np.zeros_like(squared)
    for axis, zoom in enumerate(zooms):
        view = [1, 1, 1]
        view[axis] = -1
        here = (np.arange(squared.shape[axis], dtype=np.float32) * zoom).reshape(view)
        way = here - feet[axis][index]
        squared += way**2
        across += way * normals[axis][index]
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


def _surface_points(phi: Float3, near: Bool3, zooms: Zooms) -> tuple[list[Float3], list[Float3]]:
    """Foot of each near voxel on the zero surface, mm, and the surface's normal there."""
    gradient = [np.asarray(g, dtype=np.float32) for g in np.gradient(phi, *zooms)]
    slope = np.sqrt(sum(g[near] ** 2 for g in gradient)) + 1e-6
    # never farther than a voxel: where the slope is flat the foot is the voxel itself
    step = np.clip(phi[near] / slope, -max(zooms), max(zooms))
    feet, normals = [], []
    for axis, zoom in enumerate(zooms):
        foot, normal = np.zeros_like(phi), np.zeros_like(phi)
        normal[near] = gradient[axis][near] / slope
        foot[near] = np.nonzero(near)[axis] * zoom - step * normal[near]
        feet.append(foot)
        normals.append(normal)
    return feet, normals


class Rest(NamedTuple):
    """What was left out: how many components, how many voxels."""

    components: int
    voxels: int


def largest_component(mask: Bool3) -> tuple[Bool3, Rest]:
    """The largest face-connected component, and what the others were."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask, Rest(0, 0)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.asarray(labels == sizes.argmax())
    return kept, Rest(count - 1, int(sizes.sum() - sizes.max()))


def shape_multiple(shape: Shape3, multiple: int) -> Shape3:
    """The smallest shape that holds `shape` with sides a multiple of `multiple`."""
    i, j, k = (-(-n // multiple) * multiple for n in shape)
    return i, j, k


def dice(a: Bool3, b: Bool3) -> float:
    """Dice's coefficient of two masks, 1 if both are empty."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else 1.0


def quantised(distance_mm: Float3) -> NDArray[np.int16]:
    """Distances in mm -> int16 steps, clipped to the stored range."""
    steps = np.clip(distance_mm, -SDT_LIMIT_MM, SDT_LIMIT_MM)
    steps /= np.float32(STORED_STEP_MM)
    return np.rint(steps, out=steps).astype(np.int16)


def within(steps: NDArray[np.int16], border_mm: float) -> Bool3:
    """``sdt <= border``, of the stored values."""
    most = round(border_mm / STORED_STEP_MM) + 1
    while most * STORED_STEP_MM > border_mm:
        most -= 1
    return np.asarray(steps <= most)  # the same in whole steps, ten times faster


def off_threshold(steps: NDArray[np.int16], border_mm: float) -> NDArray[np.int16]:
    """Move values that equal a border other than 0 one step inwards.

    The stored step is not exactly 0.02, so that such a value compares differently in single and in
    double precision; half a step to either side it does not.
    """
    at = round(border_mm / SDT_STEP_MM)
    if at == 0 or abs(border_mm - at * SDT_STEP_MM) > SDT_STEP_MM / 4:
        return steps
    return np.where(steps == at, steps - 1, steps).astype(np.int16)
