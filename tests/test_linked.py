"""Which raw dataset the results are of: moved, mounted elsewhere, or another one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bids_strip.fingerprint import file_fingerprint
from bids_strip.output.derivative_description import dataset_description
from bids_strip.output.linked import LOOKED_AT, given_link, other_dataset
from bids_strip.record import OK, Record
from bids_strip.text_file import to_json
from tests.fakes import make_phantom

Call = Callable[..., int]
Phantoms = Callable[..., Path]
ONE, TWO = "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"
MIXED = "give each its own OUTPUT_DIR"


def links(out: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((out / "dataset_description.json").read_text())[
        "DatasetLinks"
    ]
    return found


def described(raw: Path, out: Path, raw_uri: str | None = None, doi: str = "") -> Path:
    """OUTPUT_DIR as a call leaves it, with a record of every file of the raw dataset."""
    out.mkdir(exist_ok=True)
    found = dataset_description(raw, out, version="1", source={"DatasetDOI": doi}, raw_uri=raw_uri)
    (out / "dataset_description.json").write_bytes(to_json(found))
    for path in sorted(raw.glob("sub-*/anat/*.nii.gz")):
        label = path.parts[-3].removeprefix("sub-")
        source = file_fingerprint(path, path.relative_to(raw).as_posix())
        record = Record(f"sub-{label}_T1w", "T1w", {"sub": label}, OK, input=source)
        folder = out / f"sub-{label}" / "anat"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"sub-{label}_desc-brain_qc.json").write_bytes(to_json(record.to_json()))
    return out


def said_of(raw: Path, out: Path) -> str | None:
    return other_dataset(raw, out, dataset_description(raw, out, version="1"))


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Factory of raw datasets: participants -> a file each, of its own content."""

    def make(name: str, labels: list[str]) -> Path:
        for label in labels:
            folder = tmp_path / name / f"sub-{label}" / "anat"
            folder.mkdir(parents=True)
            (folder / f"sub-{label}_T1w.nii.gz").write_text(f"{name[0]} {label}")
        return tmp_path / name

    return make


# what is said -----------------------------------------------------------------------------------


def test_another_dataset_is_told_before_its_results_are_mixed_in(
    call: Call, out: Path, phantoms: Phantoms, capsys: pytest.CaptureFixture[str]
) -> None:
    other = phantoms([ONE], head=make_phantom(seed=6), name="other")
    assert call() == 0
    was = links(out)["raw"]
    capsys.readouterr()
    assert call("--dry-run", bids=other) == 0
    assert capsys.readouterr().err.count(MIXED) == 1
    assert call(bids=other) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if MIXED in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{out}: holds results of {was}, of which 1 of 2 looked for are ")


def test_a_dataset_that_was_moved_is_worked_on_without_a_word(
    call: Call, raw: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mounted elsewhere, times lost in the copy; one participant's content is not fetched yet."""
    assert call() == 0
    moved = tmp_path / "mnt" / "raw"
    shutil.copytree(raw, moved, copy_function=shutil.copyfile)
    (moved / TWO).unlink()
    (moved / TWO).symlink_to("/nowhere/.git/annex/objects/a")
    capsys.readouterr()
    assert call("--participant-label", "01", bids=moved) == 0
    assert MIXED not in capsys.readouterr().err
    assert links(out)["raw"] == moved.as_uri()


def test_what_tells_a_moved_dataset_from_another(
    dataset: Callable[..., Path], tmp_path: Path
) -> None:
    labels = [f"{n:02d}" for n in range(3 * LOOKED_AT)]
    out = described(dataset("a", labels), tmp_path / "out")
    assert said_of(tmp_path / "a", out) is None
    assert said_of(dataset("again", labels), out) is None  # the same files
    told = said_of(dataset("b", labels), out)  # of the same sizes
    assert told is not None
    assert f"{LOOKED_AT} of {LOOKED_AT} looked for are other files in {tmp_path / 'b'}" in told
    assert "\n" not in told
    assert said_of(dataset("also-a", labels[:1]), out) is None  # a part of it, by itself
    assert said_of(dataset("c", ["new"]), out) is None  # nothing of the same name


def test_a_scan_that_was_made_anew_makes_no_other_dataset(
    dataset: Callable[..., Path], tmp_path: Path
) -> None:
    out = described(dataset("a", ["1", "2", "3"]), tmp_path / "out")
    again = dataset("again", ["1", "2", "3"])
    for number, told in ((1, False), (2, True)):
        (again / f"sub-{number}" / "anat" / f"sub-{number}_T1w.nii.gz").write_text("converted")
        assert (said_of(again, out) is not None) is told


def test_nothing_there_is_nobodys(dataset: Callable[..., Path], tmp_path: Path) -> None:
    raw, out = dataset("a", ["1"]), tmp_path / "out"
    assert said_of(raw, out) is None
    out.mkdir()
    assert said_of(raw, out) is None
    (out / "dataset_description.json").write_text('{"DatasetLinks": 3, "SourceDatasets": [4]}')
    assert said_of(raw, out) is None  # no results
    assert given_link(out) is None
    (out / "dataset_description.json").write_text("[")
    assert said_of(raw, out) is None
    assert given_link(out) is None


# the link that was given ------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["https://example.org/ds", "file:///host/data", "doi:10.1/x"])
def test_a_link_that_was_given_is_not_taken_back(
    call: Call, out: Path, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--raw-uri", uri) == 0
    first = (out / "dataset_description.json").read_bytes()
    assert call() == 0
    assert (out / "dataset_description.json").read_bytes() == first
    assert call("--raw-uri", "https://example.org/moved") == 0
    assert links(out)["raw"] == "https://example.org/moved"
    assert MIXED not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raw_uri", "doi", "given"),
    [
        (None, "", False),
        (None, "10.1/ds", False),
        ("https://example.org/ds", "10.1/ds", True),
        ("file:///host/data", "10.1/ds", True),
        ("doi:10.1/ds", "", True),
    ],
)
def test_what_was_given_is_told_from_what_was_found(
    dataset: Callable[..., Path], tmp_path: Path, raw_uri: str | None, doi: str, given: bool
) -> None:
    out = described(dataset("a", ["1"]), tmp_path / "out", raw_uri, doi)
    assert given_link(out) == (raw_uri if given else None)


def test_a_link_of_an_older_version_is_known_by_its_scheme(tmp_path: Path) -> None:
    """It did not stand among the source datasets then."""
    path = tmp_path / "dataset_description.json"
    for link, given in (("https://example.org/ds", True), ("../..", False), ("file:///x", False),
                        ("http://[host/ds", False)):  # fmt: skip
        path.write_text(json.dumps({"DatasetLinks": {"raw": link}}))
        assert given_link(tmp_path) == (link if given else None)
