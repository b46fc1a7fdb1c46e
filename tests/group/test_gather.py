"""Records of a whole OUTPUT_DIR: found, filtered, sorted; damaged ones become failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_strip.domain import Run
from bids_strip.errors import MissingInputError, SelectionError
from bids_strip.group.gather import gather
from bids_strip.naming import names_of, to_json
from bids_strip.record import Record
from bids_strip.settings import Settings


def put(out: Path, name: str, **fields: object) -> Path:
    stem, suffix = name.rsplit("_", 1)
    entities = tuple((k, v) for k, _, v in (p.partition("-") for p in stem.split("_")))
    run = Run(Path("/raw") / name, name, entities, suffix)
    record = Record(**{"bids_name": name, "suffix": suffix, "entities": dict(entities),
                       "status": "ok", **fields})  # fmt: skip
    path = out / names_of(run)["qc"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(record.to_json()))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name in ("sub-02_ses-1_run-02_T1w", "sub-01_T1w", "sub-02_ses-2_acq-hi_T1w",
                 "sub-02_ses-1_run-01_T1w", "sub-01_T2w"):  # fmt: skip
        put(tmp_path, name)
    put(tmp_path, "sub-03_T1w", status="failed", stage="load", reason="cut short")
    return tmp_path


def names(out: Path, suffix: str = "T1w", **options: object) -> list[str]:
    settings = Settings(Path("/nowhere"), out, "group", **options)
    return [r.bids_name for r in gather(settings, suffix)]


ALL = ["sub-01_T1w", "sub-02_ses-1_run-01_T1w", "sub-02_ses-1_run-02_T1w",
       "sub-02_ses-2_acq-hi_T1w", "sub-03_T1w"]  # fmt: skip


def test_all_of_a_modality_sorted(out: Path) -> None:
    assert names(out) == ALL
    assert names(out, "T2w") == ["sub-01_T2w"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"participant_label": ("sub-02",)}, ALL[1:4]),
        ({"participant_label": ("01", "03")}, [ALL[0], ALL[4]]),
        # what lacks the entity stays in
        ({"session_label": ("1",)}, [ALL[0], ALL[1], ALL[2], ALL[4]]),
        ({"session_label": ("ses-2",), "participant_label": ("02",)}, [ALL[3]]),
        ({"run_label": ("1",)}, [ALL[0], ALL[1], ALL[3], ALL[4]]),
        ({"acquisition_label": ("lo",)}, [ALL[0], ALL[1], ALL[2], ALL[4]]),
    ],
)
def test_filters(out: Path, options: dict, expected: list[str]) -> None:
    assert names(out, **options) == expected


def test_an_absent_participant(out: Path) -> None:
    with pytest.raises(SelectionError, match="99") as caught:
        names(out, participant_label=("01", "99"))
    assert caught.value.exit_code == 18


def test_filters_that_leave_nothing(out: Path) -> None:
    with pytest.raises(SelectionError):
        names(out, participant_label=("02",), session_label=("7",))


def test_nothing_of_the_modality(out: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError) as caught:
        names(out, "FLAIR")
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"status": "ok"}', b"\xff"])
def test_a_damaged_record_is_a_failure_that_says_so(out: Path, content: bytes) -> None:
    path = out / "sub-02/ses-1/anat/sub-02_ses-1_run-01_desc-brain_qc.json"
    path.write_bytes(content)
    assert names(out) == ALL
    found = {r.bids_name: r for r in gather(Settings(Path("/x"), out, "group"), "T1w")}
    damaged = found["sub-02_ses-1_run-01_T1w"]
    assert damaged.status == "failed"
    assert damaged.entities == {"sub": "02", "ses": "1", "run": "01"}
    assert damaged.reason is not None
    assert path.name in damaged.reason


def test_a_damaged_record_of_another_modality(out: Path) -> None:
    (out / "sub-01/anat/sub-01_desc-brainT2w_qc.json").write_bytes(b"{")
    assert names(out, "T2w") == ["sub-01_T2w"]
    assert names(out) == ALL


@pytest.mark.parametrize("field", ["entities", "metrics", "flags", "network"])
def test_a_record_with_a_missing_table_is_damaged(out: Path, field: str) -> None:
    """Valid JSON with null where the table expects values: a row, not a traceback."""
    put(out, "sub-01_T1w", **{field: None})
    found = {r.bids_name: r for r in gather(Settings(Path("/x"), out, "group"), "T1w")}
    assert found["sub-01_T1w"].status == "failed"


def test_other_json_files_are_not_records(out: Path) -> None:
    (out / "sub-01/anat/sub-01_desc-brain_mask.json").write_text("{}")
    (out / "sub-01/figures").mkdir()
    (out / "sub-01/figures/sub-01_qc.json").write_text("{}")
    assert names(out) == ALL
