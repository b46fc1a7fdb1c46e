"""How far values spread, however far a few of them lie; pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAD_TO_SD = 1.4826022185056018
"""Standard deviation over median absolute deviation of what is normally distributed: 1 over the
third quartile of the standard normal distribution."""


def robust_sd(offsets: NDArray[np.floating[Any]]) -> float:
    """Median of the absolute values, in standard deviations of a normal distribution.

    Parameters
    ----------
    offsets : (N,)
        Of values from where they are taken to lie, a median for example; N is at least 1.

    Notes
    -----
    As `scipy.stats.median_abs_deviation` with ``scale="normal"``, about a centre of one's own;
    importing that package takes longer than all that is done with it here.
    """
    return MAD_TO_SD * float(np.median(np.abs(offsets)))
