"""What is known of a voxel's tissue before its own brightness is looked at; pure.

The network has seen it, averaged to its grid: a voxel's prior is not quite independent of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_strip.brightness.mixture import VOXELS, Shares
from bids_strip.domain import Bool3, BrainMask, Float4, Frame, NetworkTissues
from bids_strip.geometry import STORED_STEP_MM, Box, to_native
from bids_strip.slabs import in_slabs, side_by_side

_LEAST_SHARE = 0.05
"""Of each tissue in every voxel: brightness can overrule the prior."""
_RIM_MM, _CORE_MM, _BLUR_MM = -3.5, -12.0, 2.0


def tissue_prior(
    network: NetworkTissues, brain: BrainMask, window: Box, where: Bool3, *, threads: int = 1
) -> Shares:  # fmt: skip
    """Shares of grey matter, white matter and fluid within the surface.

    Parameters
    ----------
    network
        Its tissues; without them the depth below the surface stands in, for any contrast.
    brain
        Distances.
    window
        Native voxels, I x J x K of them.
    where : (I, J, K) bool
        Those of them that are wanted, N.
    threads : int
        Parts that are worked on side by side.

    Returns
    -------
    (3, N) float32
        Their sum is 1 in a voxel; none is ruled out.
    """
    at = np.flatnonzero(where)
    if network.shares is None:
        shares = _by_depth(brain.sdt_steps[window].ravel()[at])
    else:
        shares = _by_network(network.shares, network.frame, window, at, threads=threads)

    def whole(rows: slice) -> None:
        part = shares[:, rows]
        part /= np.maximum(part.sum(axis=0), np.float32(1e-6))
        part *= np.float32(1 - 3 * _LEAST_SHARE)
        part += np.float32(_LEAST_SHARE)

    in_slabs(whole, len(at), threads=threads, thick=VOXELS)
    return shares


def _by_network(
    shares: Float4, frame: Frame, window: Box, at: NDArray[np.int64], *, threads: int
) -> Shares:
    """What the network says of some voxels of a window."""
    found = np.empty((3, len(at)), dtype=np.float32)

    def take(tissue: int) -> None:
        native = to_native(shares[1 + tissue], frame, window)
        np.take(native.ravel(), at, out=found[tissue], mode="clip")  # "raise" makes a copy

    side_by_side(take, range(3), threads=threads)
    return found


def _by_depth(steps: NDArray[np.int16]) -> Shares:
    """Fluid at the rim, white matter in the core, grey matter between."""
    depth_mm = steps * np.float32(STORED_STEP_MM)
    fluid = 1 / (1 + np.exp((_RIM_MM - depth_mm) / _BLUR_MM))
    white = 1 / (1 + np.exp((depth_mm - _CORE_MM) / _BLUR_MM))
    grey = np.maximum(1 - fluid - white, np.float32(0))
    return np.stack([grey, white, fluid]).astype(np.float32)
