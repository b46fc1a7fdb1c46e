"""Make the prediction one surface: a single piece without holes, and true distances to it.

This is done on the network's grid, where a distance transform costs a tenth of a second, not on
the native one, where it can cost ten.
"""

from __future__ import annotations

import numpy as np

from bids_strip.domain import SDT_LIMIT_MM, Float3, Prediction, Surface, Zooms
from bids_strip.errors import DeriveError
from bids_strip.geometry import (
    bounding_box,
    filled,
    gradient_at,
    largest_component,
    redistanced,
)

_LEAST_ML = 50.0
_BAND_MM = 2.0
_MARGIN_MM = 4.0
_NOWHERE = (slice(0, 1),) * 3


def clean(
    prediction: Prediction, zooms: Zooms, *, no_csf: bool = False, required: bool = True,
    threads: int = 1,
) -> Surface:  # fmt: skip
    """Keep the largest piece, fill its holes, measure distances anew.

    Parameters
    ----------
    prediction
        The network's distances on the conformed grid.
    zooms
        Voxel sizes of that grid, mm.
    no_csf
        True takes the surface of the tissue, as far as it lies inside that of the brain.
    required
        False takes no brain for an answer: a rater has drawn it.
    threads : int
        Parts that are worked on side by side.

    Raises
    ------
    DeriveError
        If there is no brain: less than 50 ml.
    """
    predicted = _level(prediction, no_csf)
    slope, deviation = _slope(predicted, zooms)
    inside = predicted <= 0
    box = bounding_box(inside, margin_mm=0.0, zooms=zooms) if inside.any() else _NOWHERE
    brain, extra = largest_component(inside[box])
    voxel_ml = float(np.prod(zooms)) / 1000.0
    volume = float(brain.sum()) * voxel_ml
    if volume < _LEAST_ML and not required:
        nowhere = np.full(predicted.shape, SDT_LIMIT_MM + _MARGIN_MM, dtype=np.float32)
        return Surface(nowhere, 0, 0.0, 0.0, slope, deviation)
    if volume < _LEAST_ML:
        raise DeriveError(
            f"no brain found ({volume:.0f} ml); is this the head of a person, with voxel sizes in "
            "mm and the right axes in its header?"
        )
    holes = filled(brain) & ~brain
    level = predicted.copy()
    part = level[box]
    part[inside[box] & ~brain] = _BAND_MM
    part[holes] = -_MARGIN_MM
    return Surface(
        mm=redistanced(level, zooms=zooms, limit_mm=SDT_LIMIT_MM + _MARGIN_MM, threads=threads),
        components_removed=extra.components,
        component_ml_removed=extra.voxels * voxel_ml,
        holes_filled_ml=float(holes.sum()) * voxel_ml,
        slope=slope,
        deviation=deviation,
    )


def _level(prediction: Prediction, no_csf: bool) -> Float3:
    """The predicted distances that are asked for.

    Raises
    ------
    DeriveError
        If the network gives none.
    """
    if not no_csf:
        return prediction.brain_mm
    if prediction.no_csf_mm is None:
        raise DeriveError("the network gives no surface of the tissue; leave --no-csf out")
    return np.maximum(prediction.no_csf_mm, prediction.brain_mm)


def _slope(level: Float3, zooms: Zooms) -> tuple[float, float]:
    """Mean gradient length within `_BAND_MM` of the surface, and its mean difference from 1."""
    band = np.nonzero(np.abs(level) <= _BAND_MM)
    if not band[0].size:
        return 0.0, 1.0
    lengths = np.sqrt(sum(g**2 for g in gradient_at(level, band, zooms)))
    return float(lengths.mean()), float(np.abs(lengths - 1).mean())
