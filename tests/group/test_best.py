"""Which run of a session is proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bids_strip.group.best import best_runs
from bids_strip.group.tables import tabulate
from bids_strip.judged import Judged, Rating
from bids_strip.record import FAILED, OK, Record

PLAIN = {"sdt_slope": 0.8, "volume_change_per_mm": 0.05, "fov_contact_inferior_cm2": 0.2}


def run(name: str, *, status: str = OK, flags: dict[str, bool] | None = None, **metrics: Any):
    entities = dict(part.split("-") for part in name.split("_"))
    return Record(f"{name}_T1w", "T1w", entities, status, flags=flags or {},
                  metrics={**PLAIN, **metrics})  # fmt: skip


ONE, TWO = run("sub-01_run-1"), run("sub-01_run-2")
REJECTED = Rating("reject")


def best_of(records: Sequence[Record], ratings: Mapping[str, Rating] | None = None):
    return best_runs([Judged(r, rating=(ratings or {}).get(r.bids_name, Rating()))
                      for r in records])  # fmt: skip


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (replace(ONE, status=FAILED, metrics={}), TWO),
        (replace(ONE, flags={"form_mismatch": True}), TWO),
        (replace(ONE, metrics={**PLAIN, "fov_contact_inferior_cm2": 9.0}), TWO),
        (replace(ONE, metrics={**PLAIN, "sdt_slope": 0.7}), TWO),
        (replace(ONE, metrics={**PLAIN, "sdt_slope": 1.3}), TWO),
        (replace(ONE, metrics={**PLAIN, "volume_change_per_mm": 0.06}), TWO),
        (TWO, ONE),  # all the same: the first name
    ],
)
def test_the_rule(worse: Record, better: Record) -> None:
    assert best_of([worse, better]) == best_of([better, worse]) == {better.bids_name}


def test_what_comes_first_in_the_rule_decides() -> None:
    """A finding about the image outweighs the metrics, field of view the slope."""
    flagged = replace(ONE, flags={"sheared": True}, metrics={**PLAIN, "sdt_slope": 1.0})
    assert best_of([flagged, TWO]) == {TWO.bids_name}
    cut = replace(ONE, metrics={**PLAIN, "sdt_slope": 1.0, "fov_contact_left_cm2": 3.0})
    assert best_of([cut, TWO]) == {TWO.bids_name}


def test_a_reason_of_the_verdict_outweighs_findings_and_metrics() -> None:
    """A mask that leaks is not proposed where another run of the session has a sound one."""
    leaks = replace(ONE, metrics={**PLAIN, "sdt_slope": 1.0, "reference_shift_out_mm": 40.0})
    assert Judged(leaks).reasons
    cut = replace(TWO, metrics={**PLAIN, "fov_contact_inferior_cm2": 5.0})
    assert best_of([leaks, cut]) == {TWO.bids_name}


def test_a_rejected_run_comes_last_and_alone_is_still_the_one() -> None:
    leaks = replace(TWO, metrics={**PLAIN, "reference_shift_out_mm": 40.0})
    assert best_of([ONE, leaks], {ONE.bids_name: REJECTED}) == {TWO.bids_name}
    assert best_of([ONE, TWO], {ONE.bids_name: Rating("edit")}) == {ONE.bids_name}
    assert best_of([ONE], {ONE.bids_name: REJECTED}) == {ONE.bids_name}


def test_a_rating_of_another_mask_does_not_count() -> None:
    old = Rating("reject", mask="0123456789ab")
    assert best_of([ONE, TWO], {ONE.bids_name: old}) == {ONE.bids_name}


def test_an_edited_mask_is_no_finding() -> None:
    assert best_of([replace(ONE, flags={"manual": True}), TWO]) == {ONE.bids_name}


def test_one_for_each_session() -> None:
    records = [run("sub-01_ses-1_run-1"), run("sub-01_ses-1_run-2"), run("sub-01_ses-2"),
               run("sub-02", status=FAILED), run("sub-03_acq-a"), run("sub-03_acq-b")]  # fmt: skip
    assert best_of(records) == {"sub-01_ses-1_run-1_T1w", "sub-01_ses-2_T1w", "sub-03_acq-a_T1w"}


def test_the_table_has_it_with_its_rule() -> None:
    records = [ONE, TWO, run("sub-02", status=FAILED)]
    table = tabulate([Judged(r) for r in records], best=best_of(records))
    column = table.columns.index("best_run")
    assert [row[column] for row in table.rows] == ["1", "0", "0"]
    assert "fewest" in table.dictionary["best_run"]["Description"]
