"""What is known of a voxel's tissue before its brightness is looked at; pure."""

from __future__ import annotations

import numpy as np

from bids_strip.domain import BrainMask, Float4, Frame, Prediction
from bids_strip.geometry import STORED_STEP_MM, Box, to_native

_LEAST_SHARE = 0.05
"""Of each tissue in every voxel: brightness can overrule the prior."""
_RIM_MM, _CORE_MM, _BLUR_MM = -3.5, -12.0, 2.0


def tissue_prior(prediction: Prediction, frame: Frame, brain: BrainMask, window: Box) -> Float4:
    """Shares of grey matter, white matter and fluid within the surface.

    Parameters
    ----------
    prediction
        The network's tissues; without them the depth below the surface stands in, for any contrast.
    frame
        How the network's grid lies in the native one.
    brain
        Distances.
    window
        Native voxels wanted.

    Returns
    -------
    (3, I, J, K) float32
        Their sum is 1 in a voxel; none is ruled out.
    """
    if prediction.shares is None:
        shares = _by_depth(brain, window)
    else:
        shares = np.stack([to_native(prediction.shares[n], frame, window) for n in (1, 2, 3)])
    total = np.maximum(shares.sum(axis=0), np.float32(1e-6))
    shares /= total
    shares *= np.float32(1 - 3 * _LEAST_SHARE)
    shares += np.float32(_LEAST_SHARE)
    return shares


def _by_depth(brain: BrainMask, window: Box) -> Float4:
    """Fluid at the rim, white matter in the core, grey matter between."""
    depth_mm = brain.sdt_steps[window] * np.float32(STORED_STEP_MM)
    fluid = 1 / (1 + np.exp((_RIM_MM - depth_mm) / _BLUR_MM))
    white = 1 / (1 + np.exp((depth_mm - _CORE_MM) / _BLUR_MM))
    grey = np.maximum(1 - fluid - white, np.float32(0))
    return np.stack([grey, white, fluid]).astype(np.float32)
