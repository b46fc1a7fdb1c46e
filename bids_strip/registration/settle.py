"""The last millimetres of a registration: by what lies within the brain, seen through a bias.

Two scans of a head differ by what is left of their bias and by the faults of their masks, far more
than by their anatomy. So the intensities are compared at points of the template, whatever the run's
mask says there, and the field that the run is seen through is solved for beside the affine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_STEP_MM, Affine, BrainMask, Float3, Grid, Template, Volume
from bids_strip.geometry import bounding_box, every_nth, mapped, redistanced, windowed
from bids_strip.registration.affine import (
    Points,
    away,
    length,
    moved,
    normal_equations,
    robust,
    rows,
    solved,
)
from bids_strip.slabs import along_axis

_SIGMA_MM = 2.0
"""Both images are seen through the same Gaussian, whatever their voxels."""
_APART_MM = 4.0
_ITERATIONS = 25
_THINNED = 5
"""One of so many points shows the way; all of them go the rest of it."""
_NEARLY_MM, _SETTLED_MM = 0.2, 0.05
_RIM_MM = 3.0
"""Points are compared as far outside the template's brain."""
_REACH_MM = 6.0
_SHAPE = 0.05
"""Weight of the distances beside the intensities: enough to hold a brain that looks unlike."""
_LOST_MM = 1.0
"""Surfaces may lie farther apart by this in the mean than where the refinement began."""
_MARGIN_MM = 12.0
_LEAST_SHARE = 0.25


def settled(
    moving: Volume, brain: BrainMask, template: Template, start: Affine, *, threads: int = 1
) -> Affine:
    """Refine an affine that is right within a few mm.

    Parameters
    ----------
    moving
        Intensities on the native grid, of any contrast.
    brain
        The stored distances.
    template
        Image and mask.
    start : (4, 4) float64
        RAS mm of the template -> RAS mm of the run.
    threads : int
        Slabs that are smoothed side by side.

    Returns
    -------
    (4, 4) float64
        Likewise; `start` if too little of the template lies in the native field of view, or if the
        surfaces would part: what looks alike is not the same place then.

    Notes
    -----
    The run's intensity is taken for ``f(x) + g(x) T + c T^2 + d T^3`` of the template's T, f and g
    quadratic in space. Gauss-Newton with the slopes of the model instead of the run's, which carry
    its noise (Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd), weights of Geman
    and McClure. Deterministic.
    """
    points = _points(template, threads)
    run = _run(moving, brain, threads)
    before, to_native = _apart_mm(run, points, start), start
    for some, settled_mm in ((points.every(_THINNED), _NEARLY_MM), (points, _SETTLED_MM)):
        for _ in range(_ITERATIONS):
            step = _step(run, some, to_native)
            if step is None:
                return start
            to_native = moved(to_native, step, points.centre)
            if length(step) < settled_mm:
                break
    return to_native if _apart_mm(run, points, to_native) <= before + _LOST_MM else start


def _apart_mm(run: _Run, points: _Points, to_native: Affine) -> float:
    """Mean difference of the two distances near the surface, where both are known."""
    near = np.abs(points.sdt) < _REACH_MM
    index = mapped(np.linalg.inv(run.grid.affine), mapped(to_native, points.places[near])).T
    steps = ndimage.map_coordinates(run.steps, index, order=1, mode="nearest", output=np.float64)
    apart = np.clip(steps * SDT_STEP_MM, -_REACH_MM, _REACH_MM) - points.sdt[near]
    return float(np.abs(apart).mean())


@dataclass(frozen=True, eq=False)
class _Run:
    """The run's brain and surroundings: smoothed, and its distances in steps of `SDT_STEP_MM`."""

    grid: Grid
    smooth: Float3
    steps: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class _Points:
    """The template's points that are compared, N of them.

    Attributes
    ----------
    places : (N, 3) float64
        RAS mm.
    centre : (3,) float64
        Their mean, RAS mm.
    basis, slope : (N, 22) float64
        What the run's intensity is a sum of, and its derivative with respect to the template's.
    gradient : (N, 3) float64
        Of the template's intensity, per mm.
    sdt : (N,) float64, mm
        Clipped to the reach.
    normal : (N, 3) float64
        Gradient of the distance.
    """

    places: Points
    centre: Points
    basis: Points
    slope: Points
    gradient: Points
    sdt: Points
    normal: Points

    def every(self, nth: int) -> _Points:
        """Every n-th of them, about the same centre."""
        return _Points(self.places[::nth], self.centre, self.basis[::nth], self.slope[::nth],
                       self.gradient[::nth], self.sdt[::nth], self.normal[::nth])  # fmt: skip


def _run(moving: Volume, brain: BrainMask, threads: int) -> _Run:
    box = bounding_box(brain.sdt_steps <= 0, margin_mm=_MARGIN_MM, zooms=moving.grid.zooms)
    part = np.ascontiguousarray(moving.data[box])
    grid = Grid((part.shape[0], part.shape[1], part.shape[2]), windowed(moving.grid.affine, box))
    return _Run(grid, _smoothed(part, grid, threads), np.ascontiguousarray(brain.sdt_steps[box]))


