"""A stripped brain as a descriptor: what is a person's own, whatever scanner it was seen by.

Words:

descriptor
    (N,) int8, N of `points`: how bright the brain is at each point of the coarse reference against
    its surroundings there, in units of `STEP` standard deviations; 0 where there is no brain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_STEP_MM, Affine, Bool3, Float3, Grid
from bids_strip.geometry import bounding_box, every_nth, mapped, windowed, within
from bids_strip.registration.pose import fitted
from bids_strip.registration.reference import Reference

Descriptor = NDArray[np.int8]

VERSION = 1
"""Of the definition: descriptors of another one are made anew."""
STEP = 3.0 / 127
"""Standard deviations a step; three are the most."""
_DEPTH_MM = 3.0
"""Points lie this deep in the reference: farther out two scans differ by their masks."""
_FIT_MM = 3.0
_MARGIN_MM = 12.0
_FINE_MM = 2.0
_SOFT_MM = 2.0
_AROUND_MM = 8.0
_LEAST_SHARE = 0.3
_LIMIT = 3.0
_LEAST_ML = 10.0


def described(
    image: Float3, sdt_steps: NDArray[np.int16], grid: Grid, reference: Reference
) -> Descriptor | None:
    """Describe one brain.

    Parameters
    ----------
    image : (I, J, K) float32
        The stripped brain, in any unit.
    sdt_steps : (I, J, K) int16
        Stored distances to the brain's surface, in steps of `bids_strip.domain.SDT_STEP_MM`.
    grid
        Of both.
    reference
        In whose space.

    Returns
    -------
    Descriptor or None
        None if next to nothing lies within the surface.

    Notes
    -----
    The surface is brought onto the reference's by an affine. The brightness there, through a
    Gaussian of about 2 mm, is taken relative to the mean and the standard deviation within 8 mm: so
    what is left of a bias, the scale of the scanner and much of its contrast drop out.
    """
    if np.count_nonzero(within(sdt_steps, 0.0)) * grid.voxel_volume_ml < _LEAST_ML:
        return None
    box = bounding_box(within(sdt_steps, 0.0), margin_mm=_MARGIN_MM, zooms=grid.zooms)
    affine = windowed(grid.affine, box)
    steps = sdt_steps[box]
    pose = _pose(steps, affine, grid, reference)
    inside = within(steps, 0.0)
    share, bright, fine = _block_means(inside, image[box], affine, grid)
    share, bright = (_onto(part, fine, pose, reference.grid) for part in (share, bright))
    there = share > _LEAST_SHARE
    value = np.where(there, bright / np.maximum(share, _LEAST_SHARE), 0).astype(np.float32)
    relative = against_surroundings(value, there, reference.grid)
    return np.asarray(np.rint(relative[points(reference)] / STEP), dtype=np.int8)


def points(reference: Reference) -> Bool3:
    """(I, J, K): which points of the reference's grid a descriptor holds."""
    return np.asarray(reference.sdt_mm <= -_DEPTH_MM)


def against_surroundings(value: Float3, there: Bool3, grid: Grid) -> Float3:
    """Distance of a value from the mean around it, in standard deviations, three at most.

    Parameters
    ----------
    value : (I, J, K) float32
    there : (I, J, K) bool
        Where it is known; 0 elsewhere.
    grid
        Of both.
    """
    sd = [_AROUND_MM / zoom for zoom in grid.zooms]
    known = there.astype(np.float32)
    seen = np.maximum(ndimage.gaussian_filter(known, sd, truncate=2.5), 1e-3)
    apart = (value - ndimage.gaussian_filter(value * known, sd, truncate=2.5) / seen) * known
    spread = np.sqrt(ndimage.gaussian_filter(apart**2, sd, truncate=2.5) / seen)
    least = 1e-3 * float(np.abs(value).max(initial=1e-6))  # a flat patch stays flat
    return np.asarray(np.clip(apart / (spread + least), -_LIMIT, _LIMIT), dtype=np.float32)


def _pose(steps: NDArray[np.int16], affine: Affine, grid: Grid, reference: Reference) -> Affine:
    """Reference mm -> the run's own mm."""
    some = every_nth(grid.zooms, _FIT_MM)
    sdt_mm = steps[some].astype(np.float32) * np.float32(SDT_STEP_MM)
    return fitted(sdt_mm, windowed(affine, some), reference)


def _block_means(
    inside: Bool3, image: Float3, affine: Affine, grid: Grid
) -> tuple[Float3, Float3, Affine]:
    """Share of brain and its brightness in blocks of about 2 mm; voxels of these -> mm."""
    few = every_nth(grid.zooms, _FINE_MM)
    i, j, k = (side.step for side in few)
    whole = tuple(n // size for n, size in zip(inside.shape, (i, j, k), strict=True))
    cut = tuple(slice(n * size) for n, size in zip(whole, (i, j, k), strict=True))
    blocks = (whole[0], i, whole[1], j, whole[2], k)
    brain = np.where(inside, image, np.float32(0))
    share, bright = (
        part[cut].reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32) for part in (inside, brain)
    )
    fine = windowed(affine, few)
    fine[:3, 3] = mapped(affine, (np.array([i, j, k]) - 1) / 2)
    return share, bright, fine


def _onto(part: Float3, affine: Affine, pose: Affine, grid: Grid) -> Float3:
    """What is seen of a part at the reference's points, 0 beyond it."""
    zooms = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    soft = ndimage.gaussian_filter(part, _SOFT_MM / zooms, truncate=3.0)
    to_voxels = np.linalg.inv(affine) @ pose @ grid.affine
    return np.asarray(ndimage.affine_transform(
        soft, to_voxels[:3, :3], to_voxels[:3, 3], grid.shape, order=1))  # fmt: skip
