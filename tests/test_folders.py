"""Where results may lie, and whose folder OUTPUT_DIR is, by its description."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_strip.errors import OutputError
from bids_strip.output.derivative_description import dataset_description
from bids_strip.output.folders import check_output_dir, check_owner, folder_note
from tests.fakes import put_away

DERIVATIVE = {"Name": "x", "BIDSVersion": "1.11.1", "DatasetType": "derivative"}


@pytest.mark.parametrize(
    ("out", "allowed"),
    [
        ("raw", False),
        ("raw/.", False),
        ("raw/sub-01", False),
        ("raw/derivatives", False),
        ("raw/derivatives/../code", False),
        ("raw/sourcedata/derivatives/x", False),
        ("link", False),
        ("link/out", False),
        ("raw/derivatives/x", True),
        ("raw/derivatives/x/y", True),
        ("raw2", True),
        (".", True),  # BIDS_DIR may lie in OUTPUT_DIR
        ("out", True),
    ],
)
def test_where_output_may_lie(tmp_path: Path, out: str, allowed: bool) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "link").symlink_to("raw")
    if allowed:
        check_output_dir(tmp_path / "raw", tmp_path / out)
        return
    with pytest.raises(OutputError, match=r"derivatives/bids_strip"):
        check_output_dir(tmp_path / "raw", tmp_path / out)


@pytest.mark.parametrize(
    ("out", "noted"),
    [
        ("raw/derivatives/bids_strip", False),
        ("raw/derivatives/bids_strip-0.1", False),
        ("raw/derivatives/masks", True),
        ("raw/derivatives/bids-strip", True),
        ("masks", False),
    ],
)
def test_note_on_the_folders_name(tmp_path: Path, out: str, noted: bool) -> None:
    assert (folder_note(tmp_path / "raw", tmp_path / out) is not None) == noted


def describe(folder: Path, content: object) -> Path:
    (folder / "dataset_description.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_ours_and_nobodys_pass(tmp_path: Path) -> None:
    check_owner(tmp_path / "absent")
    check_owner(tmp_path)
    check_owner(describe(tmp_path, dataset_description(None, tmp_path, version="0.1.0")))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"Name": "x", "BIDSVersion": "1.8.0"}, "holds raw data (no DatasetType"),
        ({"Name": "x", "DatasetType": "raw"}, "derivatives/bids_strip"),
        # written by this program's own hand, and raw all the same
        ({"DatasetType": "raw", "GeneratedBy": [{"Name": "bids_strip"}]}, "raw data"),
        ({"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep"}]}, "raw data or results of fMRIPrep"),
        ({**DERIVATIVE, "GeneratedBy": [{"Name": "MRIQC"}]}, "holds results of MRIQC"),
        (DERIVATIVE, "results of another program"),
        ({**DERIVATIVE, "GeneratedBy": {"Name": "bids_strip"}}, "results of another program"),
        ({**DERIVATIVE, "GeneratedBy": []}, "results of another program"),
        ([], "not a JSON object"),
    ],
)
def test_others_are_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(OutputError) as caught:
        check_owner(describe(tmp_path, content))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 73


def test_a_damaged_description_is_nobodys_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{")
    with pytest.raises(OutputError, match="repair it"):
        check_owner(tmp_path)


@pytest.mark.parametrize("where", [".git/annex/objects/a/b/c.json", "/nowhere/c.json", None])
def test_a_description_whose_content_is_away_is_not_taken_for_none(
    tmp_path: Path, where: str | None
) -> None:
    """A link to nothing, or a pointer: the folder is somebody's, and who that is cannot be told."""
    path = tmp_path / "dataset_description.json"
    put_away(path, where)
    with pytest.raises(OutputError) as caught:
        check_owner(tmp_path)
    said = str(caught.value)
    remedy = "content is not here; run: datalad get dataset_description.json"
    assert said.startswith(f"{path}: {remedy}")
    assert said.endswith("or give bids_strip a folder of its own")
    assert "\n" not in said
    assert caught.value.exit_code == 73


@pytest.mark.parametrize("level", ["participant", "group"])
def test_no_level_writes_over_a_description_that_is_away(
    call: Callable[..., int], out: Path, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    out.mkdir()
    link = out / "dataset_description.json"
    link.symlink_to(".git/annex/objects/a/b/c.json")
    assert call(level=level) == 73
    assert capsys.readouterr().err.count("\n") == 1
    assert [*out.iterdir()] == [link]
    assert link.is_symlink()
