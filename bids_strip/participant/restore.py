"""Bring the surface's distances back to the run's own grid."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import Float3, Frame, Surface
from bids_strip.geometry import bounding_box, native_box, to_native


def restore(surface: Surface, frame: Frame) -> Float3:
    """Interpolate distances linearly onto the native grid.

    Parameters
    ----------
    surface
        On the conformed grid.
    frame
        How that grid lies in the native one.

    Returns
    -------
    (I, J, K) float32, mm
        Negative inside, in the native order of axes.

    Notes
    -----
    Before the threshold, because a distance is smooth and a mask is not (Hoopes et al. 2022,
    doi:10.1016/j.neuroimage.2022.119474).
    """
    far = surface.mm.max()
    distance_mm = np.full(frame.native_shape, far, dtype=np.float32)
    near = surface.mm < far
    if near.any():
        box = native_box(bounding_box(near, margin_mm=0.0, zooms=(1.0, 1.0, 1.0)), frame)
        distance_mm[box] = to_native(surface.mm, frame, box, hold=True)
    return distance_mm
