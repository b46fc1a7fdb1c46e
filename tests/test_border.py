"""Another border from the stored distances: the same files, without the network."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.border import shift_mm
from bids_strip import cli
from bids_strip.errors import PredictError
from bids_strip.execution import worker
from bids_strip.naming import BORDERED, names_of, page_name, sidecar_name
from bids_strip.output.place import Place
from bids_strip.participant import attempt as attempting
from bids_strip.participant.job import Done, Failed, Job
from bids_strip.recipe import Recipe
from bids_strip.record import read_record
from tests.fakes import (
    FakePredictor,
    TrueSphere,
    attempt,
    make_phantom,
    raises_on,
    run_of,
    sphere_sdt,
    world_of,
)

KINDS = ("mask", "sdt", "brain", "preproc")
TRUE = FakePredictor(TrueSphere())
CLOSED = FakePredictor(raises_on(PredictError("the network was opened")))
DATA = os.environ.get("BIDS_STRIP_TEST_DATA", "")


def job_at(root: Path, out: Path, border: float, kinds: tuple[str, ...] = KINDS) -> Job:
    path = next(root.rglob("*.nii.gz"))
    return Job(run_of(path, root), Recipe(kinds, border), Place(out, out / ".work" / "x"), "1", 1)


def again(job: Job, border: float) -> Job:
    """The same run with another border, its record known."""
    record = read_record(job.place.output_dir / names_of(job.run)["qc"])
    assert record is not None
    recipe = replace(job.recipe, border_mm=border)
    return replace(job, recipe=recipe, earlier=record)


def images(out: Path) -> dict[str, bytes]:
    """All but the corrected image, which a border leaves as it is."""
    found = (p for p in out.rglob("*.nii.gz") if "preproc" not in p.name)
    return {p.name: p.read_bytes() for p in found}


def figures(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.rglob("figures/*")}


def sidecars(out: Path) -> dict[str, bytes]:
    found = (p for p in out.rglob("*.json") if not p.name.endswith("_qc.json"))
    return {p.name: p.read_bytes() for p in found}


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("border", [3.0, -2.0, 0.37])
def test_the_files_are_those_of_a_run_with_that_border(
    phantoms, tmp_path: Path, border: float, stripped: bool
) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], head=make_phantom(stripped=stripped))
    fresh = attempt(job_at(root, tmp_path / "fresh", border), TRUE)
    first = attempt(job := job_at(root, tmp_path / "out", 0.0), TRUE)
    found = attempt(again(job, border), CLOSED)
    assert isinstance(fresh, Done)
    assert isinstance(first, Done)
    assert isinstance(found, Done), found
    assert images(tmp_path / "out") == images(tmp_path / "fresh")
    assert sidecars(tmp_path / "out") == sidecars(tmp_path / "fresh")
    # distances that equal a border are stored a step of .02 mm farther in: see `off_threshold`
    assert found.record.metrics == pytest.approx(fresh.record.metrics, rel=1e-3, abs=2e-2)
    for field in ("flags", "options", "network", "input", "surface"):
        assert getattr(found.record, field) == getattr(fresh.record, field), field
    assert [o.name for o in found.record.outputs] == [o.name for o in fresh.record.outputs]
    assert found.record.provider == first.record.provider
    assert list(found.record.stage_seconds) == [
        "load", "stored", "derive", "register", "qc", "match", "draw", "write",
    ]  # fmt: skip
    assert read_record(tmp_path / "out" / names_of(job.run)["qc"]) == found.record


def test_there_and_back(phantoms, tmp_path: Path) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    out = tmp_path / "out"
    attempt(job := job_at(root, out, 0.0), TRUE)
    before = np.asarray(nib.load(out / names_of(job.run)["mask"]).dataobj)
    for border in (3.0, -2.0, 0.0):
        assert isinstance(attempt(again(job, border), CLOSED), Done)
    assert np.array_equal(np.asarray(nib.load(out / names_of(job.run)["mask"]).dataobj), before)


def test_what_a_border_does_not_change_stays_untouched(phantoms, tmp_path: Path) -> None:
    """Files of other kinds, made by the same run and named in its record."""
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    out = tmp_path / "out"
    done = attempt(job := job_at(root, out, 0.0), TRUE)
    assert isinstance(done, Done)
    other = out / "sub-01/anat/sub-01_desc-tissue_dseg.nii.gz"
    other.write_bytes(b"as it was")
    listed = replace(done.record.outputs[0], name="sub-01/anat/" + other.name, size=9)
    earlier = replace(done.record, outputs=(listed, *done.record.outputs))
    recipe = replace(job.recipe, border_mm=2.0)
    found = attempt(replace(job, recipe=recipe, earlier=earlier), CLOSED)
    assert isinstance(found, Done)
    assert other.read_bytes() == b"as it was"
    assert listed in found.record.outputs
    assert len(found.record.outputs) == len(earlier.outputs)
    for output in found.record.outputs:
        assert (out / output.name).stat().st_size == output.size


def test_everything_with_the_old_border_follows(phantoms, tmp_path: Path) -> None:
    """Asked for the mask alone, the stripped image is not left behind at the old border."""
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    out = tmp_path / "out"
    attempt(job := job_at(root, out, 0.0), TRUE)
    later = again(job, 3.0)
    assert isinstance(attempt(replace(later, recipe=Recipe(("mask",), 3.0)), CLOSED), Done)
    mask, brain = (np.asarray(nib.load(out / names_of(job.run)[k]).dataobj) > 0
                   for k in ("mask", "brain"))  # fmt: skip
    assert np.array_equal(mask, brain)


def test_pictures_follow_where_masks_alone_are_asked_for(phantoms, tmp_path: Path) -> None:
    """A rater sees the mask that is there: in the figures and on the page."""
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    found = {}
    for kinds in (KINDS, ("mask",)):
        out = tmp_path / str(len(kinds))
        attempt(job := job_at(root, out, 0.0), TRUE)
        page = out / page_name("01")
        before = figures(out), page.read_bytes()
        later = again(job, 3.0)
        later = replace(later, recipe=replace(later.recipe, outputs=kinds))
        assert isinstance(attempt(later, CLOSED), Done)
        found[kinds] = figures(out)
        assert page.read_bytes() != before[1]
        contour = "sub-01_desc-contour_mask.webp"
        assert found[kinds][contour] != before[0][contour]
    assert found[KINDS] == found[("mask",)]


@pytest.mark.parametrize("damage", ["cut", "noise", "other grid", "other scale", "gone"])
def test_damaged_distances_are_made_anew(phantoms, tmp_path: Path, damage: str) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    out = tmp_path / "out"
    attempt(job := job_at(root, out, 0.0), TRUE)
    fresh = attempt(job_at(root, tmp_path / "fresh", 2.0), TRUE)
    assert isinstance(fresh, Done)
    later = again(job, 2.0)
    sdt = out / names_of(job.run)["sdt"]
    content = sdt.read_bytes()
    if damage == "cut":
        sdt.write_bytes(content[:-9])
    elif damage == "noise":
        sdt.write_bytes(content[:500] + bytes(400) + content[900:])
    elif damage == "gone":
        sdt.unlink()
    else:
        image = nib.load(sdt)
        data = image.get_fdata(dtype=np.float32)
        nib.save(nib.Nifti1Image(data[1:] if damage == "other grid" else data, image.affine), sdt)
    found = attempt(later, TRUE)
    assert isinstance(found, Done)
    assert "predict" in found.record.stage_seconds
    assert "stored" not in found.record.stage_seconds
    assert images(out) == images(tmp_path / "fresh")


def test_a_border_that_leaves_nothing_is_a_failure(phantoms, tmp_path: Path) -> None:
    """As in a run that opens the network: a record and no image."""
    small = make_phantom(radius=24)
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"], head=small)
    out = tmp_path / "out"
    predictor = FakePredictor(TrueSphere(radius=24))
    done = attempt(job := job_at(root, out, 0.0), predictor)
    assert isinstance(done, Done)
    sdt = out / names_of(job.run)["sdt"]
    image = nib.load(sdt)
    shallow = np.maximum(np.asarray(image.dataobj.get_unscaled()), -250).astype(np.int16)
    thin = nib.Nifti1Image(shallow, image.affine)
    thin.header.set_slope_inter(0.02, 0)
    nib.save(thin, sdt)
    found = attempt(again(job, -12.0), CLOSED)
    assert isinstance(found, Failed)
    assert (found.stage, "--border" in found.reason) == ("derive", True)
    assert not images(out)


def test_a_border_asks_for_memory_too_and_leaves_the_border_that_was(
    phantoms, tmp_path: Path
) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    attempt(job := job_at(root, tmp_path / "out", 0.0), TRUE)
    before = images(tmp_path / "out")
    found = attempt(replace(again(job, 2.0), memory_gb=0.001), CLOSED)
    assert isinstance(found, Failed)
    assert (found.stage, found.exit_code, found.kept) == ("memory", 1, True)
    assert images(tmp_path / "out") == before


def test_a_full_disk_leaves_the_border_that_was(phantoms, tmp_path: Path, monkeypatch) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    out = tmp_path / "out"
    attempt(job := job_at(root, out, 0.0), TRUE)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_bytes, count = Path.write_bytes, 0

    def full(self: Path, content: bytes) -> int:
        nonlocal count
        count += 1
        if count > 2:
            raise OSError(28, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    found = attempt(again(job, 2.0), CLOSED)
    assert isinstance(found, Failed)
    assert (found.kept, found.exit_code) == (True, 74)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


# the command ---------------------------------------------------------------------------------


@pytest.fixture
def call(phantoms, network: Path, tmp_path: Path):
    root = phantoms()

    def run(*options: str) -> int:
        return cli.main([str(root), str(tmp_path / "out"), "participant", "--model", str(network),
                         "--nprocs", "1", *options])  # fmt: skip

    return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Notes each time a network is loaded."""
    worker._opened.cache_clear()
    load, loads = worker.load_predictor, []

    def noting(*args, **kwargs):
        loads.append(args)
        return load(*args, **kwargs)

    monkeypatch.setattr(worker, "load_predictor", noting)
    return loads


