"""Measure a mask: one scalar function a metric, described in `bids_strip.metrics`."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_strip.domain import (
    Bool3,
    BrainMask,
    Grid,
    Normalised,
    Products,
    Registration,
    Segmented,
    Surface,
)
from bids_strip.geometry import every_nth, within
from bids_strip.metrics import FACES, TISSUES

_SAMPLES_MM = 3.0
_SURE_STEPS = 230
"""A share of 0.9 in steps of 1/255."""


def measure(
    surface: Surface, normalised: Normalised, segmented: Segmented, products: Products
) -> dict[str, float]:
    """All metrics of a run.

    Parameters
    ----------
    surface
        The prediction, cleaned.
    normalised, segmented
        Its brightness, corrected, and its tissues.
    products
        What was made of the run.

    Returns
    -------
    dict
        One entry for each of `bids_strip.metrics.METRICS`, and of `TEMPLATE_METRICS` if there
        is a template space.
    """
    source, brain = products.source, products.brain
    grid = source.volume.grid
    return {
        **measure_mask(grid, brain),
        "components_removed": float(surface.components_removed),
        "component_ml_removed": surface.component_ml_removed,
        "holes_filled_ml": surface.holes_filled_ml,
        "sdt_slope": surface.slope,
        "network_dice": brain.network_dice,
        **tissue_volumes_ml(segmented, grid),
        "bias_range": bias_range(normalised, brain),
        "bias_slope_percent_per_cm": bias_slope_percent_per_cm(normalised, brain),
        "wm_cov": wm_cov(normalised, segmented),
        "nonfinite_voxels": float(source.nonfinite_voxels),
        **template_fit(products.registrations),
    }


def template_fit(registrations: Sequence[Registration]) -> dict[str, float]:
    """The worst of all template spaces; nothing without one."""
    if not registrations:
        return {}
    return {
        "template_dice": min(one.dice for one in registrations),
        "template_stretch_min": min(one.stretch[0] for one in registrations),
        "template_stretch_max": max(one.stretch[1] for one in registrations),
    }


def measure_mask(grid: Grid, brain: BrainMask) -> dict[str, float]:
    """The metrics that follow from the mask and its distances alone: those that a border changes.

    Parameters
    ----------
    grid
        The run's own.
    brain
        The mask.
    """
    return {
        "brain_volume_ml": volume_ml(brain.mask, grid),
        "mask_pieces": pieces(brain),
        **fov_contact_cm2(brain.mask, grid),
        "volume_change_per_mm": volume_change_per_mm(brain),
    }


def pieces(brain: BrainMask) -> float:
    """Face-connected components of the mask: one, unless a rater drew it."""
    return float(ndimage.label(brain.mask)[1]) if brain.edited else 1.0


def volume_ml(mask: Bool3, grid: Grid) -> float:
    """Voxels of the mask times the volume of a voxel."""
    return float(np.count_nonzero(mask)) * grid.voxel_volume_ml


def tissue_volumes_ml(segmented: Segmented, grid: Grid) -> dict[str, float]:
    """Voxels of each tissue times the volume of a voxel."""
    counts = np.bincount(segmented.labels.ravel(), minlength=4)
    return {
        f"{key}_volume_ml": float(counts[label]) * grid.voxel_volume_ml
        for label, key in enumerate(TISSUES, start=1)
    }


def bias_range(normalised: Normalised, brain: BrainMask) -> float:
    """99th over 1st percentile of the field within the surface."""
    window = every_nth(normalised.volume.grid.zooms, _SAMPLES_MM)
    inside = within(brain.sdt_steps[window], 0.0)
    low, high = np.percentile(normalised.log_field[window][inside], (1, 99))
    return float(np.exp(high - low))


def bias_slope_percent_per_cm(normalised: Normalised, brain: BrainMask) -> float:
    """Mean length of the gradient of the log field within the surface."""
    zooms = normalised.volume.grid.zooms
    window = every_nth(zooms, _SAMPLES_MM)
    inside = within(brain.sdt_steps[window], 0.0)
    log_field = normalised.log_field[window]
    if min(log_field.shape) < 2:
        return 0.0
    apart = [side.step * zoom for side, zoom in zip(window, zooms, strict=True)]
    squared = sum(np.asarray(slope)[inside] ** 2 for slope in np.gradient(log_field, *apart))
    return float(np.sqrt(squared).mean()) * 10 * 100


def wm_cov(normalised: Normalised, segmented: Segmented) -> float:
    """Standard deviation over mean of the corrected image in sure white matter, 0 if none is."""
    white = segmented.steps[1] >= _SURE_STEPS
    if not white.any():
        return 0.0
    values = normalised.volume.data[white]
    return float(values.std(dtype=np.float64) / max(float(values.mean(dtype=np.float64)), 1e-6))


def fov_contact_cm2(mask: Bool3, grid: Grid) -> dict[str, float]:
    """Area of the mask in the outermost slice at each face of the field of view."""
    codes = nib.orientations.aff2axcodes(grid.affine)
    opposite = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}
    contact = dict.fromkeys(FACES, 0.0)
    for axis, code in enumerate(codes):
        others = [z for a, z in enumerate(grid.zooms) if a != axis]
        area_cm2 = others[0] * others[1] / 100.0
        slices = np.moveaxis(mask, axis, 0)
        contact[code] = float(np.count_nonzero(slices[-1])) * area_cm2
        contact[opposite[code]] = float(np.count_nonzero(slices[0])) * area_cm2
    return {f"fov_contact_{FACES[code]}_cm2": area for code, area in contact.items()}


def volume_change_per_mm(brain: BrainMask) -> float:
    """Volume within half a mm of the surface over the volume of the mask."""
    inner = np.count_nonzero(within(brain.sdt_steps, brain.border_mm - 0.5))
    outer = np.count_nonzero(within(brain.sdt_steps, brain.border_mm + 0.5))
    return float(outer - inner) / float(np.count_nonzero(brain.mask))
