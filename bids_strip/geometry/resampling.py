"""From one regular grid to another; pure.

Where the axes are shared each is resampled by one small matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Float3, Frame, Shape3
from bids_strip.geometry.boxes import Box
from bids_strip.slabs import in_slabs


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
    data: Float3, matrix: Affine, shape: Shape3, *, outside: float = 0.0, threads: int = 1
) -> Float3:  # fmt: skip
    """Interpolate linearly on a grid that lies anyhow in another.

    Parameters
    ----------
    data : (I, J, K) float32
    matrix : (4, 4) float64
        Voxel of the output -> voxel of the input.
    shape : tuple of int
        Of the output.
    outside : float
        Beyond the input's outermost samples.
    threads : int
        Slabs of the output are made side by side; their number does not depend on this.

    Returns
    -------
    float32 array of `shape`
    """
    found = np.empty(shape, dtype=np.float32)

    def make(rows: slice) -> None:
        slab = found[rows]
        corner = matrix[:3, :3] @ (rows.start, 0, 0) + matrix[:3, 3]
        ndimage.affine_transform(
            data, matrix[:3, :3], corner, output_shape=slab.shape, order=1, cval=outside,
            prefilter=False, output=slab,
        )  # fmt: skip

    in_slabs(make, shape[0], threads=threads)
    return found


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
    needed = [_needed(matrix) for matrix in matrices]
    i, j, k = (matrix[:, part] for matrix, part in zip(matrices, needed, strict=True))
    found = resampled(data[tuple(needed)], (i, j, k))
    return np.ascontiguousarray(found.transpose(np.argsort(frame.axes)))


def _needed(matrix: NDArray[np.float32]) -> slice:
    """Samples from the first to the last that count."""
    used = np.flatnonzero(matrix.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
