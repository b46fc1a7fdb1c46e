"""Runs that stand out from their group: robust z-scores, metric by metric."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bids_strip.judged import Outlier
from bids_strip.metrics import Metric
from bids_strip.spread import MAD_TO_SD, robust_sd

LEAST_RUNS = 12
"""Fewer runs than this are no group to stand out from: their own spread is too ill known."""
LIMIT = 6.0
"""A run stands out beyond this z-score. Metrics have heavier tails than a normal distribution: of
50 runs without fault whose metrics follow Student's t of 5 degrees of freedom this takes 1 in 100,
3.5 (Iglewicz & Hoaglin) 14."""
COMPARED: tuple[str, ...] = (
    "brain_volume_ml", "csf_volume_ml",
    "sdt_deviation", "certainty", "volume_change_per_mm", "roughness_mm", "edge_contrast",
    "tissue_margin_mm", "reference_dice", "reference_shift_out_mm", "reference_shift_in_mm",
    "asymmetry_mm", "template_dice",
    "snr_total", "efc", "wm2max", "inu_range", "fwhm_avg",
)  # fmt: skip
"""Metrics of quality that runs are compared by. Left out are facts of a scan or of a run (voxel
sizes, field of view, the head's position, time), counts that are 0 for most runs, which leave no
scale, metrics that say the same as another, and `cjv`, which has no scale where grey and white
matter look alike (FLAIR)."""
_QUARTERS_TO_SD = MAD_TO_SD / 2
"""Quartiles of a normal distribution lie as far from its median as half of all values do."""


def outliers(
    runs: Sequence[Mapping[str, float]],
    metrics: Sequence[Metric],
    strata: Sequence[Hashable] | None = None,
    surfaces: Sequence[Hashable] | None = None,
) -> tuple[tuple[Outlier, ...], ...]:
    """Find what stands out in each run, in the direction that is worse.

    Parameters
    ----------
    runs
        Metrics of each run; one may lack some, or all.
    metrics
        Of which those of `COMPARED` count; one without a direction stands out on both sides.
    strata
        Runs are compared within the stratum they belong to (scanner, site); a stratum of fewer
        than `LEAST_RUNS` runs with all runs of its surface.
    surfaces
        Runs are never compared with those of another surface: their volumes differ by what was
        asked for.

    Returns
    -------
    tuple of tuple of Outlier
        In the order of the runs; within one, the farthest first.
    """
    found: list[list[Outlier]] = [[] for _ in runs]
    for metric in (one for one in metrics if one.key in COMPARED):
        values = np.array([run.get(metric.key, np.nan) for run in runs], dtype=float)
        for members, alike in _groups(
            *(given or [None] * len(runs) for given in (strata, surfaces))
        ):
            among = np.where(alike, values, np.nan)
            for index, z in zip(members, robust_z(among, members), strict=True):
                if _is_worse(z, metric.better):
                    found[index].append(Outlier(metric.key, round(float(z), 1)))
    return tuple(tuple(sorted(row, key=lambda o: -abs(o.z))) for row in found)


def robust_z(values: NDArray[np.float64], members: NDArray[np.int_]) -> NDArray[np.float64]:
    """Distance of some runs from the median, in robust standard deviations.

    Parameters
    ----------
    values : (N,) float64
        Of all runs, NaN where absent.
    members : (M,) int
        The runs to compare with one another; all others too where these are fewer than
        `LEAST_RUNS`.

    Returns
    -------
    (M,) float64
        NaN where absent or where the group is too small; 0 for all where most runs have one and
        the same value, which leaves no scale.

    Notes
    -----
    Median and median absolute deviation times 1.4826 (Iglewicz & Hoaglin 1993); half of the
    interquartile range times the same where that is larger, as for a metric that is 0 for many.
    """
    own = values[members]
    group = own if np.count_nonzero(np.isfinite(own)) >= LEAST_RUNS else values
    group = group[np.isfinite(group)]
    if group.size < LEAST_RUNS:
        return np.full(own.shape, np.nan)
    median = np.median(group)
    low, high = np.percentile(group, (25, 75))
    spread = max(robust_sd(group - median), _QUARTERS_TO_SD * float(high - low))
    if spread == 0:
        return np.where(np.isfinite(own), 0.0, np.nan)
    return np.asarray((own - median) / spread)


def _is_worse(z: float, better: str) -> bool:
    """True if a z-score is beyond the limit on the side that is worse."""
    if better == "none":
        return abs(z) > LIMIT
    return -z > LIMIT if better == "higher" else z > LIMIT


def _groups(
    strata: Sequence[Hashable], surfaces: Sequence[Hashable]
) -> Iterator[tuple[NDArray[np.int_], NDArray[np.bool_]]]:
    """Indices of the runs of one stratum and surface, and which of all are of that surface."""
    both = [*zip(strata, surfaces, strict=True)]
    for one in dict.fromkeys(both):
        alike = np.array([surface == one[1] for surface in surfaces], dtype=bool)
        yield np.flatnonzero([each == one for each in both]), alike
