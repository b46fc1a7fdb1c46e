"""A smooth field over a box: a few cosines an axis, fitted by penalised least squares; pure.

As in unified segmentation (Ashburner and Friston 2005, doi:10.1016/j.neuroimage.2005.02.018) the
logarithm of the field is a sum of the lowest cosines of a box, which cannot bend within less than
their shortest half-wave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Float3, Shape3, Zooms
from bids_strip.geometry import Box
from bids_strip.slabs import in_slabs

Waves = NDArray[np.int64]
_SAMPLES = 1 << 13
"""Voxels of a part that is worked on at a time."""
_STIFFNESS = 0.05
"""Weight of the field's bending beside the voxels' misfit, for a bend over a half-wave."""


@dataclass(frozen=True, eq=False)
class Cosines:
    """The lowest products of cosines over a box of voxels.

    Attributes
    ----------
    box
        Voxels that the cosines span; beyond it their value at its face holds.
    waves : (K, 3) int
        Half-waves of each product along each axis; never all 0.
    lengths : (K,) float64
        Half a wavelength of each product over the shortest one allowed: at least 1.
    """

    box: Box
    waves: Waves
    lengths: NDArray[np.float64]

    def tables(self, positions: Sequence[NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """Value of each cosine at voxels along each axis, three of (N, n)."""
        return [
            np.cos(
                np.pi * np.arange(self.waves[:, axis].max() + 1)[None, :] * self._place(axis, at)
            ).astype(np.float32)
            for axis, at in enumerate(positions)
        ]

    def _place(self, axis: int, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where voxels lie along a side of the box, 0 to 1; a column."""
        side = self.box[axis]
        held = np.clip(at, side.start, side.stop - 1)[:, None].astype(np.float64)
        return np.asarray((held - side.start + 0.5) / (side.stop - side.start))

    def at(self, positions: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Value of each product at voxels, (N, K)."""
        if not len(self.waves):
            return np.zeros((len(positions[0]), 0), np.float32)
        i, j, k = self.tables(positions)
        x, y, z = self.waves.T
        return np.asarray(i[:, x] * j[:, y] * k[:, z])


def cosines(box: Box, zooms: Zooms, shortest_mm: float) -> Cosines:
    """All products whose half-wave is at least so long, the constant left out.

    Parameters
    ----------
    box
        Voxels to span, both ends given.
    zooms
        Voxel sizes, mm.
    shortest_mm
        Half a wavelength, mm; 0 for no cosine at all.
    """
    if shortest_mm <= 0:
        return Cosines(box, np.zeros((0, 3), np.int64), np.zeros(0))
    sides = [(s.stop - s.start) * z for s, z in zip(box, zooms, strict=True)]
    most = [int(side / shortest_mm) for side in sides]
    waves = np.array(list(np.ndindex(*(n + 1 for n in most))))
    frequency = np.sqrt(((waves * (shortest_mm / np.array(sides))) ** 2).sum(axis=1))
    kept = (frequency <= 1) & (frequency > 0)
    return Cosines(box, waves[kept], 1 / frequency[kept])


def fit(
    basis: NDArray[np.float32], lengths: NDArray[np.float64], target: NDArray[np.float32],
    weight: NDArray[np.float32], *, threads: int = 1,
) -> NDArray[np.float64]:  # fmt: skip
    """Coefficients of the field nearest to a target.

    Parameters
    ----------
    basis : (N, K) float32
        From `Cosines.at`.
    lengths : (K,) float64
        As in `Cosines`: the longer a wave, the less it bends.
    target, weight : (N,) float32
        What to come near to, and how much each voxel counts.
    threads : int
        Parts that are worked on side by side.

    Returns
    -------
    (K,) float64
    """
    total = float(weight.sum(dtype=np.float64))
    if total <= 0 or not basis.shape[1]:
        return np.zeros(basis.shape[1])
    mean = float((weight * target).sum(dtype=np.float64)) / total

    def products(rows: slice) -> tuple[NDArray[np.floating[Any]], ...]:
        root = np.sqrt(weight[rows])
        weighted = basis[rows] * root[:, None]
        above = (target[rows] - np.float32(mean)) * root
        # by itself: of a symmetric product half is reckoned
        return weighted.T @ weighted, above @ weighted, root @ weighted

    parts = in_slabs(products, len(basis), threads=threads, thick=_SAMPLES)
    gram, aim, centre = (np.sum(one, axis=0, dtype=np.float64) / total
                         for one in zip(*parts, strict=True))  # fmt: skip
    gram -= np.outer(centre, centre)
    gram[np.diag_indices_from(gram)] += _STIFFNESS / lengths**4 + 1e-6
    return np.asarray(np.linalg.solve(gram, aim))


def field_over(
    waves: Cosines, coefficients: NDArray[np.float64], shape: Shape3, *, threads: int = 1
) -> Float3:
    """The field at every voxel of a grid.

    Parameters
    ----------
    waves
        The basis.
    coefficients : (K,) float64
        From `fit`.
    shape
        Of the grid that the box lies in.
    threads : int
        Slabs that are made side by side.

    Returns
    -------
    (I, J, K) float32
    """
    found = np.zeros(shape, dtype=np.float32)
    if not coefficients.size:
        return found
    cube = np.zeros(waves.waves.max(axis=0) + 1, dtype=np.float32)
    cube[tuple(waves.waves.T)] = coefficients
    first, second, third = waves.tables([np.arange(n) for n in shape])
    planes = np.matmul(second, cube) @ third.T
    lines, columns = planes.reshape(len(planes), -1), found.reshape(shape[0], -1)

    def make(rows: slice) -> None:
        np.matmul(first[rows], lines, out=columns[rows])

    in_slabs(make, shape[0], threads=threads)
    return found
