"""Find the affine from a run to a template: twelve parameters, by brain shape and intensities.

The surface catches (the neck has no part in it); intensities and surface together come within a few
mm, and `bids_strip.registration.settle` goes on from there. The contrast is not looked at: the
image is compared with the best cubic of the template's intensity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import (
    Affine,
    Bool3,
    BrainMask,
    Float3,
    Grid,
    Template,
    Volume,
)
from bids_strip.geometry import (
    bounding_box,
    mapped,
    redistanced,
    resampled,
    resampling_matrix,
)
from bids_strip.registration.affine import (
    Points,
    away,
    length,
    moved,
    normal_equations,
    robust,
    rotation,
    rows,
    solved,
)
from bids_strip.registration.settle import settled

_STARTS_DEG = ((0, 0, 0), (25, 0, 0), (-25, 0, 0), (50, 0, 0), (-50, 0, 0), (0, 25, 0),
               (0, -25, 0), (0, 0, 25), (0, 0, -25))  # fmt: skip
"""Turns about R, A or S from which the search begins: nods reach farther than the others."""
_SEARCH_MM = 8.0
_FINE_MM = 5.0
_ITERATIONS = 15
_TRIAL_ITERATIONS = 8
_MARGIN_MM = 30.0
_REACH = 3.0
"""Distances are compared as far as this many spacings from the surface."""
_THINNED = 4
"""One of so many points is compared, staggered: they are neither few nor independent."""
_SETTLED_MM = 0.02
_DAMPING = 1e-3
_LEAST_POINTS = 24
_LEAST_SHARE = 0.25
_SDT_MM = 60.0
_LEAST_COVER = 0.6


@dataclass(frozen=True, eq=False)
class _Level:
    """One brain at one spacing.

    Attributes
    ----------
    grid
        Spaced alike along each axis, in the surroundings of the brain.
    sdt : (I, J, K) float32, mm
        Distance to the surface, negative inside.
    intensity : (I, J, K) float32
        Mean over the brain within reach of the voxel.
    cover : (I, J, K) float32
        Share of that reach that is brain.
    """

    grid: Grid
    sdt: Float3
    intensity: Float3
    cover: Float3


@dataclass(frozen=True, eq=False)
class _Match:
    """An affine and how well it fits.

    Attributes
    ----------
    to_native : (4, 4) float64
        RAS mm of the template -> RAS mm of the run.
    cost
        Sum of the logarithms of the two residuals' scales; lower is better.
    """

    to_native: Affine
    cost: float


def register(moving: Volume, brain: BrainMask, template: Template, *, threads: int = 1) -> Affine:
    """Register a run to a template.

    Parameters
    ----------
    moving
        Intensities on the native grid, of any contrast; those within the surface are used.
    brain
        The stored distances: the border has no part in this.
    template
        Image and mask.
    threads : int
        Slabs that are worked on side by side.

    Returns
    -------
    (4, 4) float64
        RAS mm of the run -> RAS mm of the template.

    Notes
    -----
    Gauss-Newton on the robustly weighted differences of distances and of intensities, each in units
    of its own scale (a maximum likelihood estimate); the intensities' cubic is solved for together
    with the affine, as in Friston et al. 1995, doi:10.1002/hbm.460030303. Deterministic.
    """
    inside = brain.sdt_steps <= 0
    coarse = _level(moving, inside, _SEARCH_MM), _template_level(template, _SEARCH_MM)
    begun = [
        _fitted(*coarse, start, dof=7, iterations=_TRIAL_ITERATIONS)
        for start in _starts(moving, inside, template)
    ]
    best = min(begun, key=lambda match: match.cost)
    best = _fitted(*coarse, best.to_native, dof=12)
    fine = _level(moving, inside, _FINE_MM), _template_level(template, _FINE_MM)
    best = _fitted(*fine, best.to_native, dof=12)
    return np.asarray(
        np.linalg.inv(settled(moving, brain, template, best.to_native, threads=threads))
    )


def _starts(moving: Volume, inside: Bool3, template: Template) -> list[Affine]:
    """Centres on each other, volumes equal, turned by `_STARTS_DEG`; template -> native."""
    here, volume = _moments(inside, moving.grid)
    there, other = _moments(template.mask, template.image.grid)
    scale = (volume / other) ** (1 / 3)
    starts = []
    for angles in _STARTS_DEG:
        start = np.eye(4)
        start[:3, :3] = scale * rotation(np.array(angles, dtype=np.float64))
        start[:3, 3] = here - start[:3, :3] @ there
        starts.append(start)
    return starts


def _moments(mask: Bool3, grid: Grid) -> tuple[Points, float]:
    """Centre of a mask, RAS mm, and its volume, ml."""
    index = np.array([
        float((np.arange(n) * np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis)))
              .sum())
        for axis, n in enumerate(mask.shape)
    ]) / np.count_nonzero(mask)  # fmt: skip
    centre = grid.affine[:3, :3] @ index + grid.affine[:3, 3]
    return centre, float(np.count_nonzero(mask)) * grid.voxel_volume_ml


@lru_cache(maxsize=4)
def _template_level(template: Template, spacing_mm: float) -> _Level:
    """The template at a spacing; kept for the next run."""
    return _level(template.image, template.mask, spacing_mm)


def _level(volume: Volume, inside: Bool3, spacing_mm: float) -> _Level:
    """Average a brain's intensities, and measure distances to its surface, on a coarser grid."""
    zooms = volume.grid.zooms
    box = bounding_box(inside, margin_mm=_MARGIN_MM, zooms=zooms)
    part, data = inside[box].astype(np.float32), volume.data[box]
    steps = [max(spacing_mm / zoom, 1.0) for zoom in zooms]
    i, j, k = (int(np.ceil(n / step)) for n, step in zip(part.shape, steps, strict=True))
    x, y, z = (
        resampling_matrix(n_in, n_out, first=(step - 1) / 2, step=step, hold=True)
        for n_in, n_out, step in zip(part.shape, (i, j, k), steps, strict=True)
    )
    cover = resampled(part, (x, y, z))
    total = resampled(data * part, (x, y, z))
    intensity = np.asarray(total / np.maximum(cover, 1e-3), dtype=np.float32)
    affine = volume.grid.affine @ np.diag([*steps, 1.0])
    first = [e.start + (s - 1) / 2 for e, s in zip(box, steps, strict=True)]
    affine[:3, 3] = mapped(volume.grid.affine, np.array(first))
    grid = Grid((i, j, k), affine)
    sdt = redistanced((np.float32(0.5) - cover), zooms=grid.zooms, limit_mm=_SDT_MM)
    return _Level(grid, sdt, intensity, cover)