def test_the_command_does_not_open_the_network_for_a_border(call, opened, tmp_path, capsys) -> None:
    assert call() == 0
    assert len(opened) == 1
    worker._opened.cache_clear()
    assert call("--border", "2") == 0
    assert len(opened) == 1
    assert "stored distances" in capsys.readouterr().err
    record = json.loads(next((tmp_path / "out").rglob("sub-01*_qc.json")).read_text())
    assert record["options"]["border_mm"] == 2.0
    assert record["status"] == "ok"
    assert call("--border", "2") == 0
    assert "2 skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    "why", ["force", "input", "output gone", "no distances", "failed", "more outputs", "surface"]
)
def test_the_command_opens_it_where_more_has_changed(
    call, opened, tmp_path: Path, why: str
) -> None:
    kinds = {"no distances": ("mask", "brain"), "more outputs": ("mask", "sdt")}.get(why, KINDS)
    assert call("--outputs", *kinds) == 0
    out, raw = tmp_path / "out", tmp_path / "raw"
    record = next(out.rglob("sub-01*_qc.json"))
    if why == "input":
        path = next(raw.rglob("sub-01*.nii.gz"))
        nib.save(make_phantom(seed=6).image, path)
    elif why == "output gone":
        next(out.rglob("sub-01*_mask.nii.gz")).unlink()
    elif why == "failed":
        record.write_text(json.dumps({**json.loads(record.read_text()), "status": "failed"}))
    elif why == "surface":
        found = json.loads(record.read_text())
        found["options"]["no_csf"] = True
        record.write_text(json.dumps(found))
    worker._opened.cache_clear()
    opened.clear()
    more = ("--force",) if why == "force" else ()
    assert call("--border", "2", "--participant-label", "01", *more) == 0
    assert len(opened) == 1
    assert "predict" in json.loads(record.read_text())["stage_seconds"]


