"""Records of a whole OUTPUT_DIR: found, filtered, sorted; damaged ones become failures."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_strip.domain import Run
from bids_strip.errors import MissingInputError, SelectionError, UsageError
from bids_strip.fingerprint import InputFile
from bids_strip.group.gather import Gathered, gather
from bids_strip.naming import names_of
from bids_strip.record import Record
from bids_strip.settings import Settings
from bids_strip.text_file import to_json
from tests.fakes import refusing


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


def gathered(out: Path, *suffixes: str, **options: object) -> Gathered:
    return gather(Settings(Path("/nowhere"), out, "group", modality=suffixes, **options))


def names(out: Path, suffix: str = "T1w", **options: object) -> list[str]:
    return [r.bids_name for r in gathered(out, suffix, **options).records[suffix]]


def by_name(out: Path) -> dict[str, Record]:
    return {r.bids_name: r for r in gathered(out, "T1w").records["T1w"]}


ALL = ["sub-01_T1w", "sub-02_ses-1_run-01_T1w", "sub-02_ses-1_run-02_T1w",
       "sub-02_ses-2_acq-hi_T1w", "sub-03_T1w"]  # fmt: skip


def test_all_of_a_modality_sorted(out: Path) -> None:
    assert names(out) == ALL
    assert names(out, "T2w") == ["sub-01_T2w"]


def test_copies_of_results_beside_them_are_left_out_in_a_line(out: Path) -> None:
    shutil.copytree(out / "sub-02", out / "sub-02_old")
    shutil.copytree(out / "sub-02/ses-1", out / "sub-02/ses-1_bad")
    assert names(out) == ALL
    told = gathered(out, "T1w").misplaced
    assert told is not None
    assert told.startswith("5 results left out")
    assert "sub-02/ses-1_bad/anat/" in told
    shutil.rmtree(out / "sub-02_old")
    shutil.rmtree(out / "sub-02/ses-1_bad")
    assert gathered(out, "T1w").misplaced is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"participant_label": ("sub-02",)}, ALL[1:4]),
        ({"participant_label": ("01", "03")}, [ALL[0], ALL[4]]),
        # what lacks the entity stays in
        ({"session_label": ("1",)}, [ALL[0], ALL[1], ALL[2], ALL[4]]),
        ({"session_label": ("ses-2",), "participant_label": ("02",)}, [ALL[3]]),
        ({"run_label": ("1",)}, [ALL[0], ALL[1], ALL[3], ALL[4]]),
        ({"run_label": ("run-2",)}, [ALL[0], ALL[2], ALL[3], ALL[4]]),
        ({"acquisition_label": ("hi",)}, ALL),
        # a label of another participant is no mistake
        ({"participant_label": ("01",), "session_label": ("1", "2")}, [ALL[0]]),
        ({"participant_label": ("03",), "acquisition_label": ("hi",)}, [ALL[4]]),
    ],
)
def test_filters(out: Path, options: dict, expected: list[str]) -> None:
    assert names(out, **options) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"participant_label": ("01", "99")}, "--participant-label 99: "),
        ({"session_label": ("99",)}, "--session-label 99: no such session; present: 1, 2"),
        ({"session_label": ("1", "01")}, "--session-label 01"),
        ({"participant_label": ("01",), "session_label": ("7",)}, "present: 1, 2"),
        ({"run_label": ("3",)}, "--run-label 3: no such run"),
        ({"acquisition_label": ("lo",)}, "--acquisition-label lo"),
    ],
)
def test_an_absent_label(out: Path, options: dict, said: str) -> None:
    with pytest.raises(SelectionError) as caught:
        names(out, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 18


def test_filters_that_leave_nothing(out: Path) -> None:
    put(out, "sub-02_ses-1_T2w")
    put(out, "sub-01_ses-2_T2w")
    with pytest.raises(
        SelectionError, match=r"none of the T2w results \(1\) passes --session-label 2"
    ):
        names(out, "T2w", participant_label=("02",), session_label=("2",))


@pytest.fixture
def filtered(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """Names that a filter file leaves of T1w."""
    file = tmp_path_factory.mktemp("filter") / "filter.json"

    def write(queries: object, **options: object) -> list[str]:
        file.write_text(json.dumps(queries), encoding="utf-8")
        return names(out, bids_filter_file=file, **options)

    return write


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"session": "1"}, ALL[1:3]),  # unlike a label option: no session does not pass
        ({"session": None}, [ALL[0], ALL[4]]),
        ({"run": 2}, [ALL[2]]),
        ({"acquisition": "*"}, [ALL[3]]),
        ({"datatype": "anat", "suffix": "T1w", "subject": ["01", "03"]}, [ALL[0], ALL[4]]),
        ({"extension": ".nii"}, [ALL[4]]),
    ],
)
def test_filter_file(out: Path, filtered, query: dict, expected: list[str]) -> None:
    """As at participant level, on the names of the sources."""
    source = {"path": "sub-03/anat/sub-03_T1w.nii", "size": 1, "mtime_ns": 1, "sha256": ""}
    put(out, "sub-03_T1w", status="failed", input=InputFile(**source))
    assert filtered({"t1w": query, "t2w": {"session": "9"}}) == expected


def test_filter_file_with_labels(filtered) -> None:
    assert filtered({"t1w": {"run": "1"}}, session_label=("1",)) == [ALL[1]]
    with pytest.raises(
        SelectionError,
        match=r"none of the T1w results .5. passes .*--bids-filter-file .*filter\.json",
    ):
        filtered({"t1w": {"session": "7"}})
    with pytest.raises(UsageError, match="'ses' is no entity"):
        filtered({"t1w": {"ses": "1"}})


def test_a_filter_file_that_is_absent(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        names(out, bids_filter_file=tmp_path / "nofile.json")


def test_several_modalities(out: Path) -> None:
    """Those without results, or with none that is selected, are left out, whatever their order."""
    found = gathered(out, "T2w", "FLAIR", "T1w")
    assert list(found.records) == ["T2w", "T1w"]
    assert found.left_out == ("FLAIR",)
    found = gathered(out, "T1w", "T2w", participant_label=("02",))
    assert [r.bids_name for r in found.records["T1w"]] == ALL[1:4]
    assert found.left_out == ("T2w",)


def test_a_participant_without_any_of_the_modalities(out: Path) -> None:
    with pytest.raises(SelectionError, match="label 02: no T2w results") as caught:
        gathered(out, "T2w", participant_label=("01", "02"))
    assert caught.value.exit_code == 18
    with pytest.raises(MissingInputError, match="no T2w results of 02"):
        gathered(out, "T2w", participant_label=("02",))


@pytest.mark.parametrize("suffixes", [("FLAIR",), ("FLAIR", "PDw")])
def test_nothing_of_the_modalities(out: Path, suffixes: tuple[str, ...]) -> None:
    with pytest.raises(MissingInputError, match=", ".join(suffixes)) as caught:
        gathered(out, *suffixes)
    assert caught.value.exit_code == 66


@pytest.fixture
def closed(out: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Close a folder of OUTPUT_DIR, as chmod would for everyone but root."""

    def close(folder: str) -> None:
        scandir = os.scandir

        def refusing(path: str | Path) -> object:
            if Path(path) == out / folder:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)

    return close


