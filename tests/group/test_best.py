"""Which run of a session is proposed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bids_strip.group.best import best_runs
from bids_strip.group.tables import tabulate
from bids_strip.judged import Judged
from bids_strip.record import FAILED, OK, Record

PLAIN = {"sdt_slope": 0.8, "volume_change_per_mm": 0.05, "fov_contact_inferior_cm2": 0.2}


def run(name: str, *, status: str = OK, flags: dict[str, bool] | None = None, **metrics: Any):
    entities = dict(part.split("-") for part in name.split("_"))
    return Record(f"{name}_T1w", "T1w", entities, status, flags=flags or {},
                  metrics={**PLAIN, **metrics})  # fmt: skip


ONE, TWO = run("sub-01_run-1"), run("sub-01_run-2")


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
    assert best_runs([worse, better]) == best_runs([better, worse]) == {better.bids_name}


def test_what_comes_first_in_the_rule_decides() -> None:
    """A finding about the image outweighs the metrics, field of view the slope."""
    flagged = replace(ONE, flags={"sheared": True}, metrics={**PLAIN, "sdt_slope": 1.0})
    assert best_runs([flagged, TWO]) == {TWO.bids_name}
    cut = replace(ONE, metrics={**PLAIN, "sdt_slope": 1.0, "fov_contact_left_cm2": 3.0})
    assert best_runs([cut, TWO]) == {TWO.bids_name}


def test_an_edited_mask_is_no_finding() -> None:
    assert best_runs([replace(ONE, flags={"manual": True}), TWO]) == {ONE.bids_name}


def test_one_for_each_session() -> None:
    records = [run("sub-01_ses-1_run-1"), run("sub-01_ses-1_run-2"), run("sub-01_ses-2"),
               run("sub-02", status=FAILED), run("sub-03_acq-a"), run("sub-03_acq-b")]  # fmt: skip
    assert best_runs(records) == {"sub-01_ses-1_run-1_T1w", "sub-01_ses-2_T1w", "sub-03_acq-a_T1w"}


def test_the_table_has_it_with_its_rule() -> None:
    records = [ONE, TWO, run("sub-02", status=FAILED)]
    table = tabulate([Judged(r) for r in records], best=best_runs(records))
    column = table.columns.index("best_run")
    assert [row[column] for row in table.rows] == ["1", "0", "0"]
    assert "fewest" in table.dictionary["best_run"]["Description"]
