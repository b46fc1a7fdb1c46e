"""Metrics of an image as a whole: its field, its smoothness, its grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Bool3, BrainMask, Float3, Grid, Normalised
from bids_strip.geometry import Box, every_nth, within
from bids_strip.metrics import AXES
from bids_strip.participant.qc.tissues import SAMPLES_MM, Brightness

_LEAST_PAIRS = 100


def bias(normalised: Normalised, brain: BrainMask) -> dict[str, float | None]:
    """Range and steepness of the field within the surface; nothing where nothing lies within."""
    zooms = normalised.volume.grid.zooms
    window = every_nth(zooms, SAMPLES_MM)
    inside = within(brain.sdt_steps[window], 0.0)
    log_field = normalised.log_field[window]
    if not inside.any():
        return {}
    apart = [side.step * zoom for side, zoom in zip(window, zooms, strict=True)]
    field = log_field[inside]
    return {
        "bias_range": bias_range(field),
        "bias_slope_percent_per_cm": bias_slope_percent_per_cm(log_field, inside, apart),
        "inu_range": inu_range(field),
        "inu_med": float(np.median(np.exp(field))),
    }


def bias_range(log_field: NDArray[np.float32]) -> float:
    """99th over 1st percentile of the field."""
    low, high = np.percentile(log_field, (1, 99))
    return float(np.exp(high - low))


def inu_range(log_field: NDArray[np.float32]) -> float:
    """95th less 5th percentile of the field, as MRIQC has it."""
    low, high = np.percentile(np.exp(log_field), (5, 95))
    return float(high - low)


def bias_slope_percent_per_cm(
    log_field: Float3, inside: Bool3, apart_mm: Sequence[float]
) -> float | None:
    """Mean length of the gradient of the log field; None of a single slice."""
    if min(log_field.shape) < 2:
        return None
    squared = sum(np.asarray(s)[inside] ** 2 for s in np.gradient(log_field, *apart_mm))
    return float(np.sqrt(squared).mean()) * 10 * 100


def efc(normalised: Normalised) -> float | None:
    """Entropy focus criterion: of all voxels, from means over every n-th."""
    window = every_nth(normalised.volume.grid.zooms, SAMPLES_MM)
    values = normalised.volume.data[window]
    values = np.maximum(values, 0).astype(np.float64)
    count = normalised.volume.data.size
    energy = math.sqrt(count * float((values**2).mean()))
    if energy <= 0 or count < 2:
        return None
    lit = values[values > 0] / energy
    entropy = -float((lit * np.log(lit)).sum()) / values.size * count
    return entropy / (math.sqrt(count) * math.log(math.sqrt(count)))


def wm2max(normalised: Normalised, white: Brightness | None) -> float | None:
    """Median of white matter over the 99.95th percentile of the image."""
    if white is None:
        return None
    window = every_nth(normalised.volume.grid.zooms, SAMPLES_MM)
    most = float(np.percentile(normalised.volume.data[window], 99.95))
    return white.median / most if most > 0 else None


def fwhm(normalised: Normalised, brain: BrainMask) -> dict[str, float | None]:
    """Smoothness along each axis of the head, in voxels, and their mean where all are known."""
    grid, data = normalised.volume.grid, normalised.volume.data
    window = every_nth(grid.zooms, SAMPLES_MM)
    inside = within(brain.sdt_steps[window], 0.0)
    values = data[window][inside]
    variance = float(values.var(dtype=np.float64)) if values.size else 0.0
    found: dict[str, float | None] = {}
    for axis, name in enumerate(axes_of(grid)):
        here, there = _pairs(window, axis, grid.shape[axis])
        both = within(brain.sdt_steps[here], 0.0) & within(brain.sdt_steps[there], 0.0)
        rise = data[there][both] - data[here][both]
        found[f"fwhm_{name}"] = _width(rise, variance)
    known = [width for width in found.values() if width is not None]
    return {**found, "fwhm_avg": sum(known) / 3 if len(known) == 3 else None}


def _pairs(window: Box, axis: int, size: int) -> tuple[Box, Box]:
    """Every n-th voxel that has a next one along an axis, and that next one."""
    step = window[axis].step
    here, there = list(window), list(window)
    here[axis], there[axis] = slice(0, size - 1, step), slice(1, size, step)
    return (here[0], here[1], here[2]), (there[0], there[1], there[2])


def _width(rise: NDArray[np.float32], variance: float) -> float | None:
    """Full width at half maximum of a Gaussian smoothness, from differences of neighbours."""
    if rise.size < _LEAST_PAIRS or variance <= 0:
        return None
    share = float(rise.var(dtype=np.float64)) / (2 * variance)
    return math.sqrt(-2 * math.log(2) / math.log(1 - share)) if 0 < share < 1 else None


def axes_of(grid: Grid) -> tuple[str, ...]:
    """Which of `bids_strip.metrics.AXES` each voxel axis runs along, the nearest."""
    order = nib.orientations.io_orientation(grid.affine)[:, 0]
    return tuple(list(AXES)[int(world)] for world in order)


def voxels_mm(grid: Grid) -> dict[str, float]:
    """Voxel sizes and extents of the field of view along the axes of the head."""
    named = list(zip(axes_of(grid), grid.zooms, grid.shape, strict=True))
    return {
        **{f"voxel_{name}_mm": zoom for name, zoom, _ in named},
        **{f"coverage_{name}_mm": zoom * count for name, zoom, count in named},
    }
