"""The participant's page: in step with the records, whoever writes, whatever they say."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pytest

from bids_strip.domain import Run
from bids_strip.errors import PredictError
from bids_strip.naming import figures_of, names_of
from bids_strip.output.place import Place
from bids_strip.page.subject import MOST_BYTES
from bids_strip.participant.report import renew_page
from bids_strip.participant.write import write_record
from bids_strip.recipe import Recipe
from bids_strip.record import FAILED, OK, Record
from tests.fakes import FakePredictor, TrueSphere, attempt, make_phantom, raises_on, run_of
from tests.test_pipeline import done, job_of

KINDS = ("mask", "sdt", "brain", "preproc", "dseg")
TRUE = FakePredictor(TrueSphere())
HOSTILE = '</script><img src=x onerror="document.title=1"><b>&'


def run_in(session: int, suffix: str = "T1w") -> Run:
    return Run(Path("x"), "x", (("sub", "01"), ("ses", str(session))), suffix)


def record_of(run: Run, **fields) -> Record:
    known = {"bids_name": run.name, "suffix": run.suffix, "entities": dict(run.entities),
             "status": OK, "verdict": "ok", "software": "bids_strip 1"}  # fmt: skip
    return Record(**{**known, **fields})


def page_of(out: Path) -> str:
    return (out / "sub-01.html").read_text(encoding="utf-8")


def finish(place: Place, run: Run) -> None:
    write_record(run, record_of(run), place)
    renew_page("01", place, software="bids_strip 1")


def test_a_run_that_ends_while_the_page_is_made_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session 2 puts its page just before that of session 1, which was made without it."""
    place, put = Place(tmp_path, tmp_path / ".work" / "1"), Place.put
    other = Place(tmp_path, tmp_path / ".work" / "2")

    def late(self: Place, name: str, content: bytes):
        if name == "sub-01.html":
            monkeypatch.setattr(Place, "put", put)
            finish(other, run_in(2))
        return put(self, name, content)

    monkeypatch.setattr(Place, "put", late)
    finish(place, run_in(1))
    assert "sub-01_ses-1_T1w" in page_of(tmp_path)
    assert "sub-01_ses-2_T1w" in page_of(tmp_path)


def finish_many(out: str, first: int) -> None:
    for number in range(first, first + 3):
        finish(Place(Path(out), Path(out) / ".work" / str(first)), run_in(number))


def test_processes_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=finish_many, args=(str(tmp_path), first))
               for first in (1, 11, 21)]  # fmt: skip
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = page_of(tmp_path)
    numbers = [1, 2, 3, 11, 12, 13, 21, 22, 23]
    places = [found.find(f'<h2 id="sub-01_ses-{number}_T1w"') for number in numbers]
    assert -1 not in places
    assert places == sorted(places)
    assert not list(tmp_path.rglob("*.lock"))


def test_what_is_hostile_is_text(tmp_path: Path) -> None:
    place, run = Place(tmp_path, tmp_path / ".work" / "1"), run_in(1)
    write_record(
        run,
        record_of(run, status=FAILED, stage=HOSTILE, reason=HOSTILE, software=HOSTILE,
                  options={HOSTILE: HOSTILE}, scanner={HOSTILE: HOSTILE}, reasons=(HOSTILE,),
                  flags={HOSTILE: True}, network=dict.fromkeys(("name", "version"), HOSTILE),
                  bids_name=HOSTILE),
        place,
    )  # fmt: skip
    renew_page("01", place, software=HOSTILE)
    found = page_of(tmp_path)
    assert "<img src=x" not in found
    assert "<b>" not in found
    assert found.count("</script>") == 1
    assert "&lt;img src=x" in found


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / ".work" / "1")
    finish(place, run_in(1))
    (tmp_path / names_of(run_in(2))["qc"]).parent.mkdir(parents=True)
    (tmp_path / names_of(run_in(2))["qc"]).write_text("{")
    renew_page("01", place, software="x")
    assert "damaged or cut short" in page_of(tmp_path)
    assert "sub-01_ses-1_T1w" in page_of(tmp_path)


