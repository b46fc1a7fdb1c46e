"""Names of folders and files as people have them: blanks, other scripts, links, traps."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from tests.fakes import make_phantom

NAME = "sub-01/anat/sub-01_T1w.nii.gz"
ODD = 'Zürich 脳 o\'clock $HOME; `x` "q"'


def images_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.nii.gz"))


def run(raw: Path, out: Path, network: Path, *options: str) -> int:
    return cli.main([str(raw), str(out), "participant", "--model", str(network),
                     "--outputs", "mask", *options])  # fmt: skip


def records(out: Path) -> dict[str, dict]:
    found = (json.loads(p.read_text(encoding="utf-8")) for p in out.rglob("*_qc.json"))
    return {record["bids_name"]: record for record in found}


def test_blanks_and_scripts_in_every_path(phantoms, network: Path, tmp_path: Path) -> None:
    raw = phantoms([NAME, "sub-02/anat/sub-02_T1w.nii.gz"], name=f"{ODD}/raw data")
    out, work = tmp_path / ODD / "results of ours", tmp_path / ODD / "work here"
    model = tmp_path / ODD / "a network.onnx"
    shutil.copy(network, model)
    shutil.copy(network.with_suffix(".json"), model.with_suffix(".json"))
    wanted = tmp_path / ODD / "filter file.json"
    wanted.write_text('{"t1w": {"subject": "01"}}', encoding="utf-8")
    code = run(raw, out, model, "-w", str(work), "--bids-filter-file", str(wanted))
    assert code == 0
    assert images_below(out) == ["sub-01/anat/sub-01_desc-brain_mask.nii.gz"]
    assert not any(work.iterdir())
    assert cli.main([str(raw), str(out), "group"]) == 0
    assert (out / "group_T1w.html").exists()


def test_a_dataset_of_datalad(phantoms, network: Path, tmp_path: Path, capsys) -> None:
    """Each image is a link into the annex; one's content was not fetched."""
    names = [NAME, "sub-02/anat/sub-02_T1w.nii.gz"]
    raw = phantoms(names)
    for name, here in zip(names, (True, False), strict=True):
        stored = raw / ".git/annex/objects/Xx/1q" / f"MD5E-{name[-16:]}"
        stored.parent.mkdir(parents=True, exist_ok=True)
        (raw / name).rename(stored)
        stored.chmod(0o444)
        (raw / name).symlink_to(os.path.relpath(stored, (raw / name).parent))
        if not here:
            stored.unlink()
    out = tmp_path / "out"
    assert run(raw, out, network) == 1
    found = records(out)
    assert found["sub-01_T1w"]["status"] == "ok"
    remedy = "content is not here; run: datalad get sub-02/anat/sub-02_T1w.nii.gz"
    assert remedy in found["sub-02_T1w"]["reason"]
    assert remedy in capsys.readouterr().err


def test_links_in_a_circle_and_out_of_the_dataset(phantoms, network: Path, tmp_path: Path) -> None:
    """A participant's folder elsewhere is followed, a link to the dataset itself is not walked."""
    store = phantoms([NAME], name="store")
    raw = phantoms(["sub-02/anat/sub-02_T1w.nii.gz"])
    (raw / "sub-01").symlink_to(store / "sub-01")
    (raw / "sub-02/anat/again").symlink_to(raw)
    (raw / "sub-03").symlink_to("sub-03")
    (raw / "sub-04").symlink_to(raw)
    out = tmp_path / "out"
    assert run(raw, out, network) == 0
    assert set(records(out)) == {"sub-01_T1w", "sub-02_T1w"}


