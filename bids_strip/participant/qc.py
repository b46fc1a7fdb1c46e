"""Measure a mask: one scalar function a metric, described in `bids_strip.metrics`."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from bids_strip.domain import Bool3, BrainMask, Grid, Source, Surface
from bids_strip.geometry import within
from bids_strip.metrics import FACES


def measure(source: Source, surface: Surface, brain: BrainMask) -> dict[str, float]:
    """All metrics of a run.

    Parameters
    ----------
    source
        The run as it was read.
    surface
        The prediction, cleaned.
    brain
        The mask.

    Returns
    -------
    dict
        One entry for each of `bids_strip.metrics.METRICS`.
    """
    grid = source.volume.grid
    return {
        "brain_volume_ml": volume_ml(brain.mask, grid),
        "components_removed": float(surface.components_removed),
        "component_ml_removed": surface.component_ml_removed,
        "holes_filled_ml": surface.holes_filled_ml,
        **fov_contact_cm2(brain.mask, grid),
        "sdt_slope": surface.slope,
        "volume_change_per_mm": volume_change_per_mm(brain),
        "network_dice": brain.network_dice,
        "nonfinite_voxels": float(source.nonfinite_voxels),
    }


def volume_ml(mask: Bool3, grid: Grid) -> float:
    """Voxels of the mask times the volume of a voxel."""
    return float(np.count_nonzero(mask)) * grid.voxel_volume_ml


def fov_contact_cm2(mask: Bool3, grid: Grid) -> dict[str, float]:
    """Area of the mask in the outermost slice at each face of the field of view."""
    codes = nib.orientations.aff2axcodes(grid.affine)
    opposite = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}
    contact = dict.fromkeys(FACES, 0.0)
    for axis, code in enumerate(codes):
        others = [z for a, z in enumerate(grid.zooms) if a != axis]
        area_cm2 = others[0] * others[1] / 100.0
        contact[code] = float(np.count_nonzero(mask.take(-1, axis=axis))) * area_cm2
        contact[opposite[code]] = float(np.count_nonzero(mask.take(0, axis=axis))) * area_cm2
    return {f"fov_contact_{FACES[code]}_cm2": area for code, area in contact.items()}


def volume_change_per_mm(brain: BrainMask) -> float:
    """Volume within half a mm of the surface over the volume of the mask."""
    inner = np.count_nonzero(within(brain.sdt_steps, brain.border_mm - 0.5))
    outer = np.count_nonzero(within(brain.sdt_steps, brain.border_mm + 0.5))
    return float(outer - inner) / float(np.count_nonzero(brain.mask))
