"""A rater's mask beside ours: everything follows it, nothing ever writes or removes it."""

from __future__ import annotations

import csv
import errno
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.invariants import main as invariants
from bids_strip import cli
from bids_strip.domain import Run
from bids_strip.errors import PredictError
from bids_strip.geometry import dice
from bids_strip.naming import manual_name, names_of, sidecar_name
from bids_strip.output.place import Place
from bids_strip.participant.attempt import recorded
from bids_strip.participant.describe import describe
from bids_strip.participant.job import Done, Failed, Job
from bids_strip.recipe import Recipe
from tests.fakes import (
    FakePredictor,
    TrueSphere,
    attempt,
    make_phantom,
    raises_on,
    refusing,
    run_of,
)
from tests.validator import errors_of

KINDS = ("mask", "sdt", "brain", "preproc", "dseg")
TRUE = FakePredictor(TrueSphere())
MANUAL = "sub-01/anat/sub-01_desc-manual_mask.nii.gz"
MASK = "sub-01/anat/sub-01_desc-brain_mask.nii.gz"


def edited() -> np.ndarray:
    """The brain without a cap that a rater cut off."""
    head = make_phantom()
    drawn = head.truth.copy()
    drawn[:, :, 24:] = False
    assert 0.8 < drawn.sum() / head.truth.sum() < 0.95
    return drawn


