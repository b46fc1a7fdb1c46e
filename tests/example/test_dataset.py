"""The example dataset: whole, valid on its face, repeatable; refuses what is not empty."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip.example.__main__ import main
from bids_strip.example.dataset import write_example

STEMS = ("sub-01/ses-1/anat/sub-01_ses-1", "sub-01/ses-2/anat/sub-01_ses-2", "sub-02/anat/sub-02")


def test_the_dataset_is_whole_and_small(example: Path) -> None:
    images = {str(p.relative_to(example)) for p in example.rglob("*.nii.gz")}
    raw = {f"{stem}_T1w.nii.gz" for stem in STEMS}
    truth = {f"derivatives/truth/{stem}_desc-truth_mask.nii.gz" for stem in STEMS}
    assert images == raw | truth
    assert sum(p.stat().st_size for p in example.rglob("*") if p.is_file()) < 25e6


def test_every_image_has_a_sidecar(example: Path) -> None:
    for image in example.rglob("*.nii.gz"):
        assert json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())


@pytest.mark.parametrize("stem", STEMS)
def test_truth_lies_on_the_images_grid(example: Path, stem: str) -> None:
    image = nib.load(example / f"{stem}_T1w.nii.gz")
    mask = nib.load(example / "derivatives/truth" / f"{stem}_desc-truth_mask.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert mask.get_data_dtype() == np.uint8
    assert image.shape == mask.shape
    assert np.array_equal(image.affine, mask.affine)
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-3)
    zooms = nib.affines.voxel_sizes(mask.affine)
    volume_ml = np.asarray(mask.dataobj).sum() * np.prod(zooms) / 1000
    assert 1200 < volume_ml < 1700


def test_sessions_show_one_brain(example: Path) -> None:
    volumes = []
    for stem in STEMS[:2]:
        mask = nib.load(example / "derivatives/truth" / f"{stem}_desc-truth_mask.nii.gz")
        zooms = nib.affines.voxel_sizes(mask.affine)
        volumes.append(np.asarray(mask.dataobj).sum() * np.prod(zooms))
    assert volumes[0] == pytest.approx(volumes[1], rel=0.02)


def test_grids_differ_as_the_readme_says(example: Path) -> None:
    oblique, thick = (nib.load(example / f"{stem}_T1w.nii.gz") for stem in STEMS[1:])
    assert nib.aff2axcodes(oblique.affine) == ("L", "A", "S")
    assert np.count_nonzero(np.abs(oblique.affine[:3, :3]) > 1e-3) > 3
    assert thick.header.get_zooms() == pytest.approx((1.0, 1.0, 2.5))


def test_gzip_headers_hold_no_time_and_no_name(example: Path) -> None:
    for path in example.rglob("*.nii.gz"):
        head = path.read_bytes()[:10]
        assert head[3] == 0
        assert head[4:8] == bytes(4)
        with gzip.open(path) as packed:
            assert packed.read(4)


def test_a_folder_that_is_not_empty_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_example(tmp_path)
    assert main([str(tmp_path)]) == 73
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(("argv", "code"), [([], 64), (["a", "b"], 64), (["--help"], 0)])
def test_usage(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == code
    assert "usage" in capsys.readouterr().err
