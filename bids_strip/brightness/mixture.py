"""Three tissues as Gaussians of brightness, with a prior in each voxel; pure.

Words:

shares
    (3, N) float32, not negative: grey matter, white matter, fluid; their sum is 1 in a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Shares = NDArray[np.float32]

VOXELS = 1 << 16
"""Of a part that is worked on at a time: what is reckoned of them stays in a processor's cache."""
_PERCENTILES = MappingProxyType({"T2w": (60.0, 25.0, 96.0)})
"""Of brightness within the surface: grey matter, white matter, fluid of a known contrast."""
_OUTLIER_SD = 3.0
"""Beyond this many standard deviations of its nearest tissue a voxel says nothing."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Brightness of the tissues.

    Attributes
    ----------
    mean, variance : (3,) float64
        Of grey matter, white matter, fluid.
    """

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    def distance(self, values: Values) -> NDArray[np.float32]:
        """Squared distance of each value to each tissue in its own variance, (3, N)."""
        offset = values - self.mean.astype(np.float32)[:, None]
        offset *= offset
        offset /= self.variance.astype(np.float32)[:, None]
        return offset


def fitted(values: Values, shares: Shares, *, least_sd: float) -> Classes:
    """Mean and variance of each tissue.

    Parameters
    ----------
    values : (N,) float32
    shares : (3, N) float32
        Weights; they may sum to less than 1 in a voxel.
    least_sd : float
        Standard deviations are at least this.
    """
    weight = np.maximum(shares.sum(axis=1, dtype=np.float64), 1e-6)
    mean = (shares * values).sum(axis=1, dtype=np.float64) / weight
    offset = values - mean.astype(np.float32)[:, None]
    variance = (shares * offset**2).sum(axis=1, dtype=np.float64) / weight
    return Classes(mean, np.maximum(variance, least_sd**2))


def first_guess(values: Values, prior: Shares, *, suffix: str, least_sd: float) -> Classes:
    """Where the tissues' brightness is looked for first.

    Parameters
    ----------
    values : (N,) float32
    prior : (3, N) float32
    suffix : str
        BIDS suffix of the run: where its order of brightness is known the prior, which the network
        tells badly there, does not decide it.
    least_sd : float
        As for `fitted`.
    """
    if suffix not in _PERCENTILES:
        return fitted(values, prior, least_sd=least_sd)
    mean = np.percentile(values, _PERCENTILES[suffix]).astype(np.float64)
    apart = np.abs(mean[:, None] - mean) + np.diag(np.full(3, np.inf))
    return Classes(mean, np.maximum(apart.min(axis=1) / 2, least_sd) ** 2)


def posterior(values: Values, prior: Shares, classes: Classes) -> Shares:
    """Share of each tissue given brightness and prior (Bayes).

    Returns
    -------
    (3, N) float32
    """
    density = classes.distance(values)
    density -= density.min(axis=0)
    density *= np.float32(-0.5)
    np.exp(density, out=density)
    density *= prior
    density /= np.sqrt(classes.variance).astype(np.float32)[:, None]
    density /= density.sum(axis=0)
    return density


def trusted(values: Values, shares: Shares, classes: Classes) -> Shares:
    """Shares without the voxels that are no tissue's: vessels, fat, lesions.

    Van Leemput et al. 2001, doi:10.1109/42.938237, weigh them down; here they count nothing.
    """
    near = classes.distance(values).min(axis=0) <= _OUTLIER_SD**2
    return np.asarray(shares * near, dtype=np.float32)
