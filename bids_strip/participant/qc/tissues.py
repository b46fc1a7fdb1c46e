"""Brightness of the tissues, and the metrics that compare it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Grid, Normalised, Segmented
from bids_strip.geometry import every_nth
from bids_strip.metrics import TISSUES
from bids_strip.spread import robust_sd

SAMPLES_MM = 3.0
DIETRICH = math.sqrt((4 - math.pi) / 2)
"""Standard deviation of the magnitude of noise over that of its parts."""
_SURE_STEPS = 230
"""A share of 0.9 in steps of 1/255."""
_FEWEST = 100.0


@dataclass(frozen=True, slots=True)
class Brightness:
    """A tissue's, or the air's.

    Attributes
    ----------
    median, sd
        Weighted median and standard deviation.
    mad
        Normalised median absolute deviation from that median, of the voxels of more than half of
        the largest weight: as MRIQC has it.
    count
        Voxels, by their shares.
    """

    median: float
    sd: float
    mad: float
    count: float


def brightness(
    values: NDArray[np.float32], weights: NDArray[np.float32] | None = None
) -> Brightness | None:
    """What is known of some voxels' brightness, each weighted; None of too few.

    Parameters
    ----------
    values : (N,) float32
    weights : (N,) float32
        None counts each as 1.
    """
    weights = np.ones_like(values) if weights is None else weights
    count = float(weights.sum(dtype=np.float64))
    if count < _FEWEST:
        return None
    mean = float((weights * values).sum(dtype=np.float64)) / count
    variance = float((weights * (values - np.float32(mean)) ** 2).sum(dtype=np.float64)) / count
    median = weighted_median(values, weights)
    sure = values[weights > weights.max() / 2]
    mad = robust_sd(sure - np.float32(median))
    return Brightness(median, math.sqrt(variance), mad, count)


def weighted_median(values: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """The value on either side of which lies half of the weight, the mean of two where both do."""
    order = np.argsort(values)
    ordered, total = values[order], np.cumsum(weights[order], dtype=np.float64)
    half = total[-1] / 2
    low = ordered[np.searchsorted(total, half * (1 - 1e-12))]
    high = ordered[min(int(np.searchsorted(total, half * (1 + 1e-12))), len(ordered) - 1)]
    return (float(low) + float(high)) / 2


def tissue_brightness(normalised: Normalised, segmented: Segmented) -> dict[str, Brightness]:
    """Brightness of each tissue, weighted by its share, on every n-th voxel.

    Returns
    -------
    dict
        By `bids_strip.metrics.TISSUES`; a tissue of hardly a voxel is left out. Negative brightness
        counts as 0.
    """
    window = every_nth(normalised.volume.grid.zooms, SAMPLES_MM)
    steps = segmented.steps[(slice(None), *window)]
    held = steps.any(axis=0)
    values = np.maximum(normalised.volume.data[window][held], 0)
    found = {
        key: brightness(values, share / np.float32(255))
        for key, share in zip(TISSUES, steps[:, held].astype(np.float32), strict=True)
    }
    return {key: one for key, one in found.items() if one is not None}


def snr(tissues: Mapping[str, Brightness]) -> dict[str, float | None]:
    """Signal to noise in each tissue, and their mean where all are known."""
    found = {
        key: _ratio(one.median, one.sd * math.sqrt(one.count / (one.count - 1)))
        for key, one in tissues.items()
    }
    return {**{f"snr_{key}": value for key, value in found.items()}, "snr_total": _mean(found)}


def snrd(tissues: Mapping[str, Brightness], air: Brightness | None) -> dict[str, float | None]:
    """Dietrich's signal to noise in each tissue, and their mean where all are known."""
    if air is None:
        return {}
    noise = air.mad if air.mad > 1.0 else air.sd
    found = {key: _ratio(DIETRICH * one.median, noise) for key, one in tissues.items()}
    return {**{f"snrd_{key}": value for key, value in found.items()}, "snrd_total": _mean(found)}


def cnr(tissues: Mapping[str, Brightness], air: Brightness | None) -> float | None:
    """Contrast of white and grey matter to noise."""
    if air is None or not {"gm", "wm"} <= set(tissues):
        return None
    grey, white = tissues["gm"], tissues["wm"]
    noise = math.sqrt(air.sd**2 + grey.sd**2 + white.sd**2)
    return _ratio(abs(white.median - grey.median), noise)


def cjv(tissues: Mapping[str, Brightness]) -> float | None:
    """Coefficient of joint variation of white and grey matter."""
    if not {"gm", "wm"} <= set(tissues):
        return None
    grey, white = tissues["gm"], tissues["wm"]
    return _ratio(white.mad + grey.mad, abs(white.median - grey.median))


def tissue_volumes_ml(segmented: Segmented, grid: Grid) -> dict[str, float]:
    """Voxels of each tissue times the volume of a voxel."""
    return {
        f"{key}_volume_ml": float(np.count_nonzero(segmented.labels == label))
        * grid.voxel_volume_ml
        for label, key in enumerate(TISSUES, start=1)
    }


def wm_cov(normalised: Normalised, segmented: Segmented) -> float | None:
    """Standard deviation over mean of the corrected image in sure white matter."""
    white = segmented.steps[1] >= _SURE_STEPS
    if not white.any():
        return None
    values = normalised.volume.data[white]
    return float(values.std(dtype=np.float64) / max(float(values.mean(dtype=np.float64)), 1e-6))


def _ratio(signal: float, noise: float) -> float | None:
    return signal / noise if noise > 1e-3 else None


def _mean(found: Mapping[str, float | None]) -> float | None:
    """Of all tissues; None where one is missing."""
    known = [value for value in found.values() if value is not None]
    return sum(known) / len(known) if len(known) == len(TISSUES) else None