def _fitted(
    run: _Level, base: _Level, start: Affine, *, dof: int, iterations: int = _ITERATIONS
) -> _Match:
    """Gauss-Newton from a start, with 7 (turn, shift, one scale) or 12 parameters."""
    fields, target = _fields(run), _target(base)
    to_native, cost = start, np.inf
    for _ in range(iterations):
        step, cost = _step(fields, target, run.grid, to_native, dof)
        to_native = moved(to_native, step, target.centre)
        if length(step) < _SETTLED_MM:
            break
    return _Match(to_native, cost)


@dataclass(frozen=True, eq=False)
class _Target:
    """The template's points that are compared, N of them, and their values.

    Attributes
    ----------
    points : (N, 3) float64
        RAS mm.
    sdt : (N,) float32
        Clipped to the reach, mm.
    basis : (N, 7) float64
        What the run's intensity is taken for a sum of: 1, T, T^2, T^3 of the template's intensity
        T, and T x, T y, T z for what is left of the bias.
    brain : (N,) bool
        Where intensities are compared.
    reach_mm
        See `_REACH`.
    centre : (3,) float64
        Mean of the points.
    """

    points: Points
    sdt: Points
    basis: Points
    brain: NDArray[np.bool_]
    reach_mm: float
    centre: Points


def _target(base: _Level) -> _Target:
    reach_mm = _REACH * max(base.grid.zooms)
    near = (base.sdt < reach_mm) & (np.indices(base.grid.shape).sum(axis=0) % _THINNED == 0)
    points = mapped(base.grid.affine, np.argwhere(near))
    brain = base.cover[near] > _LEAST_COVER
    values = base.intensity[near].astype(np.float64)
    values = (values - values[brain].mean()) / max(float(values[brain].std()), 1e-6)
    centre = points[brain].mean(axis=0)
    basis = np.column_stack([np.ones_like(values), values, values**2, values**3,
                             values[:, None] * away(points, centre)])  # fmt: skip
    sdt = np.clip(base.sdt[near], -reach_mm, reach_mm).astype(np.float64)
    return _Target(points, sdt, basis, brain, reach_mm, centre)


