"""Bring a run's surface onto the coarse reference brain."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import SDT_STEP_MM, BrainMask, Grid, Match
from bids_strip.geometry import every_nth, windowed
from bids_strip.registration.pose import fitted
from bids_strip.registration.reference import load_reference, moved, shift_of

_APART_MM = 3.0
_LEAST = 100
"""Fewer points than this inside the surface are no shape."""


def match(grid: Grid, brain: BrainMask) -> Match | None:
    """Match a surface.

    Parameters
    ----------
    grid
        The run's own.
    brain
        Its distances; the border is not used.

    Returns
    -------
    Match or None
        None if next to nothing lies within the surface.
    """
    window = every_nth(grid.zooms, _APART_MM)
    sdt_mm = brain.sdt_steps[window] * np.float32(SDT_STEP_MM)
    if np.count_nonzero(sdt_mm <= 0) < _LEAST or min(sdt_mm.shape) < 2:
        return None
    affine = windowed(grid.affine, window)
    reference = load_reference()
    pose = fitted(sdt_mm, affine, reference)
    found = moved(sdt_mm, affine, pose, reference.grid)
    return Match(pose, reference.grid, found, reference.sdt_mm, shift_of(found, reference))
