from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip import naming
from bids_strip.dataset.selection import select
from bids_strip.domain import Run
from bids_strip.errors import OutputError
from bids_strip.output.derivative_description import BIDSIGNORE, dataset_description
from bids_strip.output.sidecars import sidecar
from bids_strip.recipe import Recipe
from bids_strip.settings import Settings
from bids_strip.text_file import to_json
from tests.validator import errors_of

TinyBids = Callable[..., Path]
CARD = {"name": "core", "version": "1"}


def a_run(relative: str = "sub-01/anat/sub-01_T1w.nii.gz") -> Run:
    stem, suffix = relative.rpartition("/")[2].split(".")[0].rsplit("_", 1)
    entities = tuple((part.split("-")[0], part.split("-")[1]) for part in stem.split("_"))
    return Run(Path("/data") / relative, relative, entities, suffix)


def test_names_of_a_t1w() -> None:
    assert naming.names_of(a_run()) == {
        "mask": "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "sdt": "sub-01/anat/sub-01_desc-brain_sdt.nii.gz",
        "brain": "sub-01/anat/sub-01_desc-brain_T1w.nii.gz",
        "preproc": "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        "dseg": "sub-01/anat/sub-01_desc-tissue_dseg.nii.gz",
        "dseg_table": "sub-01/anat/sub-01_desc-tissue_dseg.tsv",
        "probseg_GM": "sub-01/anat/sub-01_label-GM_probseg.nii.gz",
        "probseg_WM": "sub-01/anat/sub-01_label-WM_probseg.nii.gz",
        "probseg_CSF": "sub-01/anat/sub-01_label-CSF_probseg.nii.gz",
        "qc": "sub-01/anat/sub-01_desc-brain_qc.json",
    }


def test_names_of_another_suffix_take_it_into_desc() -> None:
    run = a_run("sub-01/ses-1/anat/sub-01_ses-1_acq-hi_run-002_T2w.nii")
    stem = "sub-01/ses-1/anat/sub-01_ses-1_acq-hi_run-002"
    before = f"{stem}_desc-"
    assert naming.names_of(run) == {
        "mask": before + "brainT2w_mask.nii.gz",
        "sdt": before + "brainT2w_sdt.nii.gz",
        "brain": before + "brain_T2w.nii.gz",
        "preproc": before + "preproc_T2w.nii.gz",
        "dseg": before + "tissueT2w_dseg.nii.gz",
        "dseg_table": before + "tissueT2w_dseg.tsv",
        "probseg_GM": f"{stem}_label-GM_desc-T2w_probseg.nii.gz",
        "probseg_WM": f"{stem}_label-WM_desc-T2w_probseg.nii.gz",
        "probseg_CSF": f"{stem}_label-CSF_desc-T2w_probseg.nii.gz",
        "qc": before + "brainT2w_qc.json",
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("sub-01/anat/sub-01_desc-brain_mask.nii.gz", "sub-01/anat/sub-01_desc-brain_mask.json"),
        ("a.nii", "a.json"),
    ],
)
def test_sidecar_name(image: str, expected: str) -> None:
    assert naming.sidecar_name(image) == expected


def test_collisions() -> None:
    zipped, plain = a_run(), a_run("sub-01/anat/sub-01_T1w.nii")
    naming.check_collisions([zipped, a_run("sub-01/anat/sub-01_T2w.nii.gz")])
    with pytest.raises(OutputError, match=r"T1w\.nii\.gz and .*T1w\.nii: .*keep one") as caught:
        naming.check_collisions([zipped, plain])
    assert caught.value.exit_code == 73
    assert "pairs" not in str(caught.value)
    others = [a_run(f"sub-01/anat/sub-01_T2w.nii{end}") for end in ("", ".gz")]
    with pytest.raises(OutputError, match=r"T1w.*\(the first of 2 such pairs\)"):
        naming.check_collisions([zipped, plain, *others])


def test_no_pybids() -> None:
    code = "import sys, bids_strip.naming; assert 'bids' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)).to_filename(path)


