"""Make the prediction one surface: a single piece without holes, and true distances to it.

This is done on the network's grid, where a distance transform costs a tenth of a second, not on
the native one, where it can cost ten.
"""

from __future__ import annotations

import numpy as np

from bids_strip.domain import SDT_LIMIT_MM, Float3, Prediction, Surface, Zooms
from bids_strip.errors import DeriveError
from bids_strip.geometry import filled, gradient_at, largest_component, redistanced

_LEAST_ML = 50.0
_BAND_MM = 2.0
_MARGIN_MM = 4.0


def clean(
    prediction: Prediction, zooms: Zooms, *, no_csf: bool = False, required: bool = True
) -> Surface:
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

    Raises
    ------
    DeriveError
        If there is no brain: less than 50 ml.
    """
    level = _level(prediction, no_csf)
    predicted = level
    voxel_ml = float(np.prod(zooms)) / 1000.0
    inside = level <= 0
    brain, extra = largest_component(inside)
    volume = float(brain.sum()) * voxel_ml
    if volume < _LEAST_ML and not required:
        nowhere = np.full(level.shape, SDT_LIMIT_MM + _MARGIN_MM, dtype=np.float32)
        return Surface(nowhere, 0, 0.0, 0.0, *_slope(predicted, zooms))
    if volume < _LEAST_ML:
        raise DeriveError(
            f"no brain found ({volume:.0f} ml); is this the head of a person, with voxel sizes in "
            "mm and the right axes in its header?"
        )
    whole = filled(brain)
    holes = whole & ~brain
    level = np.where(inside & ~brain, _BAND_MM, level)
    level = np.where(holes, -_MARGIN_MM, level).astype(np.float32)
    slope, deviation = _slope(predicted, zooms)
    return Surface(
        mm=redistanced(level, zooms=zooms, limit_mm=SDT_LIMIT_MM + _MARGIN_MM),
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
