"""Bring the surface's distances back to the run's own grid."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import Float3, Frame, Surface
from bids_strip.geometry import resampled, resampling_matrix


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
    matrices = tuple(
        resampling_matrix(n_in, frame.native_shape[axis], first=-first / step, step=1 / step,
                          widen=False)
        for n_in, axis, first, step in zip(
            surface.mm.shape, frame.axes, frame.firsts, frame.steps, strict=True
        )
    )  # fmt: skip
    return native_order(resampled(surface.mm, matrices), frame)


def native_order(data: Float3, frame: Frame) -> Float3:
    """The conformed grid's order and directions of axes -> native."""
    turned = data[tuple(slice(None, None, -1) if f else slice(None) for f in frame.flips)]
    return np.ascontiguousarray(turned.transpose(np.argsort(frame.axes)))
