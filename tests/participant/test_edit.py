"""What editors save: accepted where it is the same mask, refused in a line where it is not."""

from __future__ import annotations

import errno
import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from bids_strip.domain import Grid
from bids_strip.errors import EditError
from bids_strip.participant.edit import read_edit
from tests.fakes import flip_a_bit, make_phantom, refusing

HEAD = make_phantom("oblique")
GRID = Grid(HEAD.data.shape, HEAD.affine)


def saved(folder: Path, data: np.ndarray, affine: np.ndarray = HEAD.affine) -> Path:
    path = folder / "sub-01_desc-manual_mask.nii.gz"
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("inside", [1, 7, 255])
def test_two_values_of_any_type(tmp_path: Path, dtype: type, inside: int) -> None:
    data = np.where(HEAD.truth, inside, 0).astype(dtype)
    assert np.array_equal(read_edit(saved(tmp_path, data), GRID), HEAD.truth)


def test_scaled_values(tmp_path: Path) -> None:
    """Stored 0 and 128 with a slope, as some editors do."""
    image = nib.Nifti1Image(HEAD.truth * np.float32(0.5), HEAD.affine)
    image.set_data_dtype(np.uint8)
    path = tmp_path / "m.nii.gz"
    nib.save(image, path)
    assert nib.load(path).dataobj.slope != 1
    assert np.array_equal(read_edit(path, GRID), HEAD.truth)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA"])
def test_axes_in_another_order(tmp_path: Path, codes: str) -> None:
    """The same voxels in the world: nibabel turns them, we turn them back."""
    image = nib.Nifti1Image(HEAD.truth.astype(np.uint8), HEAD.affine)
    turn = ornt_transform(io_orientation(HEAD.affine), axcodes2ornt(codes))
    path = tmp_path / "m.nii.gz"
    nib.save(image.as_reoriented(turn), path)
    assert np.array_equal(read_edit(path, GRID), HEAD.truth)


def test_a_last_dimension_of_one(tmp_path: Path) -> None:
    path = saved(tmp_path, HEAD.truth.astype(np.uint8)[..., None])
    assert np.array_equal(read_edit(path, GRID), HEAD.truth)


@pytest.mark.parametrize("way", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)])
@pytest.mark.parametrize(("off_mm", "accepted"), [(0.0, True), (0.45, True), (0.55, False)])
def test_a_header_that_was_rounded(
    tmp_path: Path, way: tuple[int, int, int], off_mm: float, accepted: bool
) -> None:
    affine = HEAD.affine.copy()
    affine[:3, 3] += off_mm * np.array(way) / np.linalg.norm(way)
    path = saved(tmp_path, HEAD.truth.astype(np.uint8), affine)
    if accepted:
        assert np.array_equal(read_edit(path, GRID), HEAD.truth)
        return
    with pytest.raises(EditError, match=r"0\.[56] mm off"):
        read_edit(path, GRID)


def test_quaternions_of_an_editor_are_within_the_tolerance(tmp_path: Path) -> None:
    image = nib.Nifti1Image(HEAD.truth.astype(np.uint8), HEAD.affine)
    image.set_qform(HEAD.affine, 1)
    image.set_sform(None, 0)
    path = tmp_path / "m.nii.gz"
    nib.save(image, path)
    assert not np.array_equal(nib.load(path).affine, HEAD.affine)
    assert np.array_equal(read_edit(path, GRID), HEAD.truth)


TRUTH = HEAD.truth.astype(np.float32)
BAD = {
    "another shape": (TRUTH[1:], "grid"),
    "a series": (np.stack([TRUTH, TRUTH], axis=-1), "grid"),
    "empty": (TRUTH * 0, "empty"),
    "full": (TRUTH * 0 + 1, "without a voxel outside"),
    "two labels": (TRUTH + (HEAD.sdt < -9), "not a mask"),
    "soft": (np.clip(0.5 - HEAD.sdt / 4, 0, 1).astype(np.float32), "not a mask"),
    "the image itself": (HEAD.data, "not a mask"),
    "below zero": (TRUTH - 1, "not a mask"),
    "not a number": (np.where(HEAD.truth, np.nan, 0).astype(np.float32), "not a mask"),
    "infinite": (np.where(HEAD.truth, np.inf, 0).astype(np.float32), "not a mask"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_mask_of_this_run(tmp_path: Path, case: str) -> None:
    data, words = BAD[case]
    with pytest.raises(EditError, match=words) as found:
        read_edit(saved(tmp_path, data), GRID)
    assert "desc-manual_mask.nii.gz" in str(found.value)
    assert "\n" not in str(found.value)
    assert found.value.exit_code == 1


def test_colours_are_no_mask(tmp_path: Path) -> None:
    """As a viewer saves what it shows."""
    colours = np.zeros(TRUTH.shape, dtype=[(channel, np.uint8) for channel in "RGB"])
    colours["R"] = HEAD.truth * 255
    path = saved(tmp_path, colours)
    with pytest.raises(EditError, match="colours"):
        read_edit(path, GRID)
    whole = bytearray(gzip.decompress(path.read_bytes()))
    whole[112:116] = struct.pack("<f", 2.0)  # scl_slope
    path.write_bytes(gzip.compress(bytes(whole)))
    with pytest.raises(EditError, match="colours"):
        read_edit(path, GRID)


def test_complex_numbers_are_no_mask(tmp_path: Path) -> None:
    with pytest.raises(EditError, match="complex"):
        read_edit(saved(tmp_path, HEAD.truth.astype(np.complex64)), GRID)


@pytest.mark.parametrize("content", [b"", b"not gzip", b"\x1f\x8b\x08"])
def test_what_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sub-01_desc-manual_mask.nii.gz"
    path.write_bytes(content)
    with pytest.raises(EditError, match="cannot be read"):
        read_edit(path, GRID)


def test_what_is_only_named_as_if_compressed(tmp_path: Path) -> None:
    """Its name is right: another one would be refused for not being compressed."""
    path = saved(tmp_path, HEAD.truth.astype(np.uint8))
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.raises(EditError, match="not compressed; save it compressed") as found:
        read_edit(path, GRID)
    assert "has to end" not in str(found.value)


def test_what_is_away_or_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch) -> None:
    path = saved(tmp_path, HEAD.truth.astype(np.uint8))
    monkeypatch.setattr(Path, "open", refusing(errno.EACCES))
    with pytest.raises(EditError, match="give yourself the right to read"):
        read_edit(path, GRID)
    path.unlink()
    path.symlink_to(".git/annex/objects/a/b/c.nii.gz")
    with pytest.raises(EditError, match="content is not here; run: datalad get"):
        read_edit(path, GRID)


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = saved(tmp_path, np.random.default_rng(1).integers(0, 2, HEAD.data.shape, np.uint8))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(EditError, match="cannot be read"):
        read_edit(path, GRID)


def test_a_flipped_bit_is_no_edit(tmp_path: Path) -> None:
    """All voxels are there, one of them another: the checksum of gzip tells."""
    path = saved(tmp_path, HEAD.truth.astype(np.uint8))
    flip_a_bit(path)
    assert np.count_nonzero(np.asarray(nib.load(path).dataobj) != HEAD.truth) == 1
    with pytest.raises(EditError, match="cannot be read"):
        read_edit(path, GRID)