@pytest.mark.parametrize("label", ["../../x", "..", "01/../../x", "/etc/passwd", "01\n02", "*"])
def test_labels_do_not_leave(phantoms, network: Path, tmp_path: Path, label: str, capsys) -> None:
    """A value with a slash is a file of labels; no label is a path."""
    raw, out = phantoms([NAME]), tmp_path / "deep" / "out"
    before = sorted(tmp_path.rglob("*"))
    assert run(raw, out, network, "--participant-label", label) in (18, 64)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_filters_do_not_leave(phantoms, network: Path, tmp_path: Path) -> None:
    raw, out = phantoms([NAME]), tmp_path / "deep" / "out"
    wanted = tmp_path / "f.json"
    wanted.write_text('{"t1w": {"subject": "../../x"}}', encoding="utf-8")
    assert run(raw, out, network, "--bids-filter-file", str(wanted)) == 18
    assert not out.exists()


TRAPS = (
    "sub-../anat/sub-.._T1w.nii.gz",
    "sub-01/anat/sub-01_acq-.._T1w.nii.gz",
    "sub-01/anat/sub-01_acq-..\\..\\x_T1w.nii.gz",
    "sub-0 1/anat/sub-0 1_T1w.nii.gz",
    "sub-01/anat/sub-01_acq-a\nb_T1w.nii.gz",
    "sub-01/anat/sub-02_T1w.nii.gz",
    "sub-01/anat/sub-01_acq-<script>_T1w.nii.gz",
    f"sub-01/anat/sub-01_acq-{'a' * 220}_T1w.nii.gz",
    os.fsdecode(b"sub-01/anat/sub-01_acq-\xff\xfe_T1w.nii.gz"),
    os.fsdecode(b"sub-\xff/anat/sub-\xff_T1w.nii.gz"),
)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse some of these names")
def test_names_that_are_traps(phantoms, network: Path, tmp_path: Path, capfd) -> None:
    """Whatever a file is called: nothing outside OUTPUT_DIR, no crash, the sound run done."""
    raw, out = phantoms([NAME]), tmp_path / "deep" / "out"
    image = (raw / NAME).read_bytes()
    for trap in TRAPS:
        (raw / trap).parent.mkdir(parents=True, exist_ok=True)
        (raw / trap).write_bytes(image)
    (tmp_path / "deep").mkdir()
    before = {p for p in tmp_path.rglob("*") if "deep" not in p.parts}
    code = run(raw, out, network)
    said = capfd.readouterr().err
    assert code in (0, 1), said
    assert "internal error" not in said
    assert "Traceback" not in said
    assert {p for p in tmp_path.rglob("*") if "deep" not in p.parts} == before
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"out"}
    assert records(out)["sub-01_T1w"]["status"] == "ok"
    assert not any(p.name == "x" for p in tmp_path.rglob("*"))


def test_names_that_differ_by_case(phantoms, network: Path, tmp_path: Path) -> None:
    names = ["sub-ab/anat/sub-ab_T1w.nii.gz", "sub-AB/anat/sub-AB_T1w.nii.gz"]
    raw = phantoms(names)
    if len(list(raw.glob("sub-*"))) < 2:
        return  # this file system takes them for one
    assert run(raw, tmp_path / "out", network) == 0
    assert set(records(tmp_path / "out")) == {"sub-ab_T1w", "sub-AB_T1w"}


@pytest.fixture
def locked(phantoms):
    """A dataset without any right to write."""
    raw = phantoms([NAME])
    paths = [raw, *raw.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield raw
    for path in paths:
        path.chmod(0o755)


def test_a_dataset_that_may_not_be_written(locked: Path, network: Path, tmp_path: Path) -> None:
    """It is left as it was, to the time of each folder."""
    before = {p: p.stat().st_mtime_ns for p in (locked, *locked.rglob("*"))}
    assert run(locked, tmp_path / "out", network) == 0
    assert {p: p.stat().st_mtime_ns for p in (locked, *locked.rglob("*"))} == before
    made = tmp_path / "out/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    mask = np.asarray(nib.load(made).dataobj) > 0
    assert mask.shape == make_phantom().truth.shape
    assert mask.any()
