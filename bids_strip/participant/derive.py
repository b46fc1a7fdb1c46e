"""Distances on the native grid -> the mask and the distances as they will be stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import SDT_LIMIT_MM, Bool3, BrainMask, Float3, Volume, Zooms
from bids_strip.errors import DeriveError
from bids_strip.geometry import (
    CLOSING_MM,
    STORED_STEP_MM,
    bounding_box,
    closed,
    dice,
    every_nth,
    filled,
    largest_component,
    off_threshold,
    quantised,
    signed_distance,
    within,
)

_STRIPPED_ZEROS = 0.3
_STRIPPED_RIM_MM = 8.0
_STRIPPED_BEYOND = 0.03
_STRIPPED_COVER = 0.8
_RIM, _DIM = 0.05, 0.01
"""Of the brightness: interpolation leaves more than the first within a voxel of the brain alone;
a head with fat suppressed to a fiftieth is more than the second."""
_BRIGHT = 98.0
_APART_MM = 4.0


def derive(
    native: Volume, distance_mm: Float3, *, border_mm: float, drawn: Bool3 | None = None,
    no_csf: bool = False, threads: int = 1,
) -> BrainMask:  # fmt: skip
    """Threshold the distances; an outline that was drawn goes before them.

    A rater's mask is an outline, and an input that is stripped already has its own.

    Parameters
    ----------
    native
        The run, for its zeros.
    distance_mm : (I, J, K) float32
        Distance to the predicted surface, negative inside.
    border_mm : float
        Shift of the surface, outwards if positive.
    drawn : (I, J, K) bool
        A rater's mask, kept voxel for voxel; None if there is none.
    no_csf : bool
        True if the distances are to the tissue: the outline of a stripped input is another surface.
    threads : int
        Parts that are worked on side by side.

    Raises
    ------
    DeriveError
        If no voxel lies within the border.
    """
    predicted = _one_piece(quantised(distance_mm, threads=threads))
    own = stripped_outline(native, distance_mm)
    outline = drawn if drawn is not None else None if no_csf else own
    steps, agreement = predicted, 1.0
    if outline is not None:
        steps = quantised(signed_distance(outline, zooms=native.grid.zooms, limit_mm=SDT_LIMIT_MM))
        agreement = dice(predicted <= 0, outline)
    brain = at_border(steps, border_mm=border_mm)
    return replace(
        brain,
        already_stripped=own is not None,
        network_dice=agreement,
        edited=drawn is not None,
    )


def at_border(steps: NDArray[np.int16], *, border_mm: float) -> BrainMask:
    """The mask of a border.

    Parameters
    ----------
    steps : (I, J, K) int16
        Distances to the surface as they are stored, in steps of `SDT_STEP_MM`.
    border_mm : float
        Shift of the surface, outwards if positive.

    Returns
    -------
    BrainMask
        Of a network's surface; its distances are changed by a step where they equal the border.

    Raises
    ------
    DeriveError
        If no voxel lies within the border.
    """
    steps = _one_piece_within(off_threshold(steps, border_mm), border_mm)
    mask = within(steps, border_mm)
    if not mask.any():
        raise DeriveError(
            f"no voxel lies within the border of {border_mm:g} mm; give a larger --border"
        )
    return BrainMask(
        mask=mask,
        sdt_steps=steps,
        border_mm=border_mm,
        already_stripped=False,
        network_dice=1.0,
    )


def stripped_outline(native: Volume, distance_mm: Float3) -> Bool3 | None:
    """The closed non-zero set if the input has no head around its brain, else None.

    Stripped means: many exact zeros, nearly nothing non-zero farther than 8 mm outside the
    predicted surface, and most of the predicted brain non-zero. Where zeros are not exact
    (interpolated as floats), or nothing is another number (z-scores of a stripped image), what
    differs from the outermost planes' median takes the place of the non-zero.
    """
    data, zooms = native.data, native.grid.zooms
    exact = data != 0
    if _is_brain_alone(exact, exact, distance_mm):
        return _closed_set(exact, zooms)
    few = every_nth(zooms, _APART_MM)
    nothing, bright = _nothing(data[few])
    apart = np.abs(data[few] - nothing) / bright
    if not _is_brain_alone(apart > _RIM, apart > _DIM, distance_mm[few]):
        return None
    return _closed_set(np.abs(data - nothing) > _RIM * bright, zooms)


def _nothing(data: Float3) -> tuple[np.float32, np.float32]:
    """What the outermost planes hold, and by how much the bright voxels differ from it."""
    planes = [np.take(data, (0, -1), axis).ravel() for axis in range(3)]
    nothing = np.median(np.concatenate(planes))
    bright = np.percentile(np.abs(data - nothing), _BRIGHT)
    return np.float32(nothing), np.float32(bright or 1.0)


def _is_brain_alone(present: Bool3, seen: Bool3, distance_mm: Float3) -> bool:
    """Whether what is there is the predicted brain, and nothing is seen of a head around it."""
    if np.count_nonzero(present) > (1 - _STRIPPED_ZEROS) * present.size:
        return False
    beyond = np.count_nonzero(seen & (distance_mm > _STRIPPED_RIM_MM))
    inside = distance_mm <= 0
    cover = float(np.count_nonzero(present & inside)) / max(float(np.count_nonzero(inside)), 1.0)
    return bool(beyond <= _STRIPPED_BEYOND * np.count_nonzero(present)) and cover >= _STRIPPED_COVER


def _closed_set(present: Bool3, zooms: Zooms) -> Bool3:
    box = bounding_box(present, margin_mm=2 * CLOSING_MM, zooms=zooms)
    piece, _ = largest_component(closed(present[box], zooms=zooms, radius_mm=CLOSING_MM))
    outline = np.zeros(present.shape, dtype=bool)
    outline[box] = filled(piece)
    return outline


def _one_piece_within(steps: NDArray[np.int16], border_mm: float) -> NDArray[np.int16]:
    """A tighter border can part the brain: lift what is not the largest piece just above it."""
    mask = within(steps, border_mm)
    if border_mm >= 0 or not mask.any():
        return steps
    box = bounding_box(mask, margin_mm=1.0, zooms=(1.0, 1.0, 1.0))
    piece, rest = largest_component(mask[box])
    if not rest.components:
        return steps
    above = np.int16(round(border_mm / STORED_STEP_MM) + 2)  # clear of the border in any precision
    steps = steps.copy()
    steps[box] = np.where(mask[box] & ~piece, above, steps[box])
    return steps


def _one_piece(steps: NDArray[np.int16]) -> NDArray[np.int16]:
    """Interpolation can leave a speck or a pinhole on the native grid: mend those voxels."""
    inside = steps <= 0
    if not inside.any():
        return steps
    box = bounding_box(inside, margin_mm=1.0, zooms=(1.0, 1.0, 1.0))
    part = steps[box].copy()
    piece, rest = largest_component(inside[box])
    whole = filled(piece)
    if rest.components or np.count_nonzero(whole) != np.count_nonzero(piece):
        part = np.where(whole, np.minimum(part, 0), np.maximum(part, 1)).astype(np.int16)
        steps = steps.copy()
        steps[box] = part
    return steps
