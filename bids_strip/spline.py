"""A cubic spline through an image, resampled by an affine one axis at a time; pure.

An affine that turns by less than a right angle is three moves, each along one axis by an amount
that is linear in the other two coordinates (Catmull and Smith 1980, doi:10.1145/800250.807505).
Four samples are met three times then, instead of sixty-four at once.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Float3, Shape3
from bids_strip.geometry import Box, mapped
from bids_strip.slabs import along_axis, in_slabs

Samples = Float3 | NDArray[np.int16]
_PLANES = 8
"""That a thread resamples at a time."""
_STEEPEST = 0.5
"""Samples by which neighbouring lines may be moved against each other: beyond that what lies beside
a voxel is another place, and a spline along that axis would mix them (oblique thick slices)."""
_LEAST = 1e-3
"""Below this a move shrinks an axis to nothing."""
_FELT = 16
"""A spline feels a sample by a quarter of what it feels the one before it: this far off, by less
than single precision holds."""


class Move(NamedTuple):
    """Where an output voxel (i, j, k) lies along the axis that a pass works on.

    The other two coordinates are, as far as passes have not reached them, the input's own.
    """

    i: float
    j: float
    k: float
    start: float


def spline_resampled(data: Samples, matrix: Affine, shape: Shape3, *, threads: int = 1) -> Float3:
    """Bring an image onto a grid that lies anyhow in it.

    Parameters
    ----------
    data : (I, J, K) int16 or float32
        At least two samples along each axis.
    matrix : (4, 4) float64
        Voxel of the output -> voxel of the input.
    shape : tuple of int
        Of the output.
    threads : int
        Slabs that are made side by side; their number does not change what is made.

    Returns
    -------
    float32 array of `shape`
        0 beyond the input's outermost samples.

    Raises
    ------
    ValueError
        If the matrix is singular.
    """
    turned, nearest = _nearest_axes(data, matrix)
    passes = moves(nearest)
    if any(_steepness(axis, move) > _STEEPEST for axis, move in enumerate(passes)):
        return _at_once(data, matrix, shape, threads)
    near = _felt(turned.shape, nearest, shape)
    i, j, k = (side.start for side in near)
    found = _pass(turned[near], 0, passes[0], shape[0], (i, j, k), threads)
    found = _pass(found, 1, passes[1], shape[1], (0, j, k), threads)
    found = _pass(found, 2, passes[2], shape[2], (0, 0, k), threads)
    _clear_beyond(found, nearest, turned.shape, threads)
    return found


def moves(matrix: Affine) -> tuple[Move, Move, Move]:
    """The passes of an affine: along the first axis, the second, the third.

    Parameters
    ----------
    matrix : (4, 4) float64
        Voxel of the output (u, v, w) -> voxel of the input (x, y, z), its diagonal not small.

    Returns
    -------
    three of Move
        x of (u, y, z), y of (u, v, z), z of (u, v, w).

    Raises
    ------
    ValueError
        If an axis vanishes.
    """
    (a, b, c), shift = matrix[:3, :3], matrix[:3, 3]
    if abs(c[2]) < _LEAST:
        raise ValueError("the third axis of this affine vanishes")
    # w is eliminated from x and y, then v from x
    a, b = a - c * (a[2] / c[2]), b - c * (b[2] / c[2])
    x0 = shift[0] - shift[2] * matrix[0, 2] / c[2]
    y0 = shift[1] - shift[2] * matrix[1, 2] / c[2]
    x_of_z, y_of_z = matrix[0, 2] / c[2], matrix[1, 2] / c[2]
    if abs(b[1]) < _LEAST:
        raise ValueError("the second axis of this affine vanishes")
    x_of_y = a[1] / b[1]
    return (
        Move(a[0] - x_of_y * b[0], x_of_y, x_of_z - x_of_y * y_of_z, x0 - x_of_y * y0),
        Move(b[0], b[1], y_of_z, y0),
        Move(c[0], c[1], c[2], shift[2]),
    )


def _steepness(axis: int, move: Move) -> float:
    """Samples between what two neighbouring lines meet, at most."""
    return max(abs(slope) for other, slope in enumerate(move[:3]) if other != axis)


def _felt(data: tuple[int, ...], matrix: Affine, shape: Shape3) -> Box:
    """The part of an image of such a shape that a grid lies in, and what is felt there."""
    ends = np.array(list(product(*((0, n - 1) for n in shape))))
    corners = mapped(matrix, ends)
    last = np.array(data) - 1
    low = np.clip(np.floor(corners.min(axis=0)) - _FELT, 0, last - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + _FELT, low + 1, last).astype(int)
    i, j, k = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return i, j, k


def _at_once(data: Samples, matrix: Affine, shape: Shape3, threads: int) -> Float3:
    """Sixty-four samples a voxel: slower, and right for any affine."""
    coefficients = ndimage.spline_filter(data, 3, output=np.float32)
    found = np.empty(shape, dtype=np.float32)

    def make(rows: slice) -> None:
        slab = found[rows]
        corner = matrix[:3, :3] @ (rows.start, 0, 0) + matrix[:3, 3]
        ndimage.affine_transform(coefficients, matrix[:3, :3], corner, output_shape=slab.shape,
                                 order=3, prefilter=False, output=slab)  # fmt: skip

    in_slabs(make, shape[0], threads=threads)
    return found


def _nearest_axes(data: Samples, matrix: Affine) -> tuple[Samples, Affine]:
    """The image seen along the output's axes, as nearly as swaps and flips can bring it."""
    size = np.abs(matrix[:3, :3])
    _, order = min(
        (-float(np.prod([size[p[axis], axis] for axis in range(3)])), p)
        for p in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    )
    turned, rows = data.transpose(order), matrix[[*order, 3]].copy()
    for axis in range(3):
        if rows[axis, axis] < 0:
            turned = np.flip(turned, axis)
            rows[axis] *= -1
            rows[axis, 3] += turned.shape[axis] - 1
    return turned, rows