def write_output(raw: Path, out: Path) -> None:
    """All that an invocation writes, empty of sense, by its names and texts."""
    settings = Settings(raw, out, "participant", modality=("T1w", "T2w"))
    write_results(select(settings).runs, out)
    description = dataset_description(raw, out, version="0.1.0")
    (out / "dataset_description.json").write_bytes(to_json(description))
    (out / ".bidsignore").write_text(BIDSIGNORE, encoding="utf-8")
    (out / "logs").mkdir()
    (out / "logs" / "2026.log").write_text("x", encoding="utf-8")
    for name in ("group_T1w.tsv", "group_T1w.json", "group_T1w.html", "sub-01.html"):
        (out / name).write_text("x", encoding="utf-8")
    (out / "sub-01" / "figures").mkdir()
    (out / "sub-01" / "figures" / "sub-01_mask.svg").write_text("x", encoding="utf-8")


def write_results(runs: Iterable[Run], out: Path) -> None:
    """What is made of some runs."""
    for run in runs:
        for kind, name in naming.names_of(run).items():
            if kind == "qc":
                (out / name).write_bytes(to_json({"status": "ok"}))
                continue
            if name.endswith(".tsv"):
                (out / name).write_text("index\tname\n0\tBackground\n", encoding="utf-8")
                continue
            write_image(out / name)
            found = sidecar(kind, run, recipe=Recipe(()), version="0.1.0", network=CARD)
            (out / naming.sidecar_name(name)).write_bytes(to_json(found))


@pytest.mark.parametrize("where", ["out", "raw/derivatives/bids_strip", "raw/derivatives/other"])
def test_the_validator_finds_no_error(tiny_bids: TinyBids, tmp_path: Path, where: str) -> None:
    raw = tiny_bids(
        (
            "sub-01/ses-1/anat/sub-01_ses-1_run-01_T1w.nii.gz",
            "sub-01/ses-1/anat/sub-01_ses-1_run-01_T2w.nii.gz",
            "sub-02/anat/sub-02_acq-hi_rec-norm_T1w.nii",
        )
    )
    write_output(raw, tmp_path / where)
    assert errors_of(tmp_path / where) == []
    (tmp_path / where / ".bidsignore").unlink()
    assert errors_of(tmp_path / where)  # the check can fail


def test_the_validator_takes_what_is_made_of_quantitative_scans(
    tiny_bids: TinyBids, tmp_path: Path
) -> None:
    """BIDS lets their masks and labels keep neither the flip angle, nor inversion, nor MT."""
    stems = ("flip-1_VFA", "inv-2_MP2RAGE", "echo-1_flip-2_mt-off_MPM", "flip-1_mt-on_MTS",
             "mt-on_MTR", "inv-1_IRT1", "echo-1_MESE", "UNIT1")  # fmt: skip
    raw = tiny_bids([f"sub-01/ses-1/anat/sub-01_ses-1_{stem}.nii.gz" for stem in stems])
    suffixes = tuple(stem.rpartition("_")[2] for stem in stems)
    runs = select(Settings(raw, tmp_path / "out", "participant", modality=suffixes)).runs
    assert len(runs) == len(stems)
    out = tmp_path / "out"
    write_results(runs, out)
    for run in runs:
        write_image(out / naming.manual_name(run))
    description = dataset_description(raw, out, version="0.1.0")
    (out / "dataset_description.json").write_bytes(to_json(description))
    (out / ".bidsignore").write_text(BIDSIGNORE, encoding="utf-8")
    assert errors_of(out) == []


@pytest.mark.parametrize("name", ["sub-01_T1w", "sub-MTR_acq-MP2RAGE_T2w", "sub-01_echo-1_MESE"])
def test_names_that_bids_knows_are_not_hidden(name: str) -> None:
    patterns = [line for line in BIDSIGNORE.splitlines() if line.endswith(("mask.*", "seg.*"))]
    run = a_run(f"sub-01/anat/{name}.nii.gz")
    files = [
        naming.names_of(run)[kind].rpartition("/")[2] for kind in ("mask", "dseg", "probseg_GM")
    ]
    assert patterns
    assert not [file for file in files for one in patterns if fnmatch(file, one)]