def test_many_runs_stay_within_the_size(tmp_path: Path) -> None:
    """Twenty runs with pictures of .3 MB: the first carry them, the others link to theirs."""
    place = Place(tmp_path, tmp_path / ".work" / "1")
    for number in range(1, 21):
        run = run_in(number)
        for name in figures_of(run).values():
            place.put(name, bytes(45_000))
        write_record(run, record_of(run), place)
    renew_page("01", place, software="x")
    found = page_of(tmp_path)
    assert len(found.encode()) < MOST_BYTES
    assert found.count('src="data:image/webp;base64,') > 5
    assert 'src="sub-01/figures/sub-01_ses-20_desc-head_T1w.webp"' in found
    assert 'src="sub-01/figures/sub-01_ses-1_desc-head_T1w.webp"' not in found


@pytest.fixture
def job(phantoms, tmp_path: Path):
    root = phantoms(["sub-01/anat/sub-01_T1w.nii.gz"])
    return job_of(root / "sub-01/anat/sub-01_T1w.nii.gz", root, tmp_path / "out", kinds=KINDS)


def test_another_border_renews_the_pictures_and_the_page(job) -> None:
    out, names = job.place.output_dir, figures_of(job.run)
    first = done(attempt(job, TRUE))
    assert first.remark == ""
    before = {kind: (out / name).read_bytes() for kind, name in names.items()}
    assert '"border_mm": 0.0' in page_of(out).replace("&#34;", '"')
    moved = replace(job, recipe=Recipe(KINDS, 3.0), earlier=first.record)
    never = FakePredictor(raises_on(AssertionError("the network was opened")))
    done(attempt(moved, never))
    after = {kind: (out / name).read_bytes() for kind, name in names.items()}
    changed = {kind for kind in names if before[kind] != after[kind]}
    assert {"tile", "contour", "curtain", "surface"} <= changed
    assert '"border_mm": 3.0' in page_of(out).replace("&#34;", '"')


def test_a_failed_run_is_told_and_its_pictures_go(job) -> None:
    out = job.place.output_dir
    done(attempt(job, TRUE))
    assert "data:image/webp" in page_of(out)
    assert "Failed at" not in page_of(out)
    nib.save(make_phantom(seed=9).image, job.run.path)  # what is there is of another input
    attempt(job, FakePredictor(raises_on(PredictError("no such kernel"))))
    found = page_of(out)
    assert "Failed at predict" in found
    assert "no such kernel" in found
    assert "data:image/webp" not in found
    assert not list((out / "sub-01/figures").iterdir())


def test_masks_alone_have_no_pictures_and_no_page(job) -> None:
    out = job.place.output_dir
    quick = replace(job, recipe=Recipe(("mask",)))
    done(attempt(quick, TRUE))
    assert not list(out.rglob("*.webp"))
    assert not (out / "sub-01.html").exists()
    done(attempt(job, TRUE))
    assert list(out.rglob("*.webp"))
    done(attempt(quick, TRUE))  # a page that is there says what is there now
    assert not list(out.rglob("*.webp"))
    assert "No pictures of this run" in page_of(out)


def test_a_page_that_cannot_be_written_fails_no_run(job) -> None:
    (job.place.output_dir / "sub-01.html" / "in the way").mkdir(parents=True)
    outcome = done(attempt(job, TRUE))
    assert "sub-01.html" in outcome.remark
    assert "\n" not in outcome.remark
    assert (job.place.output_dir / names_of(job.run)["mask"]).exists()


def test_names_of_pictures_follow_the_run(tmp_path: Path) -> None:
    """A T2w run's pictures do not take the place of the T1w's."""
    one, other = (run_of(tmp_path / f"sub-01_{suffix}.nii.gz", tmp_path)
                  for suffix in ("T1w", "T2w"))  # fmt: skip
    assert not {*figures_of(one).values()} & {*figures_of(other).values()}
    assert figures_of(one)["tile"] == "sub-01/figures/sub-01_desc-brain_mask.webp"
    assert figures_of(other)["tile"] == "sub-01/figures/sub-01_desc-brainT2w_mask.webp"