def _pass(
    data: Samples, axis: int, move: Move, length: int, corner: Shape3, threads: int
) -> Float3:
    """One move of an image; `corner` is where its first voxel lies."""
    return _along(_filtered(data, axis, threads), axis, move, length, corner, threads)


def _filtered(data: Samples, axis: int, threads: int) -> Float3:
    """Coefficients of the spline along an axis, mirrored a little beyond its ends."""
    i, j, k = (n + 3 if a == axis else n for a, n in enumerate(data.shape))
    found = np.empty((i, j, k), dtype=np.float32)
    planes = np.moveaxis(found, axis, 0)
    own = np.moveaxis(planes[1:-2], 0, axis)
    along_axis(partial(_filter, axis=axis), data, axis, out=own, threads=threads)
    planes[0] = planes[2]
    planes[-2] = planes[-4]
    planes[-1] = planes[-5]  # of two samples the first one's mirror image, which is there by now
    return found


def _filter(data: Samples, out: Float3, *, axis: int) -> None:
    ndimage.spline_filter1d(data, 3, axis=axis, output=out)


def _along(
    coefficients: Float3, axis: int, move: Move, length: int, corner: Shape3, threads: int
) -> Float3:
    """One pass: `length` voxels along an axis, each where the move says."""
    shape = list(coefficients.shape)
    first, last = corner[axis], corner[axis] + shape[axis] - 4
    shape[axis] = length
    found = np.empty(shape, dtype=np.float32)
    stride = (shape[1] * shape[2], shape[2], 1)[axis]
    lines, columns = np.arange(shape[1])[:, None], np.arange(shape[2])[None, :]
    beside = _beside(axis, lines, columns, coefficients.shape) - first * stride
    j, k = (0 if a == axis else corner[a] for a in (1, 2))
    across = (move.j * (lines + j) + move.k * (columns + k) + move.start).astype(np.float32)

    def make(rows: slice) -> None:
        for plane in range(rows.start, rows.stop):
            samples = (coefficients if axis == 0 else coefficients[plane]).reshape(-1)
            place = np.clip(across + np.float32(move.i * plane), first, last)
            below = place.astype(np.intp)
            place -= below
            below *= stride
            below += beside
            _weigh(samples, below, stride, place, found[plane])

    in_slabs(make, shape[0], threads=threads, thick=_PLANES)
    return found


def _beside(
    axis: int, lines: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]
) -> NDArray[np.intp]:
    """Flat index of a plane's voxels without the axis that is resampled."""
    if axis == 0:
        return np.asarray(lines * shape[2] + columns)
    return np.asarray(columns + 0 * lines if axis == 1 else lines * shape[2] + 0 * columns)


def _weigh(
    samples: NDArray[np.float32], below: NDArray[np.intp], stride: int,
    part: NDArray[np.float32], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Four samples of a cubic spline by their weights (Unser 1999, doi:10.1109/79.799930)."""
    rest = 1 - part
    square = part * part
    last, first = square * part / 6, rest * rest * rest / 6
    second = np.float32(2 / 3) - square * (1 - part / 2)
    third = 1 - first - second - last
    sample = np.empty_like(part)
    out[:] = 0
    for weight in (first, second, third, last):
        np.take(samples, below, out=sample, mode="clip")  # what is clipped is nothing: no check
        sample *= weight
        out += sample
        below += stride


def _clear_beyond(found: Float3, matrix: Affine, shape: tuple[int, ...], threads: int) -> None:
    """Put 0 where an output voxel lies outside the input."""
    i, j, k = found.shape
    lines, columns = np.arange(j)[:, None], np.arange(k)[None, :]
    slack = 1e-6 * max(shape)

    def beyond(at: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
        return np.asarray((at < -slack) | (at > size - 1 + slack))

    def make(rows: slice) -> None:
        for plane in range(rows.start, rows.stop):
            for (a, b, c, start), size in zip(matrix[:3], shape, strict=True):
                first = a * plane + start
                corners = first + np.array([0, b * (j - 1), c * (k - 1), b * (j - 1) + c * (k - 1)])
                if beyond(corners, size).any():
                    found[plane][beyond(first + b * lines + c * columns, size)] = 0.0

    in_slabs(make, i, threads=threads, thick=_PLANES)