def _fields(run: _Level) -> NDArray[np.float32]:
    """Cover, distance and its slopes, intensity and its slopes along the voxel axes.

    Returns
    -------
    (I, J, K, 9) float32
        Those of a voxel side by side: they are looked up together.
    """
    fields = [run.cover]
    for values in (run.sdt, run.intensity):
        fields += [values, *(_slope(values, axis) for axis in range(3))]
    return np.stack(fields, axis=-1)


def _slope(values: NDArray[np.floating], axis: int) -> NDArray[np.float32]:
    """Along an axis; none where a slab is a single voxel thick."""
    if values.shape[axis] == 1:
        return np.zeros(values.shape, np.float32)
    return np.asarray(np.gradient(values, axis=axis), np.float32)


def sampled(fields: NDArray[np.float32], index: Points) -> NDArray[np.float32]:
    """Fields at places of their grid, interpolated linearly.

    Parameters
    ----------
    fields : (I, J, K, F) float32
        Those of a voxel side by side.
    index : (N, 3) float64
        Voxels, from 0 to the last along each axis.

    Returns
    -------
    (N, F) float32
    """
    below = np.minimum(index.astype(np.intp), np.maximum(np.array(fields.shape[:3]) - 2, 0))
    part = (index - below).astype(np.float32)
    i, j, k = (np.stack([1 - one, one]) for one in part.T)
    _, length, width, count = fields.shape
    first = (below[:, 0] * length + below[:, 1]) * width + below[:, 2]
    voxels = fields.reshape(-1, count)
    found = np.zeros((len(index), count), dtype=np.float32)
    for a, b, c in product((0, 1), repeat=3):
        weight = i[a] * j[b] * k[c]
        beside = (a * length + b) * width + c
        found += weight[:, None] * voxels.take(first + beside, axis=0, mode="clip")
    return found


def _step(
    fields: NDArray[np.float32], target: _Target, grid: Grid, to_native: Affine, dof: int
) -> tuple[Points, float]:
    """One Gauss-Newton step, (dof,) of `affine.generators`, and the cost before it."""
    world = mapped(to_native, target.points)
    inverse = np.linalg.inv(grid.affine)
    index = mapped(inverse, world)
    seen = ((index >= 0) & (index <= np.array(grid.shape) - 1)).all(axis=1)
    found = sampled(fields, index[seen])
    cover, sdt, values = found[:, 0], found[:, 1], found[:, 5]
    slopes = [found[:, n : n + 3] @ inverse[:3, :3] for n in (2, 6)]
    around = away(world[seen], mapped(to_native, target.centre))
    both = target.brain[seen] & (cover > _LEAST_COVER)
    if np.count_nonzero(both) < max(_LEAST_POINTS, _LEAST_SHARE * target.brain.sum()):
        return np.zeros(dof), np.inf
    reach = target.reach_mm
    slopes[0][np.abs(sdt) > reach] = 0.0
    distance = np.clip(sdt, -reach, reach) - target.sdt[seen]
    weight, shape_scale = robust(distance)
    of_shape, aim = normal_equations(rows(slopes[0], around, dof), distance, weight)
    basis, intensity = target.basis[seen][both], values[both].astype(np.float64)
    intensity = intensity - intensity.mean()
    fit = solved(*normal_equations(basis, intensity))
    unexplained = intensity - np.einsum("ni,i->n", basis, fit)
    inner = np.column_stack([rows(slopes[1][both], around[both], dof), -basis])
    weight, scale = robust(unexplained)
    normal, right = normal_equations(inner, unexplained, weight)
    normal[:dof, :dof] += of_shape
    right[:dof] += aim
    normal[np.diag_indices(dof)] *= 1 + _DAMPING
    step = solved(normal, -right)[:dof]
    spread = max(float(intensity.std()), 1e-9)
    return step, float(np.log(shape_scale) + np.log(scale / spread))
