"""How a predicted distance field differs from the true one: pure functions of both.

Fields are looked at on a grid `FINER` times as fine, so that what is measured is their zero level
and not the steps of voxels. The fields' values are no distances between surfaces: neither rises by
one mm a mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from torch.nn import functional as F

from benchmarks.overlap import Points, SurfaceDistances, crossings, weighted_percentile
from bids_strip.domain import Bool3, Float3
from bids_strip.geometry import bounding_box

FINER = 2
"""Times as fine as the network's grid."""
POINTS = 20_000
"""Points of a surface, at most, that are measured."""
NOT_MEASURED = SurfaceDistances(nan, nan, nan)


@dataclass(frozen=True, slots=True)
class Missed:
    """What the mask leaves out of the brain labels.

    Attributes
    ----------
    ml, share
        Its volume, and the share of the labels' own.
    out_mm
        Greatest distance to the mask; infinite without one.
    deep_mm
        How deep it lies beneath the surface of the labels in the field of view, at most; on the
        finer grid, so that .8 mm may be missing. A thin spur is far from the mask along its whole
        length, and never deep.
    """

    ml: float
    share: float
    out_mm: float
    deep_mm: float


def apart(found_mm: Float3, true_mm: Float3, seen: Bool3, *, zoom_mm: float) -> SurfaceDistances:
    """Measure from each surface to the plane of the other at its nearest point.

    Parameters
    ----------
    found_mm, true_mm : (I, J, K) float32
        Negative inside.
    seen : (I, J, K) bool
        The field of view: points of a surface outside it are not measured.
    zoom_mm : float
        Voxel size.

    Returns
    -------
    SurfaceDistances
        Positive where the predicted surface lies outside; NaN where one of them has no point.
    """
    inside = (found_mm <= 0) | (true_mm <= 0)
    if not inside.any():
        return NOT_MEASURED
    box = bounding_box(inside, margin_mm=2 * zoom_mm, zooms=(zoom_mm,) * 3)
    surfaces = [one[box] for one in (found_mm, true_mm)]
    points = [_points(one) for one in surfaces]
    if not all(len(one) for one in points):
        return NOT_MEASURED
    there = [one[_at(seen[box], one)] for one in points]
    outwards = _from_surface(_some(there[0]), points[1], surfaces[1])
    inwards = _from_surface(_some(there[1]), points[0], surfaces[0])
    if not (outwards.size and inwards.size):
        return NOT_MEASURED
    signed = np.concatenate([outwards, -inwards]) * zoom_mm
    weights = np.repeat([0.5 / outwards.size, 0.5 / inwards.size], [outwards.size, inwards.size])
    size = np.abs(signed)
    return SurfaceDistances(
        signed_mm=float(weights @ signed),
        mean_mm=float(weights @ size),
        p95_mm=weighted_percentile(size, weights, 0.95),
    )


def missed(
    found_mm: Float3,
    tissue_mm: Float3,
    seen: Bool3,
    *,
    zoom_mm: float,
    doubtful: Bool3 | None = None,
) -> Missed:
    """Measure the brain labels inside the field of view that the mask leaves out.

    Parameters
    ----------
    found_mm : (I, J, K) float32
        The predicted distance: the mask is where it is 0 or less.
    tissue_mm : (I, J, K) float32
        The true distance of the labels' surface, negative inside.
    seen : (I, J, K) bool
    zoom_mm : float
    doubtful : (I, J, K) bool or None
        Where, and next to it, labels may be left out; they stay part of the labels' depth.
    """
    if not (tissue_mm <= 0).any():
        return Missed(0.0, 0.0, 0.0, 0.0)
    box = bounding_box(tissue_mm <= 0, margin_mm=4 * zoom_mm, zooms=(zoom_mm,) * 3)
    mask, labels = (finer(one[box]) <= 0 for one in (found_mm, tissue_mm))
    inside = labels & (finer(seen[box].astype(np.float32)) > 0.5)
    lost = inside & ~mask
    if doubtful is not None:
        lost &= ~(finer(doubtful[box].astype(np.float32)) > 0)
    step_mm = zoom_mm / FINER
    if not lost.any():
        return Missed(0.0, 0.0, 0.0, 0.0)
    out = ndimage.distance_transform_edt(~mask)[lost].max() if mask.any() else np.inf
    deep = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1, 1:-1][lost].max()
    return Missed(
        ml=int(lost.sum()) * step_mm**3 / 1000,
        share=int(lost.sum()) / int(inside.sum()),
        out_mm=(float(out) - 0.5) * step_mm,
        deep_mm=(float(deep) - 0.5) * step_mm,
    )


def finer(field: Float3) -> Float3:
    """A field on a grid `FINER` times as fine, the first and the last voxels where they were."""
    shape = [(n - 1) * FINER + 1 for n in field.shape]
    coarse = torch.from_numpy(np.ascontiguousarray(field, np.float32))[None, None]
    fine: Float3 = F.interpolate(coarse, shape, mode="trilinear", align_corners=True)[0, 0].numpy()
    return fine


def _points(field: Float3) -> Points:
    """Points (N, 3) of the zero level, in voxels of the field."""
    fine = finer(field)
    return np.concatenate([crossings(fine, axis, (1 / FINER,) * 3) for axis in range(3)])


def _some(points: Points) -> Points:
    """At most `POINTS` of them, the same of the same points.

    By chance: they come in pairs of where a line enters and leaves, which an even step would part.
    """
    return points[np.random.default_rng(0).permutation(len(points))[:POINTS]]


def _at(values: Bool3, points: Points) -> NDArray[np.bool_]:
    """Values of the voxels nearest to points."""
    i, j, k = np.rint(points).astype(int).T
    return np.asarray(values[i, j, k])


def _from_surface(points: Points, surface: Points, field: Float3) -> NDArray[np.float64]:
    """Voxels from each point to the plane of a surface at its nearest point, negative inside."""
    _, nearest = cKDTree(surface).query(points)
    foot = surface[nearest]
    slopes = np.gradient(np.clip(field, -10, 10))
    normal = np.stack(
        [ndimage.map_coordinates(s, foot.T, order=1, mode="nearest") for s in slopes], axis=1
    )
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.asarray(((points - foot) * normal / np.maximum(length, 1e-6)).sum(axis=1))
