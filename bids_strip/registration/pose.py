"""Where a head lies: the affine that brings its surface onto the coarse reference brain.

Words:

pose
    (4, 4) float64, an affine from the reference's RAS+ mm to a head's own mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Float3
from bids_strip.geometry import mapped
from bids_strip.registration.affine import (
    Points,
    away,
    length,
    moved,
    normal_equations,
    robust,
    rotation,
    rotation_vector_deg,
    rows,
    solved,
)
from bids_strip.registration.reference import Reference, scale_of

_BAND_MM = 8.0
_THIN, _THINNER = 3, 12
"""Every so many points of the band are compared; fewer while a start is chosen."""
_ROUGHLY, _FINELY = 5, 25
"""Steps from each start, and from the best of them."""
_DONE_MM = 0.05
_UPRIGHT_DEG = ((0.0, 0.0, 0.0), (25.0, 0.0, 0.0), (-25.0, 0.0, 0.0))
_DIAGONAL_DEG = 180 / 2**0.5
_TURNED_DEG = (
    (0.0, 180.0, 0.0), (0.0, 0.0, 180.0), (180.0, 0.0, 0.0),
    (90.0, 0.0, 0.0), (-90.0, 0.0, 0.0), (0.0, 90.0, 0.0), (0.0, -90.0, 0.0),
    (0.0, 0.0, 90.0), (0.0, 0.0, -90.0),
    (0.0, _DIAGONAL_DEG, _DIAGONAL_DEG), (0.0, _DIAGONAL_DEG, -_DIAGONAL_DEG),
)  # fmt: skip
"""Rotation vectors of heads whose header has an axis the wrong way round, or two swapped: a mirror
image is as good as the head, because the reference has no handedness."""
_TRIED = 2
_NEAR_MM = 2.5
"""An upright head that lies nearer than this is not turned; turned ones stay beyond 3 mm."""
_CLEARLY = 0.85
"""A turned head has to lie nearer than an upright one by this factor."""


def fitted(sdt_mm: Float3, affine: Affine, reference: Reference) -> Affine:
    """Bring a surface onto the reference by the affine that leaves least between them.

    Parameters
    ----------
    sdt_mm : (I, J, K) float32
        Signed distance to the head's surface, negative inside, at least at one voxel; 3 mm apart
        is near enough.
    affine : (4, 4) float64
        Voxels of `sdt_mm` -> mm.
    reference
        What to fit to.

    Returns
    -------
    (4, 4) float64
        The pose, a proper one: without a mirror.

    Notes
    -----
    Gauss-Newton on the distances within 8 mm of the reference's surface with the slopes of the
    reference (Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd) and weights of Geman
    and McClure, so that a part that is missing does not drag the rest. Starts share the centre and
    the size; the likeliest of them are tried with seven degrees of freedom, the best goes on with
    twelve. Deterministic.
    """
    head, points = (
        _Head(sdt_mm, np.asarray(np.linalg.inv(affine), dtype=np.float64)),
        _points(reference),
    )
    few = points.every(_THINNER)
    start = _start(sdt_mm, affine, reference)
    best = _best(head, few, start, _UPRIGHT_DEG)
    apart = _misfit_mm(head, few, best)
    if apart > _NEAR_MM:
        turned = _best(head, few, start, _TURNED_DEG)
        best = turned if _misfit_mm(head, few, turned) < _CLEARLY * apart else best
    return _refined(head, points.every(_THIN), best, dof=12, steps=_FINELY)


def turn_deg(pose: Affine) -> NDArray[np.float64]:
    """Rotation vector of a pose, (3,) degrees about the axes R, A, S.

    Right-handed: positive about the first axis lifts the face, about the second lowers the right
    ear, about the third turns the face to the left.
    """
    left, _, right = np.linalg.svd(pose[:3, :3])
    return rotation_vector_deg(left @ right)


@dataclass(frozen=True, eq=False)
class _Head:
    """A head's distances, mm, and where they lie: head mm -> voxel."""

    sdt_mm: Float3
    to_voxel: Affine

    def at(self, places: Points) -> Points:
        """(N,) distances at places in head mm."""
        index = mapped(self.to_voxel, places).T
        return np.asarray(
            ndimage.map_coordinates(self.sdt_mm, index, order=1, mode="nearest", output=np.float64)
        )


