"""Where the group's metrics lie, as a script that a subject's page loads beside it.

A page that is opened from ``file://`` may load a script but no data file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from bids_strip.judged import Judged
from bids_strip.metrics import ALL_METRICS
from bids_strip.record import OK

_STEPS = tuple(range(101))


def percentiles(runs: Sequence[Judged], suffix: str) -> bytes:
    """The 0th to 100th percentile of each metric over the runs that are done.

    Parameters
    ----------
    runs
        Of one modality.
    suffix
        Of the modality.

    Returns
    -------
    bytes
        ``window.bidsStripGroups[suffix] = {n, metrics: {key: [101 numbers]}}``, so that a page may
        load several; no name is in it.
    """
    done = [run.record.metrics for run in runs if run.record.status == OK]
    values = {
        metric.key: [metrics[metric.key] for metrics in done if metric.key in metrics]
        for metric in ALL_METRICS
    }
    group = {
        "n": len(done),
        "metrics": {key: _rounded(of_runs) for key, of_runs in values.items() if of_runs},
    }
    text = json.dumps(group, separators=(",", ":"), allow_nan=False)
    start = f"(window.bidsStripGroups=window.bidsStripGroups||{{}})[{json.dumps(suffix)}]"
    return f"{start}={text};\n".encode()


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in np.percentile(values, _STEPS)]
