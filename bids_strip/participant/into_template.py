"""Bring a run's mask into a template space by a known affine, and judge the fit."""

from __future__ import annotations

from itertools import product

import numpy as np

from bids_strip.domain import (
    SDT_STEP_MM,
    Affine,
    BrainMask,
    Float3,
    Grid,
    Registration,
    Template,
)
from bids_strip.geometry import Box, affine_resampled, bounding_box, dice, windowed

_ROOM_MM = 4.0
_BEYOND = 1e4
"""Steps of distance where the native field of view ends: outside the brain."""
_LEAST_DICE = 0.92
"""A head upside down was fitted with .91; upright ones fit with .94 and more."""
_STRETCH = (0.65, 1.55)
"""Brains of grown people differ by a factor of 1.3 in length at most, those of infants more."""


def placed(
    to_template: Affine, native: Grid, brain: BrainMask, template: Template, *,
    fitted: BrainMask, threads: int,
) -> Registration:  # fmt: skip
    """A run's mask in a template space, and whether a head can be like that.

    Parameters
    ----------
    to_template : (4, 4) float64
        RAS mm of the run -> RAS mm of the template.
    native
        The run's own grid.
    brain
        Its distances and border: the mask that is wanted.
    template
        The space, at one resolution.
    fitted
        The surface that was registered: the one that is compared with the template's mask.
    threads
        Of resampling.

    Notes
    -----
    Distances in mm of the native space are compared with the border, as for the native mask.
    """
    grid = template.image.grid
    steps = distances_in(brain, native, to_template, grid, threads=threads)
    own = (
        steps
        if fitted is brain
        else distances_in(fitted, native, to_template, grid, threads=threads)
    )
    overlap = dice(np.asarray(own <= 0), template.mask)
    stretches = np.linalg.svd(to_template[:3, :3], compute_uv=False)
    stretch = float(stretches.min()), float(stretches.max())
    low, high = _STRETCH
    return Registration(
        space=template.space,
        grid=grid,
        to_template=to_template,
        mask=np.asarray(steps <= brain.border_mm / SDT_STEP_MM),
        dice=overlap,
        stretch=stretch,
        plausible=overlap >= _LEAST_DICE and low <= stretch[0] and stretch[1] <= high,
        source=template.source,
        outline=template.mask,
    )


def distances_in(
    brain: BrainMask, native: Grid, to_template: Affine, grid: Grid, *, threads: int
) -> Float3:
    """The stored distances on a template's grid, in steps; far outside where there are none."""
    found = np.full(grid.shape, _BEYOND, dtype=np.float32)
    pull = np.linalg.inv(native.affine) @ np.linalg.inv(to_template) @ grid.affine
    inside = brain.mask | (brain.sdt_steps <= 0)
    near = bounding_box(inside, margin_mm=_ROOM_MM, zooms=native.zooms)
    box = _image_of(near, np.asarray(np.linalg.inv(pull)), grid)
    i, j, k = (extent.stop - extent.start for extent in box)
    if min(i, j, k) > 0:
        found[box] = affine_resampled(
            brain.sdt_steps.astype(np.float32), windowed(pull, box), (i, j, k),
            outside=_BEYOND, threads=threads,
        )  # fmt: skip
    return found


def _image_of(box: Box, matrix: Affine, grid: Grid) -> Box:
    """The box around a box's corners on another grid, clipped to it."""
    ends = [(extent.start - 1, extent.stop) for extent in box]
    corners = np.array([[*corner, 1] for corner in product(*ends)]) @ matrix.T[:, :3]
    low = np.clip(np.floor(corners.min(axis=0)), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, low, grid.shape).astype(int)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return i, j, k
