"""The identity check at group level, from stored outputs; BIDS_DIR does not exist."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from bids_strip.domain import SDT_STEP_MM
from bids_strip.fingerprint import InputFile
from bids_strip.group.identity import _mapped
from bids_strip.naming import names_of
from bids_strip.record import FAILED, OK, OutputFile, Record, read_record
from bids_strip.text_file import to_json
from tests.fakes import run_of
from tests.identity.heads import Person, Seen, pose_of, seen

FILES = ("group_identity.tsv", "group_identity.json", "group_identity.html")
Dataset = Callable[[dict[str, Seen]], Path]


@pytest.fixture(scope="module")
def scans() -> dict[str, Seen]:
    """Two scans of each of two people, one of a third."""
    ways = [
        (None, (54, 64, 54)),
        (pose_of((3.0, -4.0, 6.0), (5.0, 9.0, -14.0), 1.02), (56, 62, 54)),
    ]
    return {f"{who}{n}": seen(Person(seed), pose, shape=shape, zooms=(4.0, 4.0, 4.0), noise=100.0)
            for seed, who in enumerate("PQR")
            for n, (pose, shape) in enumerate(ways, 1)}  # fmt: skip


def store(out: Path, name: str, scan: Seen) -> Path:
    """What the participant level leaves of a run; the path of its record."""
    root = out.parent / "raw"
    run = run_of(root / f"{name}.nii.gz", root)
    names = names_of(run)
    brain = nib.Nifti1Image(np.rint(scan.image).astype(np.int16), scan.grid.affine)
    sdt = nib.Nifti1Image(scan.sdt_steps, scan.grid.affine)
    sdt.header.set_slope_inter(SDT_STEP_MM, 0)
    outputs = []
    for kind, image in (("brain", brain), ("sdt", sdt)):
        path = out / names[kind]
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, path)
        outputs.append(OutputFile(names[kind], path.stat().st_size))
    record = Record(
        bids_name=run.name, suffix=run.suffix, entities=dict(run.entities), status=OK,
        input=InputFile(run.relative, 1, 1, name), outputs=tuple(outputs),
    )  # fmt: skip
    return rewrite(out / names["qc"], record)


def rewrite(path: Path, record: Record) -> Path:
    path.write_bytes(to_json(record.to_json()))
    return path


@pytest.fixture
def dataset(tmp_path: Path, scans: dict[str, Seen]) -> Callable[..., Path]:
    """An OUTPUT_DIR of scans under names, a T1w each."""

    def make(**names: str) -> Path:
        for name, scan in names.items():
            sub, ses = name.split("_")
            store(tmp_path / "out", f"sub-{sub}_ses-{ses}_T1w", scans[scan])
        return tmp_path / "out"

    return make


def group(out: Path, *options: str) -> int:
    return cli.main(["/there/is/no/such/dataset", str(out), "group", *options])


def checked(out: Path, *options: str) -> dict[str, dict[str, str]]:
    assert group(out, "--identity-check", "--nprocs", "1", *options) == 0
    with (out / FILES[0]).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {row["bids_name"]: row for row in rows}


def found(rows: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: row["finding"] for name, row in rows.items() if row["finding"] != "n/a"}


def kept(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "logs/identity").glob("*"))}


def test_labels_that_are_right(dataset, capsys) -> None:
    out = dataset(a_1="P1", a_2="P2", b_1="Q1", b_2="Q2", c_1="R1")
    before = {p: p.read_bytes() for p in out.rglob("sub-*") if p.is_file()}
    rows = checked(out)
    assert found(rows) == {}
    row = rows["sub-a_ses-1_T1w"]
    assert row["own_closest"] == "sub-a_ses-2_T1w"
    assert float(row["own_similarity"]) > 0.9
    assert float(row["other_similarity"]) < 0.3
    assert rows["sub-c_ses-1_T1w"]["own_closest"] == "n/a"
    assert list(json.loads((out / FILES[1]).read_text())) == list(row)
    assert "5 of 5 runs compared, 0 do not fit" in capsys.readouterr().err
    assert len(kept(out)) == 5
    now = {p: p.read_bytes() for p in out.rglob("sub-*") if p.is_file()
           and "logs" not in p.parts}  # fmt: skip
    assert now == before


def test_a_swap_and_a_duplicate(dataset, capsys) -> None:
    out = dataset(a_1="P1", a_2="Q2", b_1="Q1", b_2="P2", c_1="R1", d_1="R2")
    rows = checked(out)
    swapped = [f"sub-{who}_ses-{n}_T1w" for who in "ab" for n in (1, 2)]
    doubled = ["sub-c_ses-1_T1w", "sub-d_ses-1_T1w"]
    assert found(rows) == {
        **dict.fromkeys(swapped, "likely_swap"), **dict.fromkeys(doubled, "looks_like_one")
    }  # fmt: skip
    assert rows["sub-a_ses-2_T1w"]["partner"] == "sub-b_ses-2_T1w"
    assert rows["sub-d_ses-1_T1w"]["partner"] == "sub-c_ses-1_T1w"
    assert "6 do not fit" in capsys.readouterr().err


def test_without_the_option_nothing_is_kept(dataset) -> None:
    out = dataset(a_1="P1", a_2="P2")
    assert group(out) == 0
    assert not (out / "logs/identity").exists()
    assert not list(out.glob("group_identity*"))


def test_a_call_without_the_option_takes_back_what_one_with_it_said(dataset) -> None:
    out = dataset(a_1="P1", a_2="Q1", b_1="P2")
    assert found(checked(out))
    assert "looks_like" in (out / "group_T1w.tsv").read_text()
    descriptors = kept(out)
    assert group(out) == 0
    assert not list(out.glob("group_identity*"))
    assert "looks_like" not in (out / "group_T1w.tsv").read_text()
    assert kept(out) == descriptors


def test_what_is_in_the_way_of_taking_back_is_named(dataset, capsys) -> None:
    out = dataset(a_1="P1", a_2="P2")
    (out / FILES[0]).mkdir()
    assert group(out) != 0
    assert f"{FILES[0]}: cannot be removed" in capsys.readouterr().err


def test_what_is_kept_serves_again(dataset) -> None:
    out = dataset(a_1="P1", a_2="P2", b_1="Q1")
    checked(out)
    files = {name: (out / name).read_bytes() for name in FILES}
    descriptors = kept(out)
    for image in out.rglob("sub-*.nii.gz"):
        image.unlink()
    checked(out)
    assert kept(out) == descriptors
    assert {name: (out / name).read_bytes() for name in FILES} == files


def test_a_descriptor_of_another_image_is_made_anew(dataset, scans, tmp_path) -> None:
    out = dataset(a_1="P1", a_2="P2", b_1="Q1")
    checked(out)
    path = store(out, "sub-a_ses-2_T1w", scans["Q2"])
    record = read_record(path)
    assert record is not None
    assert record.input is not None
    rewrite(path, replace(record, input=replace(record.input, sha256="another")))
    assert found(checked(out)) == {
        "sub-a_ses-1_T1w": "looks_like_two",
        "sub-a_ses-2_T1w": "looks_like_one,looks_like_two",
        "sub-b_ses-1_T1w": "looks_like_one",
    }


def test_a_damaged_descriptor_is_made_anew_and_never_unpickled(dataset) -> None:
    out = dataset(a_1="P1", a_2="P2")
    checked(out)
    good = kept(out)
    one, two = sorted((out / "logs/identity").glob("*.bin"))
    one.write_bytes(pickle.dumps({"descriptor": 1}))
    two.write_bytes(two.read_bytes()[:500])
    checked(out)
    assert kept(out) == good


def test_runs_that_cannot_be_compared_are_told_of(dataset) -> None:
    out = dataset(a_1="P1", a_2="P2", b_1="Q1", b_2="Q2", c_1="R1")
    paths = sorted(out.rglob("*_qc.json"))
    records = [read_record(path) for path in paths]
    rewrite(paths[0], replace(records[0], status=FAILED, stage="load", reason="broken"))
    rewrite(paths[1], replace(records[1], outputs=()))
    (out / records[2].outputs[0].name).write_bytes(b"\x1f\x8b rest")
    rows = list(checked(out).values())
    assert [row["left_out"].split()[0] for row in rows] == ["the", "neither", "its", "n/a", "n/a"]
    assert all(row["own_similarity"] == "n/a" for row in rows[:4])
    assert "neither a descriptor" in (out / FILES[2]).read_text()


@pytest.mark.parametrize(("metrics", "doubt"), [
    ({"reference_missing_ml": 400.0}, "loss"),
    ({"reference_misfit_mm": 9.0, "other_inside_lump_ml": 90.0}, "leak, unlike_a_brain"),
])  # fmt: skip
def test_a_bad_mask_accuses_nobody(dataset, scans, metrics, doubt) -> None:
    out = dataset(a_1="P1", b_1="Q1")
    whole = scans["P2"]
    i = whole.sdt_steps.shape[0] // 2
    steps, image = whole.sdt_steps.copy(), whole.image.copy()
    steps[:i], image[:i] = 3000, 0
    path = store(out, "sub-a_ses-2_T1w", replace(whole, sdt_steps=steps, image=image))
    record = read_record(path)
    assert record is not None
    accused = ["sub-a_ses-1_T1w", "sub-a_ses-2_T1w"]
    assert found(checked(out)) == dict.fromkeys(accused, "looks_like_two")
    assert len(kept(out)) == 3  # what was kept of it is not taken either
    rewrite(path, replace(record, metrics=metrics))
    rows = checked(out)
    assert found(rows) == {}
    assert rows["sub-a_ses-2_T1w"]["left_out"] == f"its mask is to be checked first: {doubt}"
    assert rows["sub-a_ses-1_T1w"]["own_closest"] == "n/a"


def test_other_reasons_leave_a_run_in(dataset) -> None:
    out = dataset(a_1="P1", a_2="P2")
    path = min(out.rglob("*_qc.json"))
    record = read_record(path)
    assert record is not None
    rewrite(path, replace(record, metrics={"reference_in_view": 0.9}))
    assert checked(out)["sub-a_ses-1_T1w"]["own_closest"] == "sub-a_ses-2_T1w"


def test_one_run(dataset) -> None:
    rows = checked(dataset(a_1="P1"))
    assert found(rows) == {}
    assert rows["sub-a_ses-1_T1w"]["other_closest"] == "n/a"


def test_no_run_with_a_descriptor(dataset) -> None:
    out = dataset(a_1="P1")
    for image in out.rglob("sub-*.nii.gz"):
        image.unlink()
    assert found(checked(out)) == {}


def test_no_results(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert group(out, "--identity-check") == 66
    assert not list(out.glob("group_*"))


def test_processes_make_the_same(dataset) -> None:
    out = dataset(a_1="P1", a_2="P2", b_1="Q1", b_2="Q2")
    checked(out)
    first = kept(out)
    shutil.rmtree(out / "logs/identity")
    checked(out, "--nprocs", "2")
    assert kept(out) == first


def sized_or_die(files: tuple[str, str], output_dir: Path) -> np.ndarray | None:
    """Stand-in for `describe_stored`: a worker dies of a name with 'deadly' in it."""
    if "deadly" in files[0] and parent_process() is not None:
        os._exit(9)
    return np.array([len(files[0])], np.int8)


def test_what_a_worker_died_of_is_made_in_this_process(tmp_path: Path) -> None:
    files = [("a", ""), ("bb", ""), ("deadly", ""), ("dddd", ""), ("eeeee", "")]
    made = list(_mapped(partial(sized_or_die, output_dir=tmp_path), files, 2))
    assert [one.tolist() for one in made if one is not None] == [[1], [2], [6], [4], [5]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [(("--mem-gb", "4"), 2), (("--mem-gb", "1"), 1), (("--mem-gb", "100", "--nprocs", "3"), 3)],
)
def test_memory_bounds_the_processes(
    dataset, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: int
) -> None:
    out = dataset(a_1="P1", a_2="P2", b_1="Q1", b_2="Q2")
    asked: list[int] = []

    def noting(_make: object, files: list[tuple[str, str]], nprocs: int) -> list[None]:
        asked.append(nprocs)
        return [None] * len(files)

    monkeypatch.setattr("bids_strip.group.identity._mapped", noting)
    monkeypatch.setattr("bids_strip.machine.resources.available_cpus", lambda: 16)
    assert group(out, "--identity-check", *options) == 0
    assert asked == [expected]


def test_modalities_are_compared_within(dataset, scans) -> None:
    out = dataset(a_1="P1", b_1="Q1")
    store(out, "sub-c_ses-1_T2w", scans["P2"])
    rows = checked(out, "--modality", "T1w", "T2w")
    assert found(rows) == {}
    assert rows["sub-c_ses-1_T2w"]["other_closest"] == "n/a"


def test_a_hostile_record_leaves_the_folder_and_the_page_alone(dataset) -> None:
    out = dataset(a_1="P1", b_1="Q1")
    path = min(out.rglob("*_qc.json"))
    record = read_record(path)
    assert record is not None
    name = "../../../escaped</script><img src=x>\tT1w"
    rewrite(path, replace(record, bids_name=name))
    rows = checked(out)
    assert len(rows) == 2
    assert all(len(row) == 10 and None not in row for row in rows.values())
    assert all(p.parent == out / "logs/identity" for p in out.parent.rglob("*escaped*"))
    assert "</script><img" not in (out / FILES[2]).read_text()


def test_a_record_that_points_elsewhere_is_not_followed(dataset) -> None:
    out = dataset(a_1="P1", b_1="Q1")
    path = min(out.rglob("*_qc.json"))
    record = read_record(path)
    assert record is not None
    entities = {"sub": "../../elsewhere/sub-a", "ses": "1"}
    run = run_of(Path("/x/sub-a_ses-1_T1w.nii.gz"), Path("/x"))
    names = names_of(replace(run, entities=tuple(entities.items())))
    outputs = tuple(OutputFile(names[kind], 1) for kind in ("brain", "sdt"))
    rewrite(path, replace(record, entities=entities, outputs=outputs))
    assert sum(row["left_out"].startswith("neither") for row in checked(out).values()) == 1


def test_a_preview_says_so(dataset, capsys) -> None:
    out = dataset(a_1="P1")
    assert group(out, "--identity-check", "--dry-run") == 0
    assert "group_identity.tsv" in capsys.readouterr().out
    assert not (out / "logs").exists()