@dataclass(frozen=True, eq=False)
class _Points:
    """Points near the reference's surface, N of them.

    Attributes
    ----------
    places : (N, 3) float64
        Reference mm.
    sdt : (N,) float64, mm
        Of the reference.
    slope : (N, 3) float64
        Its gradient.
    """

    places: Points
    sdt: Points
    slope: Points

    def every(self, nth: int) -> _Points:
        """Every n-th of them."""
        return _Points(self.places[::nth], self.sdt[::nth], self.slope[::nth])


def _points(reference: Reference) -> _Points:
    band = np.abs(reference.sdt_mm) <= _BAND_MM
    slopes = np.gradient(reference.sdt_mm, *reference.grid.zooms)
    return _Points(
        mapped(reference.grid.affine, np.argwhere(band).astype(np.float64)),
        reference.sdt_mm[band].astype(np.float64),
        np.stack([np.asarray(slope)[band] for slope in slopes], axis=1).astype(np.float64),
    )


def _start(sdt_mm: Float3, affine: Affine, reference: Reference) -> Affine:
    """Same centre, same volume."""
    own, volume = _middle(sdt_mm <= 0, affine)
    centre, other = _middle(reference.sdt_mm <= 0, reference.grid.affine)
    pose = np.eye(4)
    pose[:3, :3] *= (volume / other) ** (1 / 3)
    pose[:3, 3] = own - pose[:3, :3] @ centre
    return pose


def _middle(inside: NDArray[np.bool_], affine: Affine) -> tuple[Points, float]:
    """Centre, mm, and volume, mm3."""
    indices = np.argwhere(inside).astype(np.float64)
    volume = len(indices) * float(abs(np.linalg.det(affine[:3, :3])))
    return mapped(affine, indices.mean(axis=0)), volume


def _best(
    head: _Head, points: _Points, start: Affine, turns_deg: tuple[tuple[float, ...], ...]
) -> Affine:
    """The best of some attitudes after a few steps from each of the likeliest."""
    poses = [_turned(start, turn, points.places.mean(axis=0)) for turn in turns_deg]
    likely = sorted(poses, key=lambda pose: _misfit_mm(head, points, pose))[:_TRIED]
    tried = [_refined(head, points, pose, dof=7, steps=_ROUGHLY) for pose in likely]
    return min(tried, key=lambda pose: _misfit_mm(head, points, pose))


def _turned(pose: Affine, turn: tuple[float, ...], centre: Points) -> Affine:
    """Turn a head about the reference's centre."""
    change = np.eye(4)
    change[:3, :3] = rotation(np.array(turn))
    change[:3, 3] = centre - change[:3, :3] @ centre
    return np.asarray(pose @ change)


def _refined(head: _Head, points: _Points, pose: Affine, *, dof: int, steps: int) -> Affine:
    """Up to so many steps of Gauss-Newton."""
    centre = points.places.mean(axis=0)
    for _ in range(steps):
        world = mapped(pose, points.places)
        apart = _apart_mm(head, points, pose)
        pulled = points.slope @ np.linalg.inv(pose[:3, :3]) * scale_of(pose)
        slope = rows(pulled, away(world, mapped(pose, centre)), dof)
        weight, _ = robust(apart)
        step = solved(*normal_equations(slope, -apart, weight))
        pose = moved(pose, step, centre)
        if length(step) < _DONE_MM:
            break
    return pose


def _apart_mm(head: _Head, points: _Points, pose: Affine) -> Points:
    """(N,): how much farther in than the reference's the head's surface lies, reference mm."""
    found = head.at(mapped(pose, points.places)) / scale_of(pose)
    return np.clip(found, -_BAND_MM, _BAND_MM) - points.sdt


def _misfit_mm(head: _Head, points: _Points, pose: Affine) -> float:
    """Mean distance between the surfaces, as far as the band reaches."""
    return float(np.abs(_apart_mm(head, points, pose)).mean())
