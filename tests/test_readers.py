"""What others find in OUTPUT_DIR: sMRIPrep's own code and queries, as fMRIPrep runs them.

``fmriprep --derivatives NAME=OUT`` calls `smriprep.utils.bids.collect_derivatives`; here it is that
function of the installed package, with its ``io_spec.json`` and niworkflows' ``nipreps.json``.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_strip import cli
from bids_strip.example.heads import draw_head, render

SPACE = "MNI152NLin2009cAsym"
OTHERS = (
    "desc-preproc_T1w.nii.gz", "desc-preproc_T1w.json", "desc-manual_mask.nii.gz",
    "desc-tissue_dseg.nii.gz", "desc-tissue_dseg.json", "desc-tissue_dseg.tsv",
    f"space-{SPACE}_res-1_desc-brain_T1w.nii.gz", f"space-{SPACE}_res-1_desc-preproc_T1w.nii.gz",
    f"space-{SPACE}_res-1_desc-brain_mask.nii.gz", f"space-{SPACE}_desc-brain_mask.nii.gz",
    f"from-T1w_to-{SPACE}_mode-image_xfm.tfm", f"from-{SPACE}_to-T1w_mode-image_xfm.tfm",
    "desc-brainT2w_mask.nii.gz", "desc-tissueT2w_dseg.nii.gz",
)  # fmt: skip
"""Names that stand in OUTPUT_DIR, whichever options made them, beside those of the run below."""
PROBABILITIES = tuple(f"label-{tissue}_probseg.nii.gz" for tissue in ("GM", "WM", "CSF"))

needs_smriprep = pytest.mark.skipif(
    not all(importlib.util.find_spec(one) for one in ("smriprep", "niworkflows")),
    reason="pip install --no-deps --requirement tests/readers.txt",
)
Collect = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def stripped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of the demo in coarse voxels, sub-01, ses-1, stripped with the embedded network."""
    folder = tmp_path_factory.mktemp("readers")
    raw, out = folder / "raw", folder / "out"
    item = draw_head(np.random.default_rng(101))
    head = render(
        replace(item, scan=replace(item.scan, shape=(88, 104, 96), zooms=(2.2, 2.2, 2.2)))
    )
    path = raw / "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(head.image, head.affine), path)
    description = {"Name": "readers", "BIDSVersion": "1.11.1"}
    (raw / "dataset_description.json").write_text(json.dumps(description))
    assert cli.main([str(raw), str(out), "participant"]) == 0
    return out


@pytest.fixture
def out(stripped: Path, tmp_path: Path) -> Path:
    """The same with files of every other name beside those of the run."""
    shutil.copytree(stripped, tmp_path / "out")
    for name in OTHERS:
        path = tmp_path / "out" / "sub-01/ses-1/anat" / f"sub-01_ses-1_{name}"
        if not path.exists():
            path.write_text("{}" if path.suffix == ".json" else "")
    return tmp_path / "out"


@pytest.fixture
def collect(out: Path) -> Collect:
    """sMRIPrep's function on the folder."""
    from smriprep.utils.bids import collect_derivatives

    def run(**options: Any) -> dict[str, Any]:
        return dict(collect_derivatives(out, "01", [SPACE], **options))

    return run


def ours(out: Path, name: str) -> str:
    return str(out / "sub-01/ses-1/anat" / f"sub-01_ses-1_{name}")


@needs_smriprep
@pytest.mark.parametrize("options", [{}, {"session_id": "1"}])
def test_mask_and_preproc_are_found_and_nothing_else(
    out: Path, collect: Collect, options: dict[str, str]
) -> None:
    """A dseg would switch FAST off, and an affine would stand for SyN."""
    assert collect(**options) == {
        "t1w_mask": ours(out, "desc-brain_mask.nii.gz"),
        "t1w_preproc": ours(out, "desc-preproc_T1w.nii.gz"),
        "transforms": {},
    }


@needs_smriprep
def test_probabilities_that_were_asked_for_replace_fast(out: Path, collect: Collect) -> None:
    """Documented: not among the default outputs."""
    for name in PROBABILITIES:
        Path(ours(out, name)).touch()
    found = collect()
    assert found["t1w_tpms"] == [ours(out, name) for name in PROBABILITIES]
    assert set(found) == {"t1w_mask", "t1w_preproc", "t1w_tpms", "transforms"}


@needs_smriprep
def test_the_queries_would_find_the_names_we_avoid(out: Path, collect: Collect) -> None:
    """The test above can fail: these are what sMRIPrep looks for."""
    for name in ("dseg.nii.gz", f"from-T1w_to-{SPACE}_mode-image_xfm.h5"):
        Path(ours(out, name)).touch()
    found = collect()
    assert found["t1w_dseg"] == ours(out, "dseg.nii.gz")
    assert SPACE in found["transforms"]


@needs_smriprep
def test_every_query_of_the_file_is_asked() -> None:
    """Kinds of queries in ``io_spec.json`` are those that the function above goes through."""
    from smriprep.data import load

    spec = json.loads(load("io_spec.json").read_text())["queries"]
    assert set(spec) == {"baseline", "transforms", "surfaces", "masks"}
    assert {"preproc", "mask", "dseg", "tpms"} <= set(spec["baseline"])


@needs_smriprep
def test_another_session_needs_its_own_call(out: Path, collect: Collect) -> None:
    """Without a session a subject's runs come as a list: docs/FMRIPREP.md names the way around."""
    path = out / "sub-01/ses-2/anat/sub-01_ses-2_desc-brain_mask.nii.gz"
    path.parent.mkdir(parents=True)
    path.touch()
    assert len(collect()["t1w_mask"]) == 2
    assert collect(session_id="1")["t1w_mask"] == ours(out, "desc-brain_mask.nii.gz")


@needs_smriprep
def test_the_group_level_changes_nothing_of_it(out: Path) -> None:
    """Its dictionary, a sidecar of every T1w by its name, says nothing against any name."""
    from smriprep.utils.bids import collect_derivatives

    assert cli.main(["/no/such/dataset", str(out), "group"]) == 0
    stem = out / "sub-02/anat/sub-02_acq-a_run-1"
    stem.parent.mkdir(parents=True)
    for name in ("desc-brain_mask.nii.gz", "desc-preproc_T1w.nii.gz"):
        Path(f"{stem}_{name}").touch()
    assert collect_derivatives(out, "02", []) == {
        "t1w_mask": f"{stem}_desc-brain_mask.nii.gz",
        "t1w_preproc": f"{stem}_desc-preproc_T1w.nii.gz",
        "transforms": {},
    }
