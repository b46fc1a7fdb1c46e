"""One run through all stages, and the seam where a failure becomes an outcome."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip.domain import Run
from bids_strip.errors import ModelError, PredictError
from bids_strip.geometry import dice
from bids_strip.metrics import METRICS
from bids_strip.naming import figures_of, names_of, sidecar_name
from bids_strip.output.place import Place
from bids_strip.participant import attempt as attempting
from bids_strip.participant import describe, pipeline, write
from bids_strip.participant.job import Done, Failed, Job, Outcome
from bids_strip.recipe import Recipe
from bids_strip.record import read_record
from tests.fakes import (
    GRIDS,
    RADIUS_MM,
    FakePredictor,
    TrueSphere,
    attempt,
    conformed_world,
    make_phantom,
    raises_on,
    run_of,
    sphere_sdt,
)

KINDS = ("mask", "sdt", "brain", "preproc", "dseg")
TRUE = FakePredictor(TrueSphere())


def job_of(path: Path, root: Path, out: Path, *, border: float = 0.0, kinds=KINDS) -> Job:
    return Job(run_of(path, root), Recipe(kinds, border), Place(out, out / ".work" / "x"), "1", 1)


@pytest.fixture
def job(phantoms, tmp_path: Path) -> Job:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    return job_of(root / "sub-01/anat/sub-01_T1w.nii.gz", root, tmp_path / "out")


def record_of(run: Run, out: Path) -> dict:
    return json.loads((out / names_of(run)["qc"]).read_text())


def files(out: Path) -> set[str]:
    """All but the participant's page, which tells of failures too."""
    found = (p.relative_to(out) for p in out.rglob("*") if p.is_file())
    return {str(p) for p in found if p.suffix != ".html"}


def done(outcome: Outcome) -> Done:
    assert isinstance(outcome, Done), getattr(outcome, "details", outcome)
    return outcome


def failed(outcome: Outcome, out: Path) -> Failed:
    """A failure whose record says the same, with nothing else written."""
    assert isinstance(outcome, Failed)
    assert files(out) == {names_of(outcome.run)["qc"]}
    record = record_of(outcome.run, out)
    assert record["status"] == "failed"
    assert record["stage"] == outcome.stage
    raw = str(outcome.run.path).removesuffix(outcome.run.relative)
    assert record["reason"] == outcome.reason.replace(raw, "").replace(f"{out}/", "")
    assert "\n" not in outcome.reason
    assert outcome.run.path.name in outcome.reason
    return outcome


def load_all(run: Run, out: Path) -> dict[str, nib.Nifti1Image]:
    return {kind: nib.load(out / names_of(run)[kind]) for kind in KINDS}


def test_a_run_gives_its_outputs_and_its_record(job: Job) -> None:
    out = job.place.output_dir
    outcome = done(attempt(job, TRUE))
    names = names_of(job.run)
    images = {names[k] for k in KINDS}
    expected = images | {sidecar_name(n) for n in images} | {names["qc"], names["dseg_table"]}
    assert files(out) == expected | {*figures_of(job.run).values()}
    found = load_all(job.run, out)
    head = make_phantom()
    mask = np.asarray(found["mask"].dataobj) > 0
    assert dice(mask, head.truth) > 0.985
    corrected = found["preproc"].get_fdata()
    assert np.array_equal(found["brain"].get_fdata(), np.where(mask, corrected, 0))
    raw = np.asarray(nib.load(job.run.path).dataobj)
    assert np.corrcoef(corrected[mask], raw[mask])[0, 1] > 0.9
    record = record_of(job.run, out)
    assert record["status"] == "ok"
    assert record["stage"] is None
    assert set(record["metrics"]) <= {m.key for m in METRICS}
    assert {"reference_dice", "edge_contrast", "snr_wm", "efc"} <= set(record["metrics"])
    expected_ml = 4 / 3 * np.pi * RADIUS_MM**3 / 1000
    assert record["metrics"]["brain_volume_ml"] == pytest.approx(expected_ml, rel=0.02)
    assert record["input"]["size"] == job.run.path.stat().st_size
    assert {o["name"] for o in record["outputs"]} == expected - {names["qc"]}
    for output in record["outputs"]:
        assert (out / output["name"]).stat().st_size == output["size"]
    assert list(record["stage_seconds"]) == [
        "load", "conform", "predict", "clean", "restore", "derive", "normalise", "segment",
        "register", "match", "qc", "draw", "write",
    ]  # fmt: skip
    assert read_record(out / names["qc"]) == outcome.record


