"""The record: there and back, of several calls, and damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bids_strip.fingerprint import InputFile
from bids_strip.record import OutputFile, Record, joined, read_record
from bids_strip.text_file import to_json

RECORD = Record(
    "sub-01_T1w", "T1w", {"sub": "01"}, "ok",
    input=InputFile("sub-01/anat/sub-01_T1w.nii.gz", 5, 7, "ab"),
    options={"border_mm": 0.0, "outputs": ["mask"]},
    network={"name": "n", "version": "1", "sha256": "00"},
    software="bids_strip 1", provider="CPUExecutionProvider", threads=2, elapsed_s=1.5,
    peak_memory_mb=100.0, stage_seconds={"load": 0.1}, flags={"already_stripped": False},
    metrics={"brain_volume_ml": 1400.5}, outputs=(OutputFile("a", 3), OutputFile("b", 4)),
)  # fmt: skip


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "qc.json"
    path.write_bytes(to_json(RECORD.to_json()))
    assert read_record(path) == RECORD


def test_there_and_back_without_input(tmp_path: Path) -> None:
    record = Record("sub-01_T1w", "T1w", {"sub": "01"}, "failed", stage="load", reason="gone")
    path = tmp_path / "qc.json"
    path.write_bytes(to_json(record.to_json()))
    assert read_record(path) == record


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    """A group job of the old image reads what tasks of the new one wrote."""
    later = RECORD.to_json()
    for one in (later, later["input"], later["outputs"][0]):
        one["hints"] = {"new": 1}
    path = tmp_path / "qc.json"
    path.write_text(json.dumps(later))
    assert read_record(path) == RECORD


def fitted(mismatch: bool, *fit: float) -> Record:
    """A record of template spaces: Dice, least and largest stretch."""
    names = ("template_dice", "template_stretch_min", "template_stretch_max")
    found = dict(zip(names, fit, strict=True)) if fit else {}
    flags = {"template_mismatch": mismatch}
    return replace(RECORD, flags=flags, metrics={**RECORD.metrics, **found})


def test_what_fits_least_is_told_of_the_spaces_of_both() -> None:
    bad, good, none = fitted(True, 0.3, 0.5, 1.2), fitted(False, 0.97, 0.9, 1.3), fitted(False)
    for record, earlier in ((bad, good), (good, bad)):
        assert joined(record, earlier).metrics == fitted(True, 0.3, 0.5, 1.3).metrics
        assert joined(record, earlier).flags["template_mismatch"] is True
    for record, earlier in ((bad, none), (none, bad)):
        assert joined(record, earlier).metrics == bad.metrics
        assert joined(record, earlier).flags["template_mismatch"] is True
    assert joined(none, none).metrics == none.metrics
    assert joined(good, none).flags["template_mismatch"] is False


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"{}", b'{"input": null}', b"\xff\xfe\x00",
     b'{"input": null, "outputs": [], "unknown": 1}', b'{"input": 5, "outputs": []}'],
)  # fmt: skip
def test_what_is_no_record_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "qc.json"
    path.write_bytes(content)
    assert read_record(path) is None


def test_an_absent_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "qc.json") is None
    assert read_record(tmp_path) is None


def test_brackets_without_end_are_no_record(tmp_path: Path) -> None:
    path = tmp_path / "qc.json"
    path.write_text("[" * 100_000)
    assert read_record(path) is None


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_record_cut_short_is_none(tmp_path: Path, share: float) -> None:
    path = tmp_path / "qc.json"
    content = to_json(RECORD.to_json()).strip()
    path.write_bytes(content[: int(len(content) * share)])
    assert read_record(path) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("metrics", None), ("entities", None), ("flags", [1]), ("network", None), ("options", 5),
     ("metrics", {"a": True}), ("metrics", {"a": 10**400}), ("elapsed_s", "1"), ("software", 7),
     ("stage_seconds", {"load": None}),
     ("stage_seconds", {"load": "1"}), ("stage_seconds", {"load": True}),
     ("stage_seconds", [1.0]), ("metrics", {"a": "1"}), ("metrics", {"a": [1.0]}),
     ("reasons", [1]), ("scanner", {"a": 1}), ("verdict", 0),
     ("options", {"border_mm": "wide"}), ("options", {"spaces": 3})],
)  # fmt: skip
def test_fields_of_the_wrong_sort_make_no_record(tmp_path: Path, field: str, value) -> None:
    """Resume and group rely on it: what they would stumble over is damaged."""
    path = tmp_path / "qc.json"
    path.write_text(json.dumps({**RECORD.to_json(), field: value}))
    assert read_record(path) is None
