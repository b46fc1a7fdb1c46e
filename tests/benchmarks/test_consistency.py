"""Comparisons of a dataset with itself, on phantoms whose answers are known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.processing import resample_from_to

from benchmarks.consistency import Check, asked_for, check, contrast
from benchmarks.motion import motion_between
from bids_strip.card import find_card
from bids_strip.participant.predict import load_predictor
from bids_strip.single import strip_image
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


def test_the_least_good_of_each_kind_is_what_counts() -> None:
    checks = [
        Check("mirrored", "a", 0.995, 0.0),
        Check("mirrored", "b", 0.989, 0.0),
        Check("contrast", "a", 0.94, 0.0, 5.0, 0.96),
        Check("sessions", "a 2:1", None, -0.011),
    ]
    found = [(round(one.found, 3), one.met) for one in asked_for(checks)]
    assert found == [(0.989, False), (0.96, True), (1.1, False)]
    assert list(asked_for([])) == []


def turned_about_x(degrees: float, shift: tuple[float, float, float]) -> np.ndarray:
    """A rigid motion, (4, 4)."""
    affine = np.eye(4)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine[:3, :3] = [[1, 0, 0], [0, cos, -sin], [0, sin, cos]]
    affine[:3, 3] = shift
    return affine


def test_motion_between_two_scans_is_found_and_taken_out(tmp_path: Path, example: Path) -> None:
    """A head moved by a known motion: SimpleITK finds it, and the masks agree once it is out."""
    scan = next(example.glob("sub-*/**/anat/*_T1w.nii.gz"))
    image = nib.Nifti1Image.from_filename(scan)
    motion = turned_about_x(4, (1.0, -3.0, 2.0))
    moved = nib.Nifti1Image(image.dataobj, np.linalg.inv(motion) @ image.affine)
    other = resample_from_to(moved, image, order=1)
    t1w, t2w = tmp_path / "a_T1w.nii", tmp_path / "a_T2w.nii"
    image.to_filename(t1w)
    nib.Nifti1Image(np.sqrt(np.abs(other.get_fdata())), image.affine).to_filename(t2w)

    found = motion_between(t2w, t1w)
    corners = nib.affines.apply_affine(image.affine, np.argwhere(np.ones((2, 2, 2))) * 60)
    apart = nib.affines.apply_affine(found, corners) - nib.affines.apply_affine(motion, corners)
    assert np.abs(apart).max() < 0.5

    predictor = load_predictor(find_card(None), device="cpu", threads=1)
    check = contrast(t2w, t1w, strip_image(t1w, predictor=predictor), predictor)
    assert check.motion_mm is not None
    assert 2 < check.motion_mm < 8
    assert check.dice is not None
    assert check.dice_still is not None
    assert check.dice < 0.96
    assert check.dice_still > check.dice + 0.01
