"""The group level through the command line; BIDS_DIR does not exist."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bids_strip import cli
from bids_strip.judged import mask_key
from bids_strip.output.place import Place
from bids_strip.participant.job import Job
from bids_strip.recipe import Recipe
from bids_strip.record import record_in
from tests.fakes import FakePredictor, TrueSphere, attempt, run_of


@pytest.fixture
def out(phantoms, tmp_path: Path) -> Path:
    """Three runs: done, done, cut short."""
    names = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz",
             "sub-03/anat/sub-03_T1w.nii.gz"]  # fmt: skip
    root = phantoms(names)
    (root / names[2]).write_bytes((root / names[2]).read_bytes()[:900])
    out = tmp_path / "out"
    place = Place(out, out / ".work" / "x")
    for name in names:
        job = Job(run_of(root / name, root), Recipe(("mask",)), place, "1", 1)
        attempt(job, FakePredictor(TrueSphere()))
    return out


def group(out: Path, *options: str) -> int:
    return cli.main(["/there/is/no/such/dataset", str(out), "group", *options])


def rows(out: Path, suffix: str = "T1w") -> list[dict[str, str]]:
    with (out / f"group_{suffix}.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_table(out: Path) -> None:
    assert group(out) == 0
    found = rows(out)
    assert [r["bids_name"] for r in found] == ["sub-01_T1w", "sub-02_ses-1_T1w", "sub-03_T1w"]
    assert [r["status"] for r in found] == ["ok", "ok", "failed"]
    assert found[2]["stage"] == "load"
    assert "sub-03_T1w.nii.gz" in found[2]["reason"]
    assert float(found[0]["brain_volume_ml"]) == pytest.approx(92, rel=0.02)
    dictionary = json.loads((out / "group_T1w.json").read_text())
    assert list(dictionary) == list(found[0])


def test_twice_in_a_row_gives_the_same_bytes(out: Path) -> None:
    assert group(out) == 0
    first = {path.name: path.read_bytes() for path in out.glob("group_*")}
    assert sorted(first) == [f"group_T1w.{end}" for end in ("html", "js", "json", "tsv")]
    assert group(out) == 0
    assert {n: (out / n).read_bytes() for n in first} == first


def test_results_of_runs_are_left_alone(out: Path) -> None:
    before = {p: p.read_bytes() for p in out.rglob("sub-*") if p.is_file()}
    assert group(out) == 0
    assert {p: p.read_bytes() for p in out.rglob("sub-*") if p.is_file()} == before


def test_filters(out: Path, capsys) -> None:
    assert group(out, "--participant-label", "02") == 0
    assert [r["bids_name"] for r in rows(out)] == ["sub-02_ses-1_T1w"]
    assert capsys.readouterr().err.startswith("1 T1w run, 0 failed, ")
    assert group(out, "--participant-label", "77") == 18


def test_a_damaged_record(out: Path, capsys) -> None:
    (out / "sub-01/anat/sub-01_desc-brain_qc.json").write_text('{"bids_name": "sub-0')
    assert group(out) == 0
    assert [r["status"] for r in rows(out)] == ["failed", "ok", "failed"]
    assert "2 of them failed" in capsys.readouterr().err


def test_no_results_leave_no_table(tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert group(out) == 66
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(out.glob("group_*"))


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--modality", "T2w"), 66),
        (("--modality", "T2w", "FLAIR"), 66),
        (("--participant-label", "01", "99"), 18),
        (("--session-label", "99"), 18),
        (("--bids-filter-file", "nofile.json"), 64),
        (("--ratings", "nofile.tsv"), 64),
    ],
)
def test_what_cannot_be_done_writes_nothing(out: Path, options, code: int, capsys) -> None:
    """Neither a table nor .bidsignore nor a log."""
    before = listing(out)
    for more in ((), ("--dry-run",)):
        assert group(out, *options, *more) == code
        assert capsys.readouterr().err.count("\n") == 1
        assert listing(out) == before


@pytest.mark.parametrize("order", [("T1w", "T2w"), ("T2w", "T1w")])
def test_a_modality_without_results_is_left_out(out: Path, order, capsys) -> None:
    assert group(out, "--modality", *order, "--dry-run") == 0
    assert "left out\tgroup_T2w.tsv\tno runs\n" in capsys.readouterr().out
    assert group(out, "--modality", *order) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("--modality T2w: ")
    assert second.startswith("3 T1w runs, ")
    assert len(rows(out)) == 3
    assert not list(out.glob("group_T2w*"))
    assert (out / ".bidsignore").exists()


def test_a_participant_who_lacks_one_modality(out: Path, capsys) -> None:
    """CBRAIN would throw the table away if this did not end with 0."""
    source = out / "sub-01/anat/sub-01_desc-brain_qc.json"
    record = {**json.loads(source.read_text()), "bids_name": "sub-01_T2w", "suffix": "T2w"}
    (source.parent / "sub-01_desc-brainT2w_qc.json").write_text(json.dumps(record))
    both = ("--modality", "T1w", "T2w")
    assert group(out, *both, "--participant-label", "02") == 0
    assert [r["bids_name"] for r in rows(out)] == ["sub-02_ses-1_T1w"]
    assert not (out / "group_T2w.tsv").exists()
    assert group(out, *both, "--participant-label", "01", "02") == 0
    assert [r["bids_name"] for r in rows(out, "T2w")] == ["sub-01_T2w"]
    assert "left out" not in capsys.readouterr().err.splitlines()[-1]


def test_a_filter_file_is_applied(out: Path, tmp_path: Path) -> None:
    (tmp_path / "filter.json").write_text('{"t1w": {"session": "1"}}')
    assert group(out, "--bids-filter-file", str(tmp_path / "filter.json")) == 0
    assert [r["bids_name"] for r in rows(out)] == ["sub-02_ses-1_T1w"]


def test_bids_dir_may_be_absent_and_is_not_made(out: Path) -> None:
    assert group(out) == 0
    assert not Path("/there").exists()


def test_ratings_are_read_from_the_folder_or_the_file_named(out: Path, tmp_path: Path) -> None:
    (out / "ratings.tsv").write_text("bids_name\trating\tnote\nsub-01_T1w\taccept\tn/a\n")
    assert group(out) == 0
    assert [r["rating"] for r in rows(out)] == ["accept", "n/a", "n/a"]
    other = tmp_path / "other.tsv"
    other.write_text("bids_name\trating\nsub-02_ses-1_T1w\treject\nsub-77_T1w\tedit\n")
    assert group(out, "--ratings", str(other)) == 0
    assert [r["rating"] for r in rows(out)] == ["n/a", "reject", "n/a"]


def test_a_rating_of_another_mask_does_not_count(out: Path, capsys) -> None:
    """The record says by what the mask was made; the key of the file says which one was seen."""
    record = record_in(out / "sub-01/anat/sub-01_desc-brain_qc.json")
    for key, rating in ((mask_key(record), "accept"), ("n/a", "accept"), ("0" * 12, "n/a")):
        lines = (f"sub-01_T1w\taccept\tfine\t{key}", "sub-77_T1w\tedit\tn/a\t0")
        (out / "ratings.tsv").write_text(
            "\n".join(("bids_name\trating\tnote\tmask_key", *lines, ""))
        )
        assert group(out) == 0
        assert (rows(out)[0]["rating"], rows(out)[0]["note"]) == (rating, "fine")
        told = [line for line in capsys.readouterr().err.splitlines() if "another mask" in line]
        assert len(told) == (rating == "n/a")
        assert not told or told[0].startswith("1 rating not counted")


def test_damaged_ratings_are_one_line_and_nothing_is_written(out: Path, capsys) -> None:
    (out / "ratings.tsv").write_text("sub-01_T1w,accept\n")
    for options in ((), ("--dry-run",)):
        assert group(out, *options) == 64
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "ratings.tsv" in said
    assert not list(out.glob("group_*"))


def test_runs_are_compared_within_their_scanner(out: Path) -> None:
    """What is usual for one scanner stands out for another."""
    template = json.loads((out / "sub-01/anat/sub-01_desc-brain_qc.json").read_text())
    for number in range(24):
        maker, volume = ("GE", 1000.0) if number < 12 else ("Philips", 1500.0)
        if number == 0:
            volume = 1500.0
        name = f"sub-x{number:02d}"
        metrics = {**template["metrics"], "brain_volume_ml": volume + number}
        record = {**template, "bids_name": f"{name}_T1w", "entities": {"sub": name[4:]},
                  "metrics": metrics, "scanner": {"Manufacturer": maker}}  # fmt: skip
        (out / name / "anat").mkdir(parents=True)
        (out / name / "anat" / f"{name}_desc-brain_qc.json").write_text(json.dumps(record))
    assert group(out) == 0
    found = {r["bids_name"]: r["outliers"] for r in rows(out) if "-x" in r["bids_name"]}
    assert [n for n, outliers in found.items() if "brain_volume_ml" in outliers] == ["sub-x00_T1w"]


def test_masks_of_two_borders_are_told_and_compared_apart(out: Path, capsys) -> None:
    template = json.loads((out / "sub-01/anat/sub-01_desc-brain_qc.json").read_text())
    for number in range(30):
        border, volume = (0.0, 1000.0) if number < 16 else (4.0, 1500.0)
        if number == 0:
            volume = 1500.0
        name = f"sub-x{number:02d}"
        record = {**template, "bids_name": f"{name}_T1w", "entities": {"sub": name[4:]},
                  "metrics": {**template["metrics"], "brain_volume_ml": volume + number},
                  "options": {**template["options"], "border_mm": border}}  # fmt: skip
        (out / name / "anat").mkdir(parents=True)
        (out / name / "anat" / f"{name}_desc-brain_qc.json").write_text(json.dumps(record))
    assert group(out, "--participant-label", *(f"x{n:02d}" for n in range(30))) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "border_mm 0 in 16, 4 in 14" in said[0]
    found = {r["bids_name"]: r for r in rows(out)}
    assert {r["border_mm"] for r in found.values()} == {"0", "4"}
    odd = [name for name, r in found.items() if "brain_volume_ml" in r["outliers"]]
    assert odd == ["sub-x00_T1w"]