def test_only_the_named_participants_are_opened(out: Path, closed) -> None:
    """Whom one may not read can be left out by naming the others."""
    closed("sub-03")
    assert names(out, participant_label=("01", "02"), session_label=("1",)) == ALL[:3]


@pytest.mark.parametrize("folder", ["sub-03", "sub-03/anat", "sub-02/ses-2", "."])
def test_a_folder_that_may_not_be_read_is_named(out: Path, closed, folder: str) -> None:
    """A table that lacks people without a word would be worse than none."""
    closed(folder)
    with pytest.raises(MissingInputError, match="Permission denied; make it readable") as caught:
        names(out)
    assert str(out / folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("folder", ["sub-03", "sub-03/anat", "sub-02/ses-2"])
def test_a_folder_that_is_a_link_to_nothing(out: Path, tmp_path: Path, folder: str) -> None:
    """A table lacks people unsaid neither where a store is not mounted."""
    (out / folder).rename(tmp_path / "away")
    (out / folder).symlink_to("/nowhere")
    (out / "sub-01.html").symlink_to(".git/annex/objects/a/b/c.html")  # a page is no participant
    with pytest.raises(MissingInputError, match="content is not here") as caught:
        names(out)
    assert str(out / folder) in str(caught.value)
    assert names(out, participant_label=("01",)) == ALL[:1]


def test_a_link_into_a_folder_that_may_not_be_read(out: Path, monkeypatch) -> None:
    """Nobody can tell whether it is a folder: it is opened, which says why it does not open."""
    scandir = os.scandir

    class Hidden:
        name = "sub-04"

        def is_dir(self) -> bool:
            raise PermissionError(errno.EACCES, "Permission denied")

    def listing(path: str | Path) -> object:
        if Path(path).name == "sub-04":
            raise PermissionError(errno.EACCES, "Permission denied")
        with scandir(path) as entries:
            found = [*entries, *([Hidden()] if Path(path) == out else [])]
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", listing)
    with pytest.raises(MissingInputError, match=r"sub-04: Permission denied"):
        names(out)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"status": "ok"}', b"\xff"])
