"""The group table and its dictionary."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from bids_strip.dataset.names import pybids_entities
from bids_strip.group.tables import describe_columns, tabulate
from bids_strip.identity.findings import FINDINGS
from bids_strip.judged import Judged, Outlier, Rating
from bids_strip.metrics import METRICS
from bids_strip.record import Record
from bids_strip.verdict import RULES

OK = Record(
    "sub-01_ses-1_run-02_T1w", "T1w", {"sub": "01", "ses": "1", "run": "02"}, "ok",
    network={"name": "strip-v1", "version": "0.1", "sha256": "ab"}, software="bids_strip 1",
    provider="CPUExecutionProvider", threads=2, elapsed_s=1.23456, peak_memory_mb=300.0,
    flags={"already_stripped": True, "form_mismatch": False},
    metrics={m.key: float(n) + 0.125 for n, m in enumerate(METRICS)},
)  # fmt: skip
BAD = Record(
    "sub-02_T1w", "T1w", {"sub": "02"}, "failed", stage="load",
    reason="a.nii.gz:\tcut\nshort;\r copy it again",
)  # fmt: skip


def rows_of(*records: Record) -> list[dict[str, str]]:
    return rows_judged(*(Judged(record) for record in records))


def rows_judged(*runs: Judged) -> list[dict[str, str]]:
    text = tabulate(runs).to_tsv().decode()
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_a_row_a_run_in_the_order_given() -> None:
    assert [r["bids_name"] for r in rows_of(BAD, OK)] == [BAD.bids_name, OK.bids_name]


def test_a_row_that_is_done() -> None:
    row = rows_of(OK)[0]
    assert row["participant_id"] == "sub-01"
    assert row["session_id"] == "ses-1"
    assert row["run_id"] == "run-02"
    assert row["acquisition_id"] == "n/a"
    assert row["status"] == "ok"
    assert row["stage"] == row["reason"] == "n/a"
    assert row["already_stripped"] == "1"
    assert row["form_mismatch"] == "0"
    assert row["network"] == "strip-v1 0.1"
    assert float(row["elapsed_s"]) == pytest.approx(1.2346)
    for metric in METRICS:
        assert float(row[metric.key]) == OK.metrics[metric.key]


def test_no_column_is_called_like_an_entity() -> None:
    """pybids refuses a sidecar, which the dictionary is by its name, that contradicts a name."""
    entities = {one.name for one in pybids_entities()}
    assert {"acquisition", "run", "session"} <= entities
    assert not entities & set(tabulate([]).dictionary)


def test_a_row_that_failed_has_its_reason() -> None:
    row = rows_of(BAD)[0]
    assert (row["status"], row["stage"]) == ("failed", "load")
    assert row["reason"] == "a.nii.gz: cut short; copy it again"
    assert all(row[m.key] == "n/a" for m in METRICS)
    assert row["already_stripped"] == "n/a"
    assert row["network"] == "n/a"


def test_lines_have_as_many_values_as_columns() -> None:
    lines = tabulate([Judged(OK), Judged(BAD)]).to_tsv().decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 3
    assert len({line.count("\t") for line in lines}) == 1
    assert "\r" not in "".join(lines)
    assert not any(value == "" for line in lines for value in line.split("\t"))


def test_every_column_is_in_the_dictionary_and_the_other_way_round() -> None:
    table = tabulate([Judged(OK), Judged(BAD)])
    assert list(table.columns) == list(table.dictionary) == list(describe_columns())
    assert len(set(table.columns)) == len(table.columns)
    for described in table.dictionary.values():
        assert described["Description"]
        assert "\n" not in described["Description"]


def test_units_are_told() -> None:
    found = describe_columns()
    assert found["brain_volume_ml"]["Units"] == "ml"
    assert found["elapsed_s"]["Units"] == "s"
    assert "Units" not in found["sdt_slope"]
    assert found["sdt_slope"]["Better"] == "one"
    assert set(found["status"]["Levels"]) == {"ok", "failed"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.5, "0.5"), (1234.56789, "1234.5679"),
                        (100.0, "100"), (1e-9, "0")]
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    record = Record("sub-01_T1w", "T1w", {"sub": "01"}, "ok", metrics={"sdt_slope": value})
    assert rows_of(record)[0]["sdt_slope"] == text


def test_no_runs_are_a_header() -> None:
    assert tabulate([]).to_tsv().count(b"\n") == 1


def test_what_is_thought_of_a_run() -> None:
    found = (Outlier("sdt_slope", 9.0), Outlier("wm_cov", -6.0))
    rating = Rating("edit", "leaks\tinto the eye")
    row = rows_judged(Judged(replace(OK, flags={"already_stripped": True}), found, rating))[0]
    assert row["verdict"] == "check"
    assert "already_stripped" in row["reasons"].split(", ")
    assert row["outliers"] == "sdt_slope, wm_cov"
    assert (row["rating"], row["note"]) == ("edit", "leaks into the eye")
    failed = rows_of(BAD)[0]
    assert failed["verdict"] == "failed"
    assert failed["reasons"] == failed["outliers"] == failed["rating"] == "n/a"


def test_reasons_are_explained() -> None:
    rules = describe_columns()["reasons"]["Rules"]
    assert set(rules) == {rule.reason for rule in RULES} | set(FINDINGS)
    assert all(rules.values())


def test_the_scanner() -> None:
    told = {"Manufacturer": "GE", "MagneticFieldStrength": "1.5", "ProtocolName": "spgr"}
    row = rows_of(replace(OK, scanner=told))[0]
    assert (row["manufacturer"], row["field_strength_t"], row["protocol"]) == ("GE", "1.5", "spgr")
    assert row["scanner_model"] == row["station"] == "n/a"


def test_what_a_mask_was_made_with() -> None:
    options = {"border_mm": -1.5, "no_csf": True, "bias_smoothness_mm": 40.0}
    one, other = rows_of(replace(OK, options=options), BAD)
    assert {name: one[name] for name in options} == {
        "border_mm": "-1.5", "no_csf": "1", "bias_smoothness_mm": "40",
    }  # fmt: skip
    assert {other[name] for name in options} == {"n/a"}
    found = describe_columns()
    assert found["border_mm"]["Units"] == found["bias_smoothness_mm"]["Units"] == "mm"
    assert "border_mm" in found["outliers"]["Description"]