def test_the_record_is_written_last_of_the_run(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    out, replace_by = job.place.output_dir, Path.replace

    def noting(self: Path, target: Path) -> Path:
        order.append(target.relative_to(out).as_posix())
        return replace_by(self, target)

    monkeypatch.setattr(Path, "replace", noting)
    done(attempt(job, TRUE))
    assert order[-2:] == [names_of(job.run)["qc"], "sub-01.html"]
    assert order.count(order[-2]) == 1


@pytest.mark.parametrize("border", [0.0, 1.0, -1.0, 0.02, -0.37, 3.14, 5.0])
@pytest.mark.parametrize("stripped", [False, True])
def test_the_invariant_holds_on_disk(phantoms, tmp_path, border: float, stripped: bool) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], head=make_phantom(stripped=stripped))
    job = job_of(next(root.rglob("*.nii.gz")), root, tmp_path / "out", border=border)
    outcome = done(attempt(job, TRUE))
    assert outcome.record.flags["already_stripped"] is stripped
    found = load_all(job.run, tmp_path / "out")
    mask = np.asarray(found["mask"].dataobj) > 0
    assert np.array_equal(mask, found["sdt"].get_fdata() <= border)
    assert np.array_equal(mask, found["sdt"].get_fdata(dtype=np.float32) <= np.float32(border))
    assert np.array_equal(mask, np.asarray(found["sdt"].dataobj) <= border)


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_does_not_matter(phantoms, tmp_path: Path, name: str) -> None:
    """Flipped, permuted, oblique, anisotropic: the same ball in the world."""
    head = make_phantom(name)
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], head=head)
    job = job_of(next(root.rglob("*.nii.gz")), root, tmp_path / "out")
    done(attempt(job, FakePredictor(TrueSphere(head.affine))))
    found = load_all(job.run, tmp_path / "out")
    mask = np.asarray(found["mask"].dataobj) > 0
    assert found["mask"].shape == head.data.shape
    assert np.allclose(found["mask"].affine, head.affine, atol=1e-4)
    assert not (mask & (head.sdt > 1.0)).any()
    assert not (~mask & (head.sdt < -1.0)).any()


@pytest.mark.parametrize("turn", ["flip i", "flip jk", "permute", "both"])
def test_turning_the_array_leaves_the_mask_in_the_world(phantoms, tmp_path, turn: str) -> None:
    """The same voxels in another order: the network answers from brightness alone."""
    head = make_phantom()
    image = head.image
    ornt = {
        "flip i": [[0, -1], [1, 1], [2, 1]],
        "flip jk": [[0, 1], [1, -1], [2, -1]],
        "permute": [[2, 1], [0, 1], [1, 1]],
        "both": [[1, -1], [2, 1], [0, -1]],
    }[turn]
    turned = image.as_reoriented(np.array(ornt))
    assert not np.allclose(turned.affine, image.affine)
    masks = []
    for number, one in enumerate((image, turned)):
        root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], name=f"raw{number}")
        nib.save(one, next(root.rglob("*.nii.gz")))
        out = tmp_path / f"out{number}"
        job = job_of(next(root.rglob("*.nii.gz")), root, out)
        done(attempt(job, FakePredictor()))
        mask = load_all(job.run, out)["mask"]
        canonical = nib.as_closest_canonical(mask)
        assert np.allclose(canonical.affine, image.affine, atol=1e-4)
        masks.append(np.asarray(canonical.dataobj) > 0)
    # a grid that is a multiple of the network's is padded unevenly: within a voxel, hardly any
    assert dice(masks[0], masks[1]) > 0.999


