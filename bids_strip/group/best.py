"""Which run of a session to take, where it has several: by the rule `metrics.BEST_RUN`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bids_strip.metrics import FACES
from bids_strip.record import OK, Record

_FINDINGS = ("already_stripped", "form_mismatch", "no_orientation", "sheared")


def best_runs(records: Sequence[Record]) -> frozenset[str]:
    """Names of the runs to take: one for each participant and session with a run that is done.

    Parameters
    ----------
    records
        Of one modality.
    """
    sessions: dict[tuple[str | None, str | None], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == OK:
            sessions[record.entities.get("sub"), record.entities.get("ses")].append(record)
    return frozenset(min(runs, key=_rank).bids_name for runs in sessions.values())


def _rank(record: Record) -> tuple[int, int, int, float, str]:
    """What the rule compares, least first."""
    metric = record.metrics.get
    contact = sum(metric(f"fov_contact_{face}_cm2", 0.0) for face in FACES.values())
    return (
        sum(bool(record.flags.get(finding)) for finding in _FINDINGS),
        round(contact),
        round(100 * abs(metric("sdt_slope", 0.0) - 1)),
        metric("volume_change_per_mm", 0.0),
        record.bids_name,
    )
