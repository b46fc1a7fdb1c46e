"""What an affine makes of points, and of a part of a grid; pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Affine
from bids_strip.geometry.boxes import Box


def mapped(affine: NDArray[np.floating[Any]], points: NDArray[Any]) -> NDArray[np.float64]:
    """Points by an affine.

    Parameters
    ----------
    affine : (4, 4) float64
        From where they are told to where they are wanted: voxel -> mm, for example.
    points : (..., 3)

    Returns
    -------
    (..., 3) float64
    """
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3])


def windowed(affine: Affine, window: Box) -> Affine:
    """The affine of a part of a grid: voxel of the part -> where the grid's own one leads.

    Parameters
    ----------
    affine : (4, 4) float64
        Voxel of the grid -> anywhere.
    window
        What is taken of the grid: a box, every n-th voxel, or every n-th of a box.
    """
    placed = np.diag([*(float(side.step or 1) for side in window), 1.0])
    placed[:3, 3] = [side.start or 0 for side in window]
    return np.asarray(affine @ placed)
