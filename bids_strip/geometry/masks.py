"""Sets of voxels: grown, closed, filled, taken apart, compared; pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from bids_strip.domain import Bool3, Zooms
from bids_strip.geometry.boxes import bounding_box
from bids_strip.geometry.distance import distance_within

CLOSING_MM = 3.0
"""Radius of the ball that closes the brain's region."""


def dilated(mask: Bool3, *, zooms: Zooms, radius_mm: float) -> Bool3:
    """All voxels whose centre lies within `radius_mm` of a voxel of the mask."""
    return np.isfinite(distance_within(mask, zooms=zooms, reach_mm=radius_mm))


def closed(mask: Bool3, *, zooms: Zooms, radius_mm: float) -> Bool3:
    """Morphological closing by a ball: dilated, then eroded by the same radius.

    Beyond the array's edge lies nothing of the mask, and nothing is lost there.
    """
    pad = [(int(np.ceil(radius_mm / z)) + 1,) * 2 for z in zooms]
    grown = dilated(np.pad(mask, pad), zooms=zooms, radius_mm=radius_mm)
    shrunk = ~dilated(~grown, zooms=zooms, radius_mm=radius_mm)
    inner = tuple(slice(p, -p) for p, _ in pad)
    return np.asarray(shrunk[inner]) | mask


def filled(mask: Bool3) -> Bool3:
    """Fill enclosed holes: outside is what reaches the array's edge by faces."""
    padded = np.pad(~mask, 1, constant_values=True)
    labels, _ = ndimage.label(padded)
    return np.asarray(labels[1:-1, 1:-1, 1:-1] != labels[0, 0, 0])


def brain_region(brain: Bool3, csf: Bool3, *, zooms: Zooms, reach_mm: float = 6.0) -> Bool3:
    """What a mask should hold, given the brain's tissue and the fluid around it.

    The one definition of the surface for training, quality control and evaluation: the tissue, the
    fluid within `reach_mm` of it, closed by `CLOSING_MM`, holes filled.

    Parameters
    ----------
    brain : (I, J, K) bool
        Tissue and ventricles, the stem down to its cut.
    csf : (I, J, K) bool
        Subarachnoid fluid; the spinal part below the cut left out.
    zooms : tuple of float
        Voxel sizes in mm.
    reach_mm : float
        R of the network card.

    Returns
    -------
    (I, J, K) bool
    """
    box = bounding_box(brain, margin_mm=reach_mm + 6.0, zooms=zooms)
    near = csf[box] & dilated(brain[box], zooms=zooms, radius_mm=reach_mm)
    region = np.zeros(brain.shape, dtype=bool)
    region[box] = filled(closed(brain[box] | near, zooms=zooms, radius_mm=CLOSING_MM))
    return region


class Rest(NamedTuple):
    """What was left out: how many components, how many voxels."""

    components: int
    voxels: int


def largest_component(mask: Bool3) -> tuple[Bool3, Rest]:
    """The largest face-connected component, and what the others were."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask, Rest(0, 0)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.asarray(labels == sizes.argmax())
    return kept, Rest(count - 1, int(sizes.sum() - sizes.max()))


def dice(a: Bool3, b: Bool3) -> float:
    """Dice's coefficient of two masks, 1 if both are empty."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else 1.0