def test_one_bad_run_of_three(phantoms, tmp_path: Path) -> None:
    names = [f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz" for n in (1, 2, 3)]
    root = phantoms(names)
    bad = root / names[1]
    bad.write_bytes(bad.read_bytes()[:2000])
    out = tmp_path / "out"
    outcomes = [attempt(job_of(root / n, root, out), TRUE) for n in names]
    assert [type(o) for o in outcomes] == [Done, Failed, Done]
    assert outcomes[1].stage == "load"
    assert outcomes[1].exit_code == 65
    record = record_of(outcomes[1].run, out)
    assert (record["status"], record["stage"]) == ("failed", "load")
    assert record["reason"].startswith("sub-")
    assert bad.name in record["reason"]
    assert record["input"]["size"] == 2000
    assert not list(out.glob("sub-02/**/*.nii.gz"))
    assert len(list(out.glob("sub-0[13]/anat/*.nii.gz"))) == 2 * len(KINDS)


def test_a_predictor_that_fails_on_purpose(job: Job) -> None:
    out = job.place.output_dir
    found = failed(attempt(job, FakePredictor(raises_on(PredictError("no such kernel")))), out)
    assert found.stage == "predict"
    assert "no such kernel" in found.reason


def test_an_unforeseen_error_is_an_outcome_with_its_stage(job: Job) -> None:
    """The record says at which stage, the details keep the traceback for the log."""
    out = job.place.output_dir
    found = failed(attempt(job, FakePredictor(raises_on(ZeroDivisionError("odd\nlines")))), out)
    assert found.exit_code == 1
    assert "ZeroDivisionError" in found.reason
    assert "Traceback" in found.details
    assert "Traceback" not in found.reason
    assert found.stage == "predict"


def test_want_of_memory_is_an_outcome_with_its_stage(job: Job) -> None:
    out = job.place.output_dir
    found = failed(attempt(job, FakePredictor(raises_on(MemoryError()))), out)
    assert "memory" in found.reason
    assert "--nprocs" in found.reason
    assert found.stage == "predict"


def test_an_empty_prediction(job: Job) -> None:
    out = job.place.output_dir
    empty = FakePredictor(lambda c: np.full(c.data.shape, 9.0, np.float32))
    assert "no brain" in failed(attempt(job, empty), out).reason


def test_a_border_that_leaves_nothing(job: Job) -> None:
    """A disc 20 mm thick has no voxel deeper than 12 mm."""

    def disc(conformed):
        world = conformed_world(conformed, make_phantom().affine)
        return np.maximum(np.abs(world[..., 2]) - 10, sphere_sdt(world, radius=40.0))

    found = failed(attempt(replace(job, recipe=Recipe(KINDS, -12.0)), FakePredictor(disc)),
                   job.place.output_dir)  # fmt: skip
    assert found.stage == "derive"
    assert "--border" in found.reason


def test_a_constant_image(phantoms, tmp_path: Path) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    path = next(root.rglob("*.nii.gz"))
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), 4, np.int16), np.eye(4)), path)
    out = tmp_path / "out"
    found = failed(attempt(job_of(path, root, out), TRUE), out)
    assert (found.stage, found.exit_code) == ("load", 65)


def test_a_missing_file(job: Job) -> None:
    job.run.path.unlink()
    found = failed(attempt(job, TRUE), job.place.output_dir)
    assert found.stage == "load"
    assert record_of(job.run, job.place.output_dir)["input"] is None


@pytest.mark.parametrize("failing", [1, 2, 3, 4, 5, 6])
def test_nothing_stays_when_writing_fails_midway(
    job: Job, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The disk is full at the nth file: no image stays, the record says so."""
    count = 0
    write_bytes = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        nonlocal count
        count += 1
        if count == failing:
            write_bytes(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    found = failed(attempt(job, TRUE), job.place.output_dir)
    assert (found.stage, found.exit_code) == ("write", 74)
    assert "No space left" in found.reason


def test_a_disk_that_takes_nothing_at_all(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the record: still an outcome, not an exception."""

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert "its record" in found.details
    assert not files(job.place.output_dir)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in files(out)}


def test_a_redo_leaves_the_old_result_until_the_new_one_is_whole(job: Job) -> None:
    out = job.place.output_dir
    done(attempt(job, TRUE))
    before = contents(out)
    seen: list[dict[str, bytes]] = []

    def looking(conformed):
        seen.append(contents(out))
        return TrueSphere()(conformed)

    again = replace(job, recipe=Recipe(KINDS, 3.0))
    done(attempt(again, FakePredictor(looking)))
    assert seen == [before]
    assert contents(out).keys() == before.keys()
    assert record_of(job.run, out)["options"]["border_mm"] == 3.0


@pytest.mark.parametrize(
    "error", [PredictError("x"), MemoryError(), ZeroDivisionError(), OSError(5, "Input/output")]
)
def test_a_redo_that_fails_leaves_the_finished_result(job: Job, error: Exception) -> None:
    done(attempt(job, TRUE))
    before = contents(job.place.output_dir)
    found = attempt(replace(job, recipe=Recipe(KINDS, 3.0)), FakePredictor(raises_on(error)))
    assert isinstance(found, Failed)
    assert found.kept
    assert contents(job.place.output_dir) == before


