"""Comparisons of a dataset with itself, on phantoms whose answers are known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.consistency import check
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
    small = found["contrast", "sub-01_ses-2_FLAIR"]
    ratio = (0.9 / 1.06) ** 3
    assert small.volume_change == pytest.approx(ratio - 1, abs=0.03)
    assert small.dice == pytest.approx(2 * ratio / (1 + ratio), abs=0.02)
    sessions = found["sessions", "sub-01 2:1"]
    assert sessions.dice is None
    assert sessions.volume_change == pytest.approx(1.06**3 - 1, abs=0.03)
    assert np.isfinite(sessions.volume_change)
