"""Metrics of a surface beside the image and the tissues around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import WHITE_MATTER, Bool3
from bids_strip.geometry import largest_component
from bids_strip.participant.qc.around import INWARD_MM, Around, Profiles
from bids_strip.participant.qc.tissues import Brightness

_SMOOTH_MM = 4.0
_EDGE_MM = 1.0
_FAR_MM = 16.0
_DEEP_MM = 2.0
_NEAR_MM = 4.0
_HEAD = 0.2 * WHITE_MATTER


def roughness_mm(seen: Around) -> float | None:
    """Mean distance between the surface and its smoothed distances."""
    sd = [_SMOOTH_MM / zoom for zoom in seen.zooms]
    smooth = ndimage.gaussian_filter(seen.sdt_mm, sd, truncate=3.0, mode="nearest")
    band = np.abs(seen.sdt_mm) <= _EDGE_MM
    return float(np.abs(smooth - seen.sdt_mm)[band].mean()) if band.any() else None


def edge_contrast(found: Profiles) -> float | None:
    """Michelson's contrast of just inside and just outside, meaned over the surface."""
    inner = np.maximum(found.between(-3, -1).mean(axis=1), 0)
    outer = np.maximum(found.between(1, 3).mean(axis=1), 0)
    total = inner + outer
    lit = total > 0
    return float((np.abs(inner - outer)[lit] / total[lit]).mean()) if lit.any() else None


def surface_on_bright(found: Profiles, grey: Brightness) -> float:
    """Share of the surface with brain's brightness just outside.

    Parameters
    ----------
    found
        Of the run.
    grey
        Grey matter's.
    """
    least = grey.median - grey.mad
    return float((np.median(found.between(1, 4), axis=1) > least).mean())


def surface_on_air(found: Profiles) -> float:
    """Share of the surface over which no head lies."""
    return float((found.between(2, np.inf).max(axis=1) < _HEAD).mean())


def tissue_margins(found: Profiles) -> dict[str, float]:
    """Median, 5th and 95th percentile of `tissue_margins_mm`; nothing without tissues."""
    margins = tissue_margins_mm(found)
    if margins is None:
        return {}
    low, median, high = np.percentile(margins, (5, 50, 95))
    return {
        "tissue_margin_mm": float(median),
        "tissue_margin_low_mm": float(low),
        "tissue_margin_high_mm": float(high),
    }


def tissue_margins_mm(found: Profiles) -> NDArray[np.float64] | None:
    """Way from the outermost tissue out to the surface, (N,), within 12 mm; None without tissues.

    Where a normal meets no tissue it is 12 mm.
    """
    if found.tissue is None:
        return None
    near = np.abs(found.out_mm) <= INWARD_MM
    share, out_mm = found.tissue[:, near], found.out_mm[near]
    brain = share > 0.5
    last = brain.shape[1] - 1 - brain[:, ::-1].argmax(axis=1)
    after = np.minimum(last + 1, brain.shape[1] - 1)
    each = np.arange(len(share))
    here, beyond = share[each, last], share[each, after]
    part = np.where(here > beyond, (here - 0.5) / np.maximum(here - beyond, 1e-6), 0)
    margin = -(out_mm[last] + np.clip(part, 0, 1))
    return np.where(brain.any(axis=1), np.clip(margin, -INWARD_MM, INWARD_MM), INWARD_MM)


def tissue_outside_ml(seen: Around) -> tuple[float, float] | None:
    """Volume of tissue outside the surface, and its largest piece farther than 2 mm out."""
    if seen.tissue is None or seen.fluid is None:
        return None
    tissue = (seen.tissue > seen.fluid) & (seen.tissue > 1 - seen.tissue - seen.fluid)
    tissue &= seen.sdt_mm <= _FAR_MM
    outside = np.count_nonzero(tissue & (seen.sdt_mm > 0)) * seen.voxel_ml
    return outside, _lump(tissue & (seen.sdt_mm > _DEEP_MM)) * seen.voxel_ml


def other_inside_ml(seen: Around) -> tuple[float, float] | None:
    """Volume inside the surface that is neither tissue nor fluid, and its largest deep piece."""
    if seen.tissue is None or seen.fluid is None:
        return None
    other = 1 - seen.tissue - seen.fluid > np.maximum(seen.tissue, seen.fluid)
    inside = np.count_nonzero(other & (seen.sdt_mm <= 0)) * seen.voxel_ml
    return inside, _lump(other & (seen.sdt_mm <= -_DEEP_MM)) * seen.voxel_ml


def certainty(seen: Around) -> float | None:
    """Mean of the largest of tissue's, fluid's and all else's share near the surface."""
    if seen.tissue is None or seen.fluid is None:
        return None
    near = np.abs(seen.sdt_mm) <= _NEAR_MM
    if not near.any():
        return None
    tissue, fluid = seen.tissue[near], seen.fluid[near]
    return float(np.maximum(np.maximum(tissue, fluid), 1 - tissue - fluid).mean())


def _lump(mask: Bool3) -> int:
    """Voxels of the largest face-connected piece."""
    return int(np.count_nonzero(largest_component(mask)[0]))