def test_a_redo_that_finds_the_disk_full_leaves_the_finished_result(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(attempt(job, TRUE))
    before = contents(job.place.output_dir)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        """As NFS does: it tells of a full disk when the file is flushed."""
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.endswith("preproc_T1w.nii.gz"):
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    found = attempt(replace(job, recipe=Recipe(KINDS, 3.0)), TRUE)
    assert isinstance(found, Failed)
    assert (found.kept, found.stage, found.exit_code) == (True, "write", 74)
    assert contents(job.place.output_dir) == before


def test_an_input_that_is_away_takes_no_result_along(job: Job) -> None:
    done(attempt(job, TRUE))
    before = contents(job.place.output_dir)
    job.run.path.unlink()
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert found.kept
    assert contents(job.place.output_dir) == before


def test_a_result_of_another_input_does_not_outlive_it(job: Job) -> None:
    done(attempt(job, TRUE))
    job.run.path.write_bytes(job.run.path.read_bytes()[:2000])
    failed(attempt(job, TRUE), job.place.output_dir)


def test_a_result_that_lacks_a_file_does_not_outlive_a_failure(job: Job) -> None:
    done(attempt(job, TRUE))
    (job.place.output_dir / names_of(job.run)["sdt"]).unlink()
    failed(attempt(job, FakePredictor(raises_on(PredictError("x")))), job.place.output_dir)


def test_nothing_of_an_unfinished_batch_stays(job: Job) -> None:
    attempt(job, FakePredictor(raises_on(PredictError("x"))))
    done(attempt(job, TRUE))
    assert not list(job.place.staging.iterdir())


def test_a_redo_with_fewer_outputs_leaves_none_of_the_others(job: Job) -> None:
    done(attempt(job, TRUE))
    done(attempt(replace(job, recipe=Recipe(("mask",))), TRUE))
    images = {p.name for p in job.place.output_dir.rglob("*.nii.gz")}
    assert images == {"sub-01_desc-brain_mask.nii.gz"}


def test_something_in_the_way_of_an_output_is_an_outcome(job: Job) -> None:
    """A folder under an output's name cannot be removed: a line with the file, no crash."""
    name = names_of(job.run)["mask"]
    (job.place.output_dir / name / "sub").mkdir(parents=True)
    found = attempt(job, TRUE)
    assert isinstance(found, Failed)
    assert "mask.nii.gz" in found.reason
    assert "internal error" not in found.reason


def test_options_and_network_are_in_the_record(job: Job) -> None:
    record = done(attempt(replace(job, recipe=Recipe(KINDS, 1.5)), TRUE)).record
    assert record.options["border_mm"] == 1.5
    assert record.options["outputs"] == sorted(KINDS)
    assert record.network == {"name": "fake", "version": "0", "sha256": "0" * 64}
    assert record.provider == "fake"
    assert record.threads == 1


def test_the_wayward_header_is_flagged(phantoms, tmp_path: Path) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    path = next(root.rglob("*.nii.gz"))
    image = make_phantom().image
    other = image.affine.copy()
    other[1, 3] += 7
    image.set_sform(image.affine, 1)
    image.set_qform(other, 1)
    nib.save(image, path)
    record = done(attempt(job_of(path, root, tmp_path / "out"), TRUE)).record
    assert record.flags["form_mismatch"] is True
    assert "form_mismatch" in record.reasons
    assert record.verdict == "check"


def test_nan_in_the_input_is_counted(phantoms, tmp_path: Path) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    path = next(root.rglob("*.nii.gz"))
    head = make_phantom()
    data = head.data.copy()
    data[:3, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(data, head.affine), path)
    record = done(attempt(job_of(path, root, tmp_path / "out"), TRUE)).record
    assert record.metrics["nonfinite_voxels"] == 3


def test_peak_memory_is_in_mb() -> None:
    assert 20 < describe.peak_memory_mb() < 20_000


def test_write_is_where_files_come_from() -> None:
    """`Place` is the only writer: the tests above watch it."""
    assert pipeline.write is write.write


def test_a_network_that_cannot_be_opened_is_the_runs_failure(phantoms, tmp_path: Path) -> None:
    """In a worker: the others go on, and the record says why."""
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    job = job_of(root / "sub-01/anat/sub-01_T1w.nii.gz", root, tmp_path / "out")

    def gone() -> FakePredictor:
        raise ModelError("x.onnx: not found; give another")

    outcome = attempting.attempt(job, gone)
    assert isinstance(outcome, Failed)
    assert "x.onnx: not found" in outcome.reason
    assert "internal error" not in outcome.reason
    record = read_record(tmp_path / "out" / names_of(job.run)["qc"])
    assert record is not None
    assert (record.status, record.stage) == ("failed", "open")
