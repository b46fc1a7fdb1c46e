"""Level sets and smooth random fields on a regular frame; pure numpy.

A level set is a float32 array in mm, close to a signed distance and negative inside.
Positions are in the head frame: x right, y anterior, z superior, mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Float3 = NDArray[np.float32]
Point = tuple[float, float, float]
Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Frame:
    """A regular grid in the head frame, held as three open axes.

    Attributes
    ----------
    x, y, z : float32, broadcastable to (I, J, K), mm
        Position of each node; (I, 1, 1), (1, J, 1), (1, 1, K) unless bent.
    step : float
        Distance between nodes, mm.
    """

    x: Float3
    y: Float3
    z: Float3
    step: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of nodes along x, y and z."""
        return self.x.shape[0], self.y.shape[1], self.z.shape[2]


def frame(low: Point, high: Point, step: float) -> Frame:
    """Return the frame whose nodes run from ``low`` to at most ``high``, all in mm."""
    x, y, z = (np.arange(a, b, step, dtype=np.float32) for a, b in zip(low, high, strict=True))
    return Frame(x[:, None, None], y[None, :, None], z[None, None, :], step)


def crop(whole: Frame, low: Point, high: Point) -> tuple[Frame, Region]:
    """Return the part of ``whole`` between two corners (mm), and its slices."""
    axes = (whole.x.ravel(), whole.y.ravel(), whole.z.ravel())
    region = tuple(
        slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b)))
        for axis, a, b in zip(axes, low, high, strict=True)
    )
    i, j, k = region
    return Frame(whole.x[i], whole.y[:, j], whole.z[:, :, k], whole.step), (i, j, k)


def mirrored(whole: Frame) -> Frame:
    """Return ``whole`` with ``abs(x)`` for x: what is drawn at the right appears on both sides."""
    return replace(whole, x=np.abs(whole.x))


def ellipsoid(at: Frame, centre: Point, semi: Point) -> Float3:
    """Return the level set of an ellipsoid with semi-axes ``semi`` (mm)."""
    scaled = [
        (axis - np.float32(c)) / np.float32(s)
        for axis, c, s in zip((at.x, at.y, at.z), centre, semi, strict=True)
    ]
    radius = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
    steep = [(q / np.float32(s)) ** 2 for q, s in zip(scaled, semi, strict=True)]
    slope = np.sqrt(steep[0] + steep[1] + steep[2]) + np.float32(1e-4)
    level: Float3 = radius * (radius - np.float32(1)) / slope
    return level


def tube(at: Frame, points: Sequence[tuple[float, float, float, float]]) -> Float3:
    """Return the level set of a bent tube through ``points``, each (x, y, z, radius) in mm."""
    level = np.full(np.broadcast_shapes(at.x.shape, at.y.shape, at.z.shape), 1e3, np.float32)
    for first, last in pairwise(points):
        level = np.minimum(level, _segment(at, np.array(first), np.array(last)))
    return level


def _segment(at: Frame, first: NDArray[np.float64], last: NDArray[np.float64]) -> Float3:
    way = last - first
    unit = (way[:3] / (way[:3] @ way[:3])).astype(np.float32)
    start = first.astype(np.float32)
    dx, dy, dz = at.x - start[0], at.y - start[1], at.z - start[2]
    along = np.clip(dx * unit[0] + dy * unit[1] + dz * unit[2], 0, 1)
    step = way.astype(np.float32)
    square = (dx - along * step[0]) ** 2
    square += (dy - along * step[1]) ** 2
    square += (dz - along * step[2]) ** 2
    level: Float3 = np.sqrt(square) - (start[3] + along * step[3])
    return level


def smooth_union(a: Float3, b: Float3, width: float) -> Float3:
    """Return the union of two level sets, their crease filled over ``width`` mm."""
    blend = np.maximum(np.float32(width) - np.abs(a - b), 0)
    level: Float3 = np.minimum(a, b) - blend * blend * np.float32(0.25 / width)
    return level


def smooth_cut(a: Float3, b: Float3, width: float) -> Float3:
    """Return the intersection of two level sets, its edge rounded over ``width`` mm."""
    return -smooth_union(-a, -b, width)


def lattice_noise(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: float | Point
) -> Float3:
    """Return smooth noise of about unit variance.

    Parameters
    ----------
    rng : Generator
        Gives the knots.
    shape : (I, J, K)
        Nodes along each axis.
    spacing : float or (3,) float
        Distance between the knots of the cubic spline, in nodes.

    Returns
    -------
    (I, J, K) float32
    """
    spacings = np.broadcast_to(np.asarray(spacing, np.float64), 3)
    bases = [_spline_basis(n, float(gap)) for n, gap in zip(shape, spacings, strict=True)]
    knots = rng.standard_normal([basis.shape[1] for basis in bases]).astype(np.float32)
    noise = np.tensordot(knots, bases[2], axes=(2, 1))
    noise = np.tensordot(noise, bases[1], axes=(1, 1)).transpose(0, 2, 1)
    noise = np.tensordot(bases[0], noise, axes=(1, 0))
    level: Float3 = np.ascontiguousarray(noise, np.float32) * np.float32(3.2)
    return level


def _spline_basis(length: int, spacing: float) -> NDArray[np.float32]:
    position = np.arange(length, dtype=np.float32)[:, None] / np.float32(spacing)
    knots = np.arange(int(np.ceil(length / spacing)) + 3, dtype=np.float32)[None] - 1
    r = np.abs(position - knots)
    near = 2 / 3 - r**2 + r**3 / 2
    far = np.maximum(2 - r, 0) ** 3 / 6
    basis: NDArray[np.float32] = np.where(r < 1, near, far).astype(np.float32)
    return basis


def band_noise(rng: np.random.Generator, size: int, *, wavelength: float, octaves: float) -> Float3:
    """Return periodic noise whose energy lies around one wavelength.

    Parameters
    ----------
    rng : Generator
        Gives the white noise.
    size : int
        Nodes along each axis.
    wavelength : float
        In nodes.
    octaves : float
        Standard deviation of the band, in octaves.

    Returns
    -------
    (size, size, size) float32, unit variance
    """
    white = rng.standard_normal((size, size, size)).astype(np.float32)
    whole, half = np.fft.fftfreq(size), np.fft.rfftfreq(size)
    frequency = np.sqrt(
        whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half[None, None, :] ** 2
    )
    frequency[0, 0, 0] = 1e-6
    gain = np.exp(-0.5 * (np.log2(frequency * wavelength) / octaves) ** 2)
    noise = np.fft.irfftn(np.fft.rfftn(white) * gain, s=white.shape, axes=(0, 1, 2))
    level: Float3 = (noise / noise.std()).astype(np.float32)
    return level