def test_workers_change_borders_too(call, tmp_path: Path) -> None:
    assert call() == 0
    assert call("--border", "-1", "--nprocs", "2") == 0
    for path in (tmp_path / "out").rglob("*_qc.json"):
        assert "stored" in json.loads(path.read_text())["stage_seconds"]


# real heads ----------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="BIDS_STRIP_TEST_DATA is not set")
@pytest.mark.parametrize(("dataset", "label"), [("ds000011", "05"), ("ms-longitudinal", "ms03")])
def test_a_border_moves_the_surface_of_a_head_by_its_mm(
    tmp_path: Path, dataset: str, label: str
) -> None:
    def strip(border: float) -> tuple[np.ndarray, tuple[float, ...]]:
        assert cli.main([str(Path(DATA) / dataset), str(tmp_path), "participant",
                         "--participant-label", label, "--border", str(border)]) == 0  # fmt: skip
        image = nib.load(sorted(tmp_path.rglob("*_desc-brain_mask.nii.gz"))[0])
        return np.asarray(image.dataobj) > 0, image.header.get_zooms()

    first, zooms = strip(0.0)
    for border in (3.0, -2.0):
        assert shift_mm(first, strip(border)[0], zooms=zooms) == pytest.approx(border, abs=0.2)
        record = json.loads(sorted(tmp_path.rglob("*_qc.json"))[0].read_text())
        assert "predict" not in record["stage_seconds"]


def test_the_shift_of_spheres_is_their_radii() -> None:
    """The ruler of the test above, by closed form, at 1 mm voxels: within .03 mm."""
    world = world_of((70, 70, 70), np.diag([1.0, 1.0, 1.0, 1.0]))
    near, far = (sphere_sdt(world, (35.2, 34.7, 34.4), r) <= 0 for r in (25.0, 28.0))
    assert shift_mm(near, far, zooms=(1.0, 1.0, 1.0)) == pytest.approx(3.0, abs=0.03)
    assert shift_mm(far, near, zooms=(1.0, 1.0, 1.0)) == pytest.approx(-3.0, abs=0.03)


def test_sidecars_and_images_are_all_that_is_put_anew(phantoms, tmp_path, monkeypatch) -> None:
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    attempt(job := job_at(root, tmp_path / "out", 0.0), TRUE)
    order: list[str] = []
    replace_by = Path.replace

    def noting(self: Path, target: Path) -> Path:
        order.append(target.relative_to(tmp_path / "out").as_posix())
        return replace_by(self, target)

    later = again(job, 1.0)
    monkeypatch.setattr(Path, "replace", noting)
    assert isinstance(attempting.attempt(later, lambda: CLOSED), Done)
    names = names_of(job.run)
    expected = [one for kind in BORDERED for one in (names[kind], sidecar_name(names[kind]))]
    assert [name for name in order if "/figures/" not in name] == [
        *expected, names["qc"], page_name(job.run.label("sub")),
    ]  # fmt: skip
