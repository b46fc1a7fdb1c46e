"""Distances as they are stored, in whole steps; pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import SDT_LIMIT_MM, SDT_STEP_MM, Bool3, Float3
from bids_strip.slabs import in_slabs

_ROWS = 8
"""Of a slab that is worked on at a time."""
STORED_STEP_MM = float(np.float32(SDT_STEP_MM))
"""The step of stored distances as a NIfTI header holds it."""


def quantised(distance_mm: Float3, *, threads: int = 1) -> NDArray[np.int16]:
    """Distances in mm -> int16 steps, clipped to the stored range."""
    found = np.empty(distance_mm.shape, dtype=np.int16)

    def make(rows: slice) -> None:
        steps = np.clip(distance_mm[rows], -SDT_LIMIT_MM, SDT_LIMIT_MM)
        steps /= np.float32(STORED_STEP_MM)
        found[rows] = np.rint(steps, out=steps)

    in_slabs(make, len(found), threads=threads, thick=_ROWS)
    return found


def within(steps: NDArray[np.int16], border_mm: float) -> Bool3:
    """``sdt <= border``, of the stored values."""
    most = round(border_mm / STORED_STEP_MM) + 1
    while most * STORED_STEP_MM > border_mm:
        most -= 1
    return np.asarray(steps <= most)  # the same in whole steps, ten times faster


def off_threshold(steps: NDArray[np.int16], border_mm: float) -> NDArray[np.int16]:
    """Move values that equal a border other than 0 one step inwards.

    The stored step is not exactly 0.02, so that such a value compares differently in single and in
    double precision; half a step to either side it does not.
    """
    at = round(border_mm / SDT_STEP_MM)
    if at == 0 or abs(border_mm - at * SDT_STEP_MM) > SDT_STEP_MM / 4:
        return steps
    return np.where(steps == at, steps - 1, steps).astype(np.int16)
