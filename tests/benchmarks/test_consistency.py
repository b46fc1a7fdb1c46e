"""Comparisons of a dataset with itself, on phantoms whose answers are known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_from_to

from benchmarks.consistency import check
from benchmarks.motion import motion_between
from tests.fakes import RADIUS_MM, FakePredictor, make_phantom


def put(folder: Path, name: str, radius: float, grid: str = "RAS") -> None:
    phantom = make_phantom(grid, radius=radius)
    folder.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(phantom.data, phantom.affine).to_filename(folder / name)


def test_a_dataset_is_compared_with_itself(tmp_path: Path) -> None:
    """Another grid of a session is brought over; the second session is 6 % larger in radius."""
    one, two = (tmp_path / "sub-01" / f"ses-{n}" / "anat" for n in (1, 2))
    put(one, "sub-01_ses-1_T1w.nii.gz", RADIUS_MM)
    put(one, "sub-01_ses-1_T2w.nii.gz", RADIUS_MM, "anisotropic")
    put(two, "sub-01_ses-2_T1w.nii.gz", RADIUS_MM * 1.06)
    put(two, "sub-01_ses-2_FLAIR.nii.gz", RADIUS_MM * 0.9)
    found = {(c.kind, c.run): c for c in check(tmp_path, FakePredictor())}
    assert set(found) == {
        ("mirrored", "sub-01_ses-1_T1w"), ("contrast", "sub-01_ses-1_T2w"),
        ("mirrored", "sub-01_ses-2_T1w"), ("contrast", "sub-01_ses-2_FLAIR"),
        ("sessions", "sub-01 2:1"),
    }  # fmt: skip
    for run in ("sub-01_ses-1_T1w", "sub-01_ses-2_T1w"):
        mirrored = found["mirrored", run]
        assert mirrored.dice is not None
        assert mirrored.dice > 0.99
    assert found["contrast", "sub-01_ses-1_T2w"].dice == pytest.approx(1, abs=0.03)
    assert found["contrast", "sub-01_ses-1_T2w"].motion_mm == pytest.approx(0, abs=0.5)
    small = found["contrast", "sub-01_ses-2_FLAIR"]
    ratio = (0.9 / 1.06) ** 3
    assert small.volume_change == pytest.approx(ratio - 1, abs=0.03)
    assert small.dice == pytest.approx(2 * ratio / (1 + ratio), abs=0.02)
    sessions = found["sessions", "sub-01 2:1"]
    assert sessions.dice is None
    assert sessions.volume_change == pytest.approx(1.06**3 - 1, abs=0.03)
    assert np.isfinite(sessions.volume_change)


def test_motion_between_two_scans_is_found_and_taken_out(tmp_path: Path, example: Path) -> None:
    """A head moved by a known motion: another program finds it, the masks agree without it."""
    scan = next(example.glob("sub-*/**/anat/*_T1w.nii.gz"))
    image = nib.Nifti1Image.from_filename(scan)
    turned = np.eye(4)
    angle = np.radians(4)
    turned[:3, :3] = [
        [1, 0, 0],
        [0, np.cos(angle), -np.sin(angle)],
        [0, np.sin(angle), np.cos(angle)],
    ]
    turned[:3, 3] = [1.0, -3.0, 2.0]
    moved = nib.Nifti1Image(image.dataobj, turned @ image.affine)
    back = resample_from_to(moved, image, order=1)
    nib.Nifti1Image(np.sqrt(np.abs(back.get_fdata())), image.affine).to_filename(tmp_path / "b.nii")
    image.to_filename(tmp_path / "a.nii")
    found = motion_between(tmp_path / "a.nii", tmp_path / "b.nii")
    corners = nib.affines.apply_affine(image.affine, np.argwhere(np.ones((2, 2, 2))) * 60)
    expected = nib.affines.apply_affine(turned, corners)
    assert np.abs(nib.affines.apply_affine(found, corners) - expected).max() < 0.5