def save_edit(out: Path, drawn: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    path = out / MANUAL
    path.parent.mkdir(parents=True, exist_ok=True)
    head = make_phantom()
    nib.save(nib.Nifti1Image(drawn.astype(np.uint8), head.affine if affine is None else affine),
             path)  # fmt: skip
    return path.read_bytes()


@pytest.fixture
def job(phantoms, tmp_path: Path) -> Job:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    out = tmp_path / "out"
    run = run_of(root / "sub-01/anat/sub-01_T1w.nii.gz", root)
    return Job(run, Recipe(KINDS), Place(out, out / ".work" / "x"), "1", 1)


def refuse_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid to look for the edit of sub-01: a stand-in, for root may enter every folder."""
    lstat, refuse = Path.lstat, refusing(errno.EACCES)
    monkeypatch.setattr(
        Path, "lstat", lambda path: (refuse if "sub-01_desc-manual" in path.name else lstat)(path)
    )


def read(out: Path, run: Run, kind: str) -> np.ndarray:
    return np.asarray(nib.load(out / names_of(run)[kind]).dataobj)


@pytest.mark.parametrize("border", [0.0, 3.0, -2.0])
def test_everything_follows_it_and_no_border_shifts_it(job: Job, border: float) -> None:
    out, drawn = job.place.output_dir, edited()
    content = save_edit(out, drawn)
    done = attempt(replace(job, recipe=Recipe(KINDS, border)), TRUE)
    assert isinstance(done, Done), done
    assert np.array_equal(read(out, job.run, "mask") > 0, drawn)
    assert np.array_equal(read(out, job.run, "sdt") <= 0, drawn)
    whole = read(out, job.run, "preproc")
    assert np.array_equal(read(out, job.run, "brain"), np.where(drawn, whole, 0))
    assert np.array_equal(np.isin(read(out, job.run, "dseg"), (1, 2, 3)), drawn)
    record = done.record
    assert record.metrics["network_dice"] == pytest.approx(
        dice(drawn, make_phantom().truth), abs=0.01
    )
    assert record.metrics["network_dice"] < 0.96
    ml = np.count_nonzero(drawn) * 2.5**3 / 1000
    assert record.metrics["brain_volume_ml"] == pytest.approx(ml, abs=1e-3)
    assert record.flags["manual"] is True
    assert record.options["border_mm"] == 0.0
    assert record.surface["origin"] == "manual"
    assert record.manual is not None
    assert (record.manual.path, record.manual.size) == (MANUAL, len(content))
    for kind in KINDS:
        found = json.loads((out / sidecar_name(names_of(job.run)[kind])).read_text())
        assert found["Manual"] is True, kind
        assert "hand" in found["Description"] or "rater" in found["Description"]
    assert f"bids::{MANUAL}" in json.loads((out / sidecar_name(MASK)).read_text())["Sources"]
    assert (out / MANUAL).read_bytes() == content


def test_the_distances_are_those_to_the_edit(job: Job) -> None:
    """A drawn ball's surface lies within half a voxel's diagonal of the one in closed form."""
    small = make_phantom(radius=22.0)
    save_edit(job.place.output_dir, small.truth)
    assert isinstance(attempt(job, TRUE), Done)
    image = nib.load(job.place.output_dir / names_of(job.run)["sdt"])
    near = np.abs(small.sdt) < 15
    assert np.abs(image.get_fdata() - small.sdt)[near].max() < 2.5 * np.sqrt(3) / 2 + 0.01


def test_without_it_the_sidecars_say_so(job: Job) -> None:
    assert isinstance(attempt(job, TRUE), Done)
    out = job.place.output_dir
    assert json.loads((out / sidecar_name(MASK)).read_text())["Manual"] is False
    assert "Manual" not in json.loads((out / sidecar_name(names_of(job.run)["sdt"])).read_text())


def test_a_failed_run_leaves_it(job: Job) -> None:
    content = save_edit(job.place.output_dir, edited())
    found = attempt(job, FakePredictor(raises_on(PredictError("x"))))
    assert isinstance(found, Failed)
    assert (job.place.output_dir / MANUAL).read_bytes() == content


def test_pieces_are_kept_and_counted(job: Job) -> None:
    drawn = edited()
    drawn[0:2, 0:2, 0:2] = True
    save_edit(job.place.output_dir, drawn)
    done = attempt(job, TRUE)
    assert isinstance(done, Done)
    assert done.record.metrics["mask_pieces"] == 2
    assert np.array_equal(read(job.place.output_dir, job.run, "mask") > 0, drawn)


def test_a_stripped_head_follows_it_too(phantoms, tmp_path: Path) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], head=make_phantom(stripped=True))
    out = tmp_path / "out"
    job = Job(run_of(next(root.rglob("*.nii.gz")), root), Recipe(KINDS),
              Place(out, out / ".work" / "x"), "1", 1)  # fmt: skip
    save_edit(out, edited())
    done = attempt(job, TRUE)
    assert isinstance(done, Done)
    assert np.array_equal(read(out, job.run, "mask") > 0, edited())
    assert done.record.flags["already_stripped"] is True
    assert done.record.surface["origin"] == "manual"


def test_a_bad_edit_fails_the_run_in_a_line_and_stays(job: Job) -> None:
    content = save_edit(job.place.output_dir, np.zeros(make_phantom().data.shape))
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert (found.stage, found.exit_code) == ("edit", 1)
    assert "empty" in found.reason
    assert "\n" not in found.reason
    left = {p.name for p in job.place.output_dir.rglob("*") if p.is_file()}
    assert left == {Path(MANUAL).name, Path(names_of(job.run)["qc"]).name, "sub-01.html"}
    assert (job.place.output_dir / MANUAL).read_bytes() == content


def test_a_bad_edit_leaves_what_it_was_drawn_on(job: Job) -> None:
    """Its remedy is a copy of desc-brain_mask: that has to be there still."""
    assert isinstance(attempt(job, TRUE), Done)
    before = {p: p.read_bytes() for p in job.place.output_dir.rglob("*.nii.gz")}
    save_edit(job.place.output_dir, np.zeros(make_phantom().data.shape))
    assert isinstance(attempt(job, TRUE), Failed)
    assert {p: p.read_bytes() for p in before} == before


def test_a_drawing_is_taken_where_the_network_finds_no_brain(job: Job) -> None:
    drawn = edited()
    save_edit(job.place.output_dir, drawn)
    nothing = FakePredictor(lambda conformed: np.full(conformed.data.shape, 9, np.float32))
    found = attempt(job, nothing)
    assert isinstance(found, Done), found
    assert np.array_equal(read(job.place.output_dir, job.run, "mask") > 0, drawn)
    assert found.record.metrics["network_dice"] == 0


def test_a_folder_that_cannot_be_searched_is_one_line(job: Job, monkeypatch) -> None:
    assert isinstance(attempt(job, TRUE), Done)
    before = {p: p.read_bytes() for p in job.place.output_dir.rglob("*_*") if p.is_file()}
    refuse_search(monkeypatch)
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert (found.stage, found.exit_code) == ("write", 74)
    assert found.kept  # its record too: what is there was made well
    assert "cannot be searched for an edited mask (Permission denied)" in found.reason
    assert "internal" not in found.reason
    assert {p: p.read_bytes() for p in before} == before


def test_one_saved_without_compression_is_not_passed_over(job: Job) -> None:
    path = job.place.output_dir / MANUAL.removesuffix(".gz")
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(edited().astype(np.uint8), make_phantom().affine), path)
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert "compressed" in found.reason
    assert path.exists()


def test_its_name_has_the_whole_stem_and_the_suffix() -> None:
    entities = (("sub", "01"), ("ses", "2"), ("acq", "x"), ("run", "02"))
    t2w = Run(Path("/r/x.nii.gz"), "x", entities, "T2w")
    stem = "sub-01/ses-2/anat/sub-01_ses-2_acq-x_run-02_desc-manual"
    assert manual_name(t2w) == f"{stem}T2w_mask.nii.gz"
    assert manual_name(replace(t2w, suffix="T1w")) == f"{stem}_mask.nii.gz"


# the command ---------------------------------------------------------------------------------


@pytest.fixture
def call(phantoms, network: Path, tmp_path: Path):
    root = phantoms()

    def run(level: str, *options: str) -> int:
        return cli.main([str(root), str(tmp_path / "out"), level, "--model", str(network),
                         "--nprocs", "1", *options])  # fmt: skip

    return run


def mask_of(out: Path) -> np.ndarray:
    return np.asarray(nib.load(out / MASK).dataobj) > 0


def test_it_survives_every_level_and_option(call, tmp_path: Path, capsys) -> None:
    out, drawn = tmp_path / "out", edited()
    assert call("participant") == 0
    network = mask_of(out)
    content = save_edit(out, drawn)
    assert not np.array_equal(network, drawn)
    # noticed without --force, and by the run it belongs to alone
    assert call("participant") == 0
    assert "1 done, 1 skipped" in capsys.readouterr().err
    for options in ((), ("--force",), ("--border", "3"), ("--outputs", "mask", "--force")):
        assert call("participant", *options) == 0
        assert np.array_equal(mask_of(out), drawn), options
        assert (out / MANUAL).read_bytes() == content, options
    assert call("group") == 0
    assert (out / MANUAL).read_bytes() == content
    with (out / "group_T1w.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [r["manual"] for r in rows] == ["1", "0"]
    assert errors_of(out) == []
    assert invariants([str(out)]) == 0


def test_it_is_noticed_changed_and_gone(call, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert call("participant") == 0
    network = mask_of(out)
    save_edit(out, edited())
    assert call("participant") == 0
    assert call("participant") == 0
    assert "2 skipped" in capsys.readouterr().err.splitlines()[-1]
    other = edited()
    other[:, :, :14] = False
    save_edit(out, other)
    assert call("participant") == 0
    assert np.array_equal(mask_of(out), other)
    (out / MANUAL).unlink()
    assert call("participant", "--dry-run") == 0
    assert "to do\tsub-01" in capsys.readouterr().out
    assert call("participant") == 0
    assert np.array_equal(mask_of(out), network)
    record = json.loads((out / MASK.replace("_mask.nii.gz", "_qc.json")).read_text())
    assert record["manual"] is None


def test_a_touched_edit_is_the_same_by_content(call, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    save_edit(out, edited())
    assert call("participant") == 0
    os.utime(out / MANUAL, (1, 1))
    assert call("participant") == 0
    assert "2 skipped" in capsys.readouterr().err.splitlines()[-1]


def test_a_border_says_that_it_does_not_shift_an_edit(call, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert call("participant") == 0
    save_edit(out, edited())
    assert call("participant", "--border", "2") == 0
    said = capsys.readouterr().err
    assert "--border 2: not applied to 1 run with" in said
    record = json.loads((out / "sub-02/anat/sub-02_desc-brain_qc.json").read_text())
    assert record["options"]["border_mm"] == 2.0
    assert "predict" not in record["stage_seconds"]


@pytest.mark.parametrize("options", [(), ("--force",), ("--border", "2")])
def test_one_whose_content_is_away_is_not_taken_for_removed(
    call, tmp_path: Path, capsys, options
) -> None:
    """A link of datalad's: neither skipped nor given back to the network."""
    out = tmp_path / "out"
    content = save_edit(out, edited())
    stored = tmp_path / "annex" / "edit.nii.gz"
    stored.parent.mkdir()
    (out / MANUAL).rename(stored)
    (out / MANUAL).symlink_to(stored)
    assert call("participant") == 0
    before = {p: p.read_bytes() for p in out.rglob("sub-01*.nii.gz")}
    stored.unlink()
    capsys.readouterr()
    assert call("participant", *options) == 1
    said = capsys.readouterr().err
    assert f"{MANUAL}: content is not here; run: datalad get {MANUAL}" in said
    assert {p: p.read_bytes() for p in before if p.name != Path(MANUAL).name} == {
        p: content for p, content in before.items() if p.name != Path(MANUAL).name
    }
    assert (out / MANUAL).is_symlink()
    stored.write_bytes(content)
    assert call("participant") == 0
    assert np.array_equal(mask_of(out), edited())


@pytest.mark.parametrize("options", [(), ("--border", "2")])
def test_a_folder_that_cannot_be_searched_stops_no_other_run(
    call, tmp_path: Path, capsys, monkeypatch, options
) -> None:
    refuse_search(monkeypatch)
    assert call("participant", *options) == 1
    said = capsys.readouterr().err
    assert "1 done, 0 skipped, 1 failed" in said.splitlines()[-1]
    assert "cannot be searched for an edited mask (Permission denied)" in said
    assert "internal" not in said


# saved over ours ------------------------------------------------------------------------------


def save_over(out: Path) -> bytes:
    """A rater's correction saved where our mask lies."""
    nib.save(nib.Nifti1Image(edited().astype(np.int16), make_phantom().affine), out / MASK)
    return (out / MASK).read_bytes()


@pytest.mark.parametrize("options", [(), ("--border", "2"), ("--outputs", "mask", "probseg")])
def test_a_mask_that_was_saved_over_is_refused_and_stays(
    call, tmp_path: Path, capsys, options
) -> None:
    """Call after call: the record of the failure still knows what was written."""
    out = tmp_path / "out"
    assert call("participant") == 0
    content = save_over(out)
    others = {p: p.read_bytes() for p in out.rglob("sub-01*.nii.gz")}
    for _ in range(2):
        capsys.readouterr()
        assert call("participant", *options) == 1
        said = capsys.readouterr().err
        assert f"{MASK}: was changed after it was written; save it as {Path(MANUAL).name}" in said
        assert "1 failed" in said.splitlines()[-1]
        assert {p: p.read_bytes() for p in others} == others
        record = json.loads((out / MASK.replace("_mask.nii.gz", "_qc.json")).read_text())
        assert (record["status"], record["stage"]) == ("failed", "edit")
        assert (out / MASK).read_bytes() == content


@pytest.mark.parametrize("move", [True, False])
def test_under_its_own_name_it_is_followed(call, tmp_path: Path, move: bool) -> None:
    out = tmp_path / "out"
    assert call("participant") == 0
    content = save_over(out)
    assert call("participant") == 1
    if move:
        (out / MASK).rename(out / MANUAL)
    else:
        (out / MANUAL).write_bytes(content)
    assert call("participant") == 0
    assert np.array_equal(mask_of(out), edited())
    assert (out / MANUAL).read_bytes() == content


def test_one_saved_over_what_followed_an_edit_is_refused(call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_edit(out, make_phantom().truth)
    assert call("participant") == 0
    content = save_over(out)
    for _ in range(2):
        assert call("participant") == 1
        assert (out / MASK).read_bytes() == content
    (out / MANUAL).unlink()  # the rater wants ours
    assert call("participant") == 0


@pytest.mark.parametrize("how", ["removed", "cut short", "zeros", "--force"])
def test_one_that_is_gone_or_torn_is_made_again(call, tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    assert call("participant") == 0
    before = mask_of(out)
    content = save_over(out)
    assert call("participant") == 1
    if how == "removed":
        (out / MASK).unlink()
    elif how != "--force":
        torn = content[: len(content) // 2] if how == "cut short" else bytes(len(content))
        (out / MASK).write_bytes(torn)
    assert call("participant", *([how] if how == "--force" else [])) == 0
    assert np.array_equal(mask_of(out), before)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_one_saved_over_without_compression_stays(job: Job, kind: type[nib.Nifti1Image]) -> None:
    """Unless it is torn."""
    assert isinstance(attempt(job, TRUE), Done)
    content = gzip.decompress(save_over(job.place.output_dir))
    image = nib.Nifti1Image.from_bytes(content)
    content = kind(np.asarray(image.dataobj), image.affine).to_bytes()
    (job.place.output_dir / MASK).write_bytes(content)
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert found.stage == "edit"
    assert (job.place.output_dir / MASK).read_bytes() == content
    (job.place.output_dir / MASK).write_bytes(content[: len(content) // 2])
    assert isinstance(attempt(job, TRUE), Done)


def test_another_failure_does_not_take_it_along(job: Job) -> None:
    """A worker that died, say: it is no more ours to remove than to write."""
    assert isinstance(attempt(job, TRUE), Done)
    content = save_over(job.place.output_dir)
    for _ in range(2):
        recorded(job, Failed(job.run, "run", "the worker died", 1), describe(job, None))
        assert (job.place.output_dir / MASK).read_bytes() == content
