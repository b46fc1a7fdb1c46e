"""Which run of a session to take, where it has several: by the rule `metrics.BEST_RUN`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bids_strip.judged import Judged
from bids_strip.metrics import FACES
from bids_strip.record import OK

_REJECTED = "reject"
_FINDINGS = ("already_stripped", "form_mismatch", "no_orientation", "sheared")


def best_runs(runs: Sequence[Judged]) -> frozenset[str]:
    """Names of the runs to take: one for each participant and session with a run that is done.

    Parameters
    ----------
    runs
        Of one modality.
    """
    sessions: dict[tuple[str | None, str | None], list[Judged]] = defaultdict(list)
    for run in runs:
        entities = run.record.entities
        if run.record.status == OK:
            sessions[entities.get("sub"), entities.get("ses")].append(run)
    return frozenset(min(some, key=_rank).record.bids_name for some in sessions.values())


def _rank(run: Judged) -> tuple[bool, int, int, int, int, float, str]:
    """What the rule compares, least first."""
    record = run.record
    metric = record.metrics.get
    contact = sum(metric(f"fov_contact_{face}_cm2", 0.0) for face in FACES.values())
    return (
        run.rating.rating == _REJECTED and not run.rated_another,
        len(run.reasons),
        sum(bool(record.flags.get(finding)) for finding in _FINDINGS),
        round(contact),
        round(100 * abs(metric("sdt_slope", 0.0) - 1)),
        metric("volume_change_per_mm", 0.0),
        record.bids_name,
    )