def _smoothed(data: Float3, grid: Grid, threads: int = 1) -> Float3:
    """By what a voxel's own box lacks of the Gaussian."""
    sigmas = [max(_SIGMA_MM**2 - zoom**2 / 12, 0.0) ** 0.5 / zoom for zoom in grid.zooms]
    for axis, sigma in enumerate(sigmas):
        if not sigma:  # the voxel is wide enough as it is
            continue
        smooth = partial(_smooth, axis=axis, sigma=sigma)
        data = along_axis(smooth, data, axis, threads=threads)
    return data


def _smooth(data: Float3, out: Float3, *, axis: int, sigma: float) -> None:
    ndimage.gaussian_filter1d(data, sigma, axis, output=out, truncate=3.0)


@lru_cache(maxsize=2)
def _points(template: Template, threads: int) -> _Points:
    """Every n-th voxel of the brain and its rim; kept for the next run."""
    grid = template.image.grid
    box = bounding_box(template.mask, margin_mm=_MARGIN_MM, zooms=grid.zooms)
    smooth = _smoothed(template.image.data[box], grid, threads)
    soft = _smoothed(template.mask[box].astype(np.float32), grid, threads)
    lattice = every_nth(grid.zooms, _APART_MM)
    strides = np.array([side.step for side in lattice], dtype=np.float64)
    i, j, k = strides * grid.zooms
    sdt = redistanced(np.float32(0.5) - soft[lattice], zooms=(i, j, k), limit_mm=_REACH_MM + 2 * k)
    near = sdt < _RIM_MM
    to_world = np.linalg.inv(grid.affine)[:3, :3]
    slopes = [np.asarray(slope)[lattice][near] for slope in np.gradient(smooth)]
    gradient = np.column_stack(slopes) @ to_world
    normal = np.column_stack([np.asarray(n)[near] for n in np.gradient(sdt)]) / strides @ to_world
    corner = np.array([side.start for side in box], dtype=np.float64)
    places = mapped(grid.affine, np.argwhere(near) * strides + corner)
    value = smooth[lattice][near].astype(np.float64)[:, None]
    centre = places.mean(axis=0)
    spread = max(float(value.std()), 1e-6)
    value = (value - value.mean()) / spread
    field = _quadratics(away(places, centre))
    basis = np.column_stack([field, field * value, value**2, value**3])
    slope = np.column_stack([np.zeros_like(field), field, 2 * value, 3 * value**2])
    distance = np.clip(sdt[near], -_REACH_MM, _REACH_MM).astype(np.float64)
    normal[np.abs(distance) >= _REACH_MM] = 0.0
    return _Points(places, centre, basis, slope, gradient / spread, distance, normal)


def _quadratics(away: Points) -> Points:
    """(N, 10): 1, x, y, z, and their products two by two."""
    one = np.column_stack([np.ones(len(away)), away])
    return np.column_stack([one[:, a] * one[:, b] for a in range(4) for b in range(a, 4)])


def _step(run: _Run, points: _Points, to_native: Affine) -> Points | None:
    """The next step, (12,) of `affine.generators`; None if too few points are seen."""
    world = mapped(to_native, points.places)
    index = mapped(np.linalg.inv(run.grid.affine), world).T
    inside = (index >= 0) & (index <= np.array(run.grid.shape)[:, None] - 1)
    seen = np.asarray(inside.all(axis=0))
    if np.count_nonzero(seen) < _LEAST_SHARE * len(points.places):
        return None
    found = ndimage.map_coordinates(run.smooth, index[:, seen], order=1).astype(np.float64)
    basis = points.basis[seen]
    fit = solved(*normal_equations(basis, found))
    unexplained = found - np.einsum("ni,i->n", basis, fit)
    weight, _ = robust(unexplained)
    around = away(world[seen], mapped(to_native, points.centre))
    pulled = np.linalg.inv(to_native[:3, :3])
    slope = np.einsum("ni,i->n", points.slope[seen], fit)
    inner = rows((slope[:, None] * points.gradient[seen]) @ pulled, around, 12)
    inner = np.column_stack([inner, -basis])
    normal, right = normal_equations(inner, unexplained, weight)

    steps = ndimage.map_coordinates(run.steps, index[:, seen], order=1, output=np.float64)
    apart = np.clip(steps * SDT_STEP_MM, -_REACH_MM, _REACH_MM) - points.sdt[seen]
    near = np.abs(points.sdt[seen]) < _REACH_MM
    outer = rows(points.normal[seen][near] @ pulled, around[near], 12)
    weight = _SHAPE * robust(apart[near])[0]
    of_shape, aim = normal_equations(outer, apart[near], weight)
    normal[:12, :12] += of_shape
    right[:12] += aim
    return solved(normal, -right)[:12]
