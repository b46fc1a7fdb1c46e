"""Metrics of a mask alone: those that a border changes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_strip.domain import Bool3, BrainMask, Grid
from bids_strip.geometry import within
from bids_strip.metrics import FACES


def pieces(brain: BrainMask) -> float:
    """Face-connected components of the mask: one, unless a rater drew it."""
    return float(ndimage.label(brain.mask)[1]) if brain.edited else 1.0


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
        slices = np.moveaxis(mask, axis, 0)
        contact[code] = float(np.count_nonzero(slices[-1])) * area_cm2
        contact[opposite[code]] = float(np.count_nonzero(slices[0])) * area_cm2
    return {f"fov_contact_{FACES[code]}_cm2": area for code, area in contact.items()}


def volume_change_per_mm(brain: BrainMask) -> float:
    """Volume within half a mm of the surface over the volume of the mask."""
    inner = np.count_nonzero(within(brain.sdt_steps, brain.border_mm - 0.5))
    outer = np.count_nonzero(within(brain.sdt_steps, brain.border_mm + 0.5))
    return float(outer - inner) / float(np.count_nonzero(brain.mask))