def test_a_damaged_record_is_a_failure_that_says_so(out: Path, content: bytes) -> None:
    path = out / "sub-02/ses-1/anat/sub-02_ses-1_run-01_desc-brain_qc.json"
    path.write_bytes(content)
    assert names(out) == ALL
    damaged = by_name(out)["sub-02_ses-1_run-01_T1w"]
    assert damaged.status == "failed"
    assert damaged.entities == {"sub": "02", "ses": "1", "run": "01"}
    assert damaged.reason is not None
    assert path.name in damaged.reason


def test_a_record_that_is_away_or_may_not_be_read_is_not_called_damaged(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another person's folders, a dataset of datalad's: the participant level is no remedy."""
    forbidden, away, unlocked = (
        out / f"sub-{name}_desc-brain_qc.json"
        for name in ("01/anat/sub-01", "03/anat/sub-03", "02/ses-2/anat/sub-02_ses-2_acq-hi")
    )
    away.unlink()
    away.symlink_to("../../.git/annex/objects/a/b/c.json")
    unlocked.write_text("/annex/objects/MD5E-s1--0.json\n")
    opened = Path.open

    def opening(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == forbidden:
            return refusing(errno.EACCES)(path)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opening)
    found = by_name(out)
    assert [*found] == ALL
    assert found["sub-01_T1w"].status == "failed"
    reason = found["sub-01_T1w"].reason
    assert reason is not None
    assert reason.startswith(f"{forbidden.name}: cannot be read (Permission denied)")
    assert "give yourself the right to read" in reason
    for path, name in ((away, "sub-03_T1w"), (unlocked, "sub-02_ses-2_acq-hi_T1w")):
        assert f"{path.name}: content is not here; run: datalad get" in (found[name].reason or "")
        assert found[name].status == "failed"


def test_a_damaged_record_of_another_modality(out: Path) -> None:
    (out / "sub-01/anat/sub-01_desc-brainT2w_qc.json").write_bytes(b"{")
    assert names(out, "T2w") == ["sub-01_T2w"]
    assert names(out) == ALL


@pytest.mark.parametrize("field", ["entities", "metrics", "flags", "network"])
def test_a_record_with_a_missing_table_is_damaged(out: Path, field: str) -> None:
    """Valid JSON with null where the table expects values: a row, not a traceback."""
    put(out, "sub-01_T1w", **{field: None})
    assert by_name(out)["sub-01_T1w"].status == "failed"


def test_other_json_files_are_not_records(out: Path) -> None:
    (out / "sub-01/anat/sub-01_desc-brain_mask.json").write_text("{}")
    (out / "sub-01/figures").mkdir()
    (out / "sub-01/figures/sub-01_qc.json").write_text("{}")
    assert names(out) == ALL
