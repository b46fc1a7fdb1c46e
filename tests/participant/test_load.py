"""What people call a T1w: every kind of damaged and unusual file."""

from __future__ import annotations

import errno
import gzip
import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip.errors import LoadError
from bids_strip.participant.load import from_image, load
from tests.fakes import refusing

SHAPE = (6, 7, 8)
AFFINE = np.array([[-1.0, 0, 0, 5], [0, 2.0, 0, -6], [0, 0, 3.0, 7], [0, 0, 0, 1]])


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(1, 1000, SHAPE).astype(np.int16)


def save(image: nib.spatialimages.SpatialImage, path: Path) -> Path:
    nib.save(image, path)
    return path


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_values_and_grid(tmp_path: Path, values: np.ndarray, extension: str) -> None:
    source = load(save(nib.Nifti1Image(values, AFFINE), tmp_path / f"a{extension}"))
    assert source.volume.data.dtype == np.float32
    assert np.array_equal(source.volume.data, values)
    assert np.array_equal(source.volume.grid.affine, AFFINE)
    assert source.volume.grid.shape == SHAPE
    assert source.volume.grid.zooms == (1.0, 2.0, 3.0)
    assert source.nonfinite_voxels == 0
    assert not source.form_mismatch


def refused(path: Path) -> str:
    with pytest.raises(LoadError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert caught.value.stage == "load"
    return message


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_file_cut_short(tmp_path: Path, rng, extension: str, share: float) -> None:
    data = rng.integers(0, 30000, (20, 20, 20)).astype(np.int16)
    path = save(nib.Nifti1Image(data, AFFINE), tmp_path / f"a{extension}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "copy" in refused(path)


def test_a_gzip_file_whose_last_bytes_are_missing(tmp_path: Path, values: np.ndarray) -> None:
    """All voxels are there, the checksum is not: the copy was cut short all the same."""
    path = save(nib.Nifti1Image(values, AFFINE), tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-4])
    refused(path)


def test_a_byte_flipped_in_the_middle(tmp_path: Path, rng) -> None:
    """The voxels differ from what was written; only the checksum of gzip can tell."""
    data = rng.integers(0, 30000, (20, 20, 20)).astype(np.int16)
    path = save(nib.Nifti1Image(data, AFFINE), tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
@pytest.mark.parametrize(
    "content", [b"", b"sorry, no image\n" * 40, gzip.compress(b"text" * 200), b"\x1f\x8b"]
)
def test_a_file_that_is_no_image(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(path)


def test_a_plain_nifti_under_a_gz_name(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(nib.Nifti1Image(values, AFFINE).to_bytes())
    refused(path)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_a_header_that_promises_more_than_the_file_holds(
    tmp_path: Path, values: np.ndarray, extension: str
) -> None:
    """10^12 voxels in a kilobyte: refused by arithmetic, nothing is allocated."""
    content = bytearray(nib.Nifti1Image(values, AFFINE).to_bytes())
    content[42:48] = np.array([10_000] * 3, "<i2").tobytes()
    path = tmp_path / f"a{extension}"
    path.write_bytes(gzip.compress(content) if extension == ".nii.gz" else content)
    tracemalloc.start()
    message = refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "10000x10000x10000" in message
    assert peak < 2**20


def test_a_file_that_unpacks_without_end(tmp_path: Path, values: np.ndarray) -> None:
    """A gigabyte of zeros behind a small image is not unpacked."""
    content = nib.Nifti1Image(values, AFFINE).to_bytes()
    path = tmp_path / "a.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(content)
        for _ in range(64):
            file.write(bytes(2**24))
    tracemalloc.start()
    assert "more than" in refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**25


def test_a_file_of_several_members(tmp_path: Path, values: np.ndarray) -> None:
    """As bgzip and some parallel packers write them; zeros may follow the last one."""
    content = nib.Nifti1Image(values, AFFINE).to_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]) + bytes(512))
    assert np.array_equal(load(path).volume.data, values)


@pytest.mark.parametrize("behind", [b"x", b"<html>", b"\0\0log of a scanner" * 100])
def test_bytes_behind_a_whole_stream_are_told_as_such(
    tmp_path: Path, values: np.ndarray, behind: bytes
) -> None:
    """All voxels are there: nothing was cut short."""
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nib.Nifti1Image(values, AFFINE).to_bytes()) + behind)
    said = refused(path)
    assert f"{len(behind)} bytes behind its gzip stream are no part of it" in said
    assert "cut short" not in said


def test_a_folder_and_an_absent_file(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").mkdir()
    refused(tmp_path / "a.nii.gz")
    refused(tmp_path / "b.nii.gz")


def test_a_dangling_link_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T1w.nii.gz"
    path.symlink_to(tmp_path / ".git" / "annex" / "objects" / "MD5E-x.nii.gz")
    assert "datalad get" in refused(path)


def test_an_annex_pointer_file_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T1w.nii.gz"
    path.write_text("/annex/objects/MD5E-s1--0.nii.gz\n")
    assert "datalad get" in refused(path)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "right to read"), (errno.EIO, "disk or network")]
)
def test_a_file_that_the_system_does_not_give_is_not_called_damaged(
    tmp_path: Path, values: np.ndarray, monkeypatch, extension: str, number: int, words: str
) -> None:
    path = tmp_path / f"x{extension}"
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    monkeypatch.setattr(Path, "open", refusing(number))
    with pytest.raises(LoadError, match=words) as found:
        load(path)
    assert str(path) in str(found.value)
    assert os.strerror(number) in str(found.value)
    assert "damaged" not in str(found.value)


def test_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "stat", refusing(errno.EACCES))
    with pytest.raises(LoadError, match="right to read it and to enter its folders"):
        load(tmp_path / "x.nii.gz")


def test_complex_values(tmp_path: Path, values: np.ndarray) -> None:
    path = save(nib.Nifti1Image(values.astype(np.complex64), AFFINE), tmp_path / "a.nii.gz")
    assert "magnitude" in refused(path)


def test_colours(tmp_path: Path) -> None:
    colour = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"] = 7
    path = save(nib.Nifti1Image(colour, AFFINE), tmp_path / "a.nii.gz")
    assert "not intensities" in refused(path)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_last_dimensions_of_one_are_dropped(
    tmp_path: Path, values: np.ndarray, extra: tuple[int, ...]
) -> None:
    image = nib.Nifti1Image(values.reshape(SHAPE + extra), AFFINE)
    source = load(save(image, tmp_path / "a.nii.gz"))
    assert source.volume.grid.shape == SHAPE
    assert np.array_equal(source.volume.data, values)


@pytest.mark.parametrize("shape", [(6, 7, 8, 3), (6, 7), (6, 7, 1), (6, 1, 7), (6, 7, 8, 1, 3)])
def test_series_and_slices_are_no_volumes(tmp_path: Path, rng, shape: tuple[int, ...]) -> None:
    image = nib.Nifti1Image(rng.integers(0, 9, shape).astype(np.int16), AFFINE)
    message = refused(save(image, tmp_path / "a.nii.gz"))
    assert "x".join(map(str, nib.load(tmp_path / "a.nii.gz").shape[:3])) in message
    assert "3-D" in message


def test_what_is_not_finite_becomes_zero_and_is_counted(tmp_path: Path, values) -> None:
    data = values.astype(np.float32)
    data[0, 0, :2] = np.nan
    data[1, 1, 1], data[2, 2, 2] = np.inf, -np.inf
    source = load(save(nib.Nifti1Image(data, AFFINE), tmp_path / "a.nii.gz"))
    assert source.nonfinite_voxels == 4
    assert (source.volume.data[0, 0, :2] == 0).all()
    assert source.volume.data[1, 1, 1] == source.volume.data[2, 2, 2] == 0
    assert source.volume.data[3, 3, 3] == data[3, 3, 3]


def test_doubles_beyond_single_precision_are_not_finite(tmp_path: Path, values) -> None:
    data = values.astype(np.float64)
    data[0, 0, 0] = 1e300
    source = load(save(nib.Nifti1Image(data, AFFINE), tmp_path / "a.nii"))
    assert source.nonfinite_voxels == 1
    assert source.volume.data[0, 0, 0] == 0


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_a_constant_image(tmp_path: Path, value: float) -> None:
    image = nib.Nifti1Image(np.full(SHAPE, value, np.float32), AFFINE)
    assert "equal" in refused(save(image, tmp_path / "a.nii.gz"))


def test_an_affine_without_volume(tmp_path: Path, values: np.ndarray) -> None:
    image = nib.Nifti1Image(values, AFFINE)
    image.header["srow_z"] = 0
    content = bytearray(image.to_bytes())
    flat = nib.Nifti1Image.from_bytes(bytes(content)).header.copy()
    flat["srow_x"], flat["srow_y"], flat["srow_z"] = 0, 0, 0
    flat["sform_code"], flat["qform_code"] = 1, 0
    content[:348] = flat.binaryblock
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(content))
    assert "affine" in refused(path)


def test_an_affine_that_is_not_finite(values: np.ndarray) -> None:
    image = nib.Nifti1Image(values, None)
    broken = AFFINE.copy()
    broken[0, 3] = np.nan
    image._affine = broken
    with pytest.raises(LoadError, match="affine"):
        from_image(image)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_an_open_image_whose_file_was_cut_short(
    tmp_path: Path, values: np.ndarray, extension: str
) -> None:
    """Its header is whole: nibabel looks for the voxels when they are asked for."""
    path = save(nib.Nifti1Image(values, AFFINE), tmp_path / f"a{extension}")
    content = path.read_bytes()
    image = nib.load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(LoadError, match=r"^image: cannot be read .* copy or convert"):
        from_image(image)


def forms(values: np.ndarray, sform: np.ndarray | None, qform: np.ndarray | None):
    image = nib.Nifti1Image(values, AFFINE)
    image.set_sform(sform, code=0 if sform is None else 1)
    image.set_qform(qform, code=0 if qform is None else 1)
    return image


def test_forms_that_differ_are_flagged_and_the_sform_followed(tmp_path: Path, values) -> None:
    other = AFFINE.copy()
    other[0, 3] += 10
    source = load(save(forms(values, AFFINE, other), tmp_path / "a.nii.gz"))
    assert source.form_mismatch
    assert np.allclose(source.volume.grid.affine, AFFINE)


@pytest.mark.parametrize("way", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (1, -1, 0)])
@pytest.mark.parametrize(("off_mm", "flagged"), [(0.45, False), (0.55, True)])
def test_forms_may_differ_by_half_a_mm_in_any_direction(
    values: np.ndarray, way: tuple[int, int, int], off_mm: float, flagged: bool
) -> None:
    other = AFFINE.copy()
    other[:3, 3] += off_mm * np.array(way) / np.linalg.norm(way)
    assert from_image(forms(values, AFFINE, other)).form_mismatch is flagged


def test_forms_that_differ_by_a_rotation_are_flagged(tmp_path: Path, values) -> None:
    turned = AFFINE.copy()
    turned[:3, :3] = AFFINE[:3, :3] @ np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    image = nib.Nifti1Image(values, AFFINE)
    image.set_sform(AFFINE, code=1)
    image.set_qform(turned, code=1, strip_shears=True)
    assert load(save(image, tmp_path / "a.nii.gz")).form_mismatch


@pytest.mark.parametrize("which", ["both", "sform", "qform"])
def test_forms_that_agree_or_stand_alone_are_not_flagged(tmp_path: Path, values, which) -> None:
    image = forms(
        values, AFFINE if which != "qform" else None, AFFINE if which != "sform" else None
    )
    source = load(save(image, tmp_path / "a.nii.gz"))
    assert not source.form_mismatch
    assert np.allclose(source.volume.grid.affine, AFFINE, atol=1e-4)


def test_a_broken_quaternion_beside_a_good_sform(tmp_path: Path, values: np.ndarray) -> None:
    """The sform is followed, so the image is readable; the two differ, so it is flagged."""
    image = forms(values, AFFINE, AFFINE)
    content = bytearray(image.to_bytes())
    header = image.header.copy()
    header["quatern_b"], header["quatern_c"] = 0.9, 0.9
    header["vox_offset"] = 352
    content[:348] = header.binaryblock
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(content))
    source = load(path)
    assert np.allclose(source.volume.grid.affine, AFFINE)
    assert source.form_mismatch


def test_big_endian(tmp_path: Path, values: np.ndarray) -> None:
    image = nib.Nifti1Image(values.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">"))
    path = save(image, tmp_path / "a.nii.gz")
    assert gzip.decompress(path.read_bytes())[:4] == (348).to_bytes(4, "big")
    source = load(path)
    assert np.array_equal(source.volume.data, values)
    assert source.volume.data.dtype.isnative


def test_nifti2(tmp_path: Path, values: np.ndarray) -> None:
    source = load(save(nib.Nifti2Image(values, AFFINE), tmp_path / "a.nii.gz"))
    assert np.array_equal(source.volume.data, values)
    assert np.array_equal(source.volume.grid.affine, AFFINE)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("size", [20, 5_000, 200_000])
def test_what_a_header_says_beyond_its_fields_is_passed_over(
    tmp_path: Path, values: np.ndarray, extension: str, kind: type[nib.Nifti1Image], size: int
) -> None:
    """As AFNI and others write it, longer than any header is itself."""
    image = kind(values, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("afni", b"x" * size))
    source = load(save(image, tmp_path / f"a{extension}"))
    assert np.array_equal(source.volume.data, values)


def test_slope_and_intercept_are_applied(tmp_path: Path, values: np.ndarray) -> None:
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_slope_inter(0.5, 10.0)
    path = tmp_path / "a.nii"
    content = bytearray(image.to_bytes())
    header = image.header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 0.5, 10.0, 352
    content[:348] = header.binaryblock
    content[352:] = values.tobytes(order="F")
    path.write_bytes(bytes(content))
    assert np.allclose(load(path).volume.data, values * 0.5 + 10)


def test_an_image_of_another_format(values: np.ndarray) -> None:
    source = from_image(nib.MGHImage(values.astype(np.float32), AFFINE))
    assert np.array_equal(source.volume.data, values)
    assert np.allclose(source.volume.grid.affine, AFFINE)
    assert np.allclose(source.header.get_sform(), AFFINE)


def test_the_header_is_a_copy(values: np.ndarray) -> None:
    image = nib.Nifti1Image(values, AFFINE)
    source = from_image(image)
    image.header["descrip"] = b"changed"
    assert source.header["descrip"].item() != b"changed"


def test_axes_that_do_not_point_in_three_directions(values: np.ndarray) -> None:
    """A volume of 125 mm3, yet two of its axes point the same way for all that can be told."""
    affine = np.diag([-5.0, 5.0, -5.0, 1.0])
    affine[0, 2] = -1e30
    with pytest.raises(LoadError, match="three directions"):
        from_image(nib.Nifti1Image(values, affine))


def test_voxels_that_begin_beyond_any_header_are_refused_unread(tmp_path: Path) -> None:
    """A gzip file of some kB could unpack to as much as it says."""
    image = nib.Nifti1Image(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), np.eye(4))
    content = bytearray(image.to_bytes())
    content[108:112] = np.float32(3e9).tobytes()  # vox_offset
    path = tmp_path / "sub-01_T1w.nii.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(LoadError, match=r"sub-01_T1w.nii.gz.*begin at byte 3000000000"):
        load(path)


def test_a_unit_that_means_nothing_passes() -> None:
    image = nib.Nifti1Image(np.arange(8000, dtype=np.int16).reshape(20, 20, 20), np.eye(4))
    image.header["xyzt_units"] = 7
    assert from_image(image).volume.data.shape == (20, 20, 20)


@pytest.mark.parametrize("fill", [-32768, -3024, -600])
def test_a_fill_value_is_taken_as_a_little_below(rng: np.random.Generator, fill: int) -> None:
    data = rng.integers(-100, 900, (12, 12, 12)).astype(np.int16)
    data[0, 0, :3] = fill
    source = from_image(nib.Nifti1Image(data, AFFINE))
    found, others = source.volume.data[data == fill], data[data != fill]
    assert np.array_equal(source.volume.data[data != fill], others)
    assert len(set(found)) == 1
    assert 0 < others.min() - found[0] <= 0.1 * np.ptp(others)
    assert source.fill_voxels == 3


@pytest.mark.parametrize("kind", ["zeros", "one", "near", "two values", "plain", "scores"])
def test_what_is_no_fill_value_stays(rng: np.random.Generator, kind: str) -> None:
    """Zeros are nothing's own value; the darkest of many others is a brightness."""
    data = rng.integers(300, 400, (12, 12, 12)).astype(np.float32)
    if kind == "plain":
        data -= 350
    elif kind == "scores":
        data = rng.integers(0, 400, data.shape).astype(np.float32)
        data[:6] = 0
        data = (data - data.mean()) / data.std()
    elif kind == "two values":
        data = np.where(data > 350, 100, -3000).astype(np.float32)
    else:
        where = np.s_[0, 0, 0] if kind == "one" else np.s_[0]
        data[where] = {"zeros": 0, "one": -32768, "near": 260}[kind]
        data -= 301 if kind == "near" else 0
    source = from_image(nib.Nifti1Image(data, AFFINE))
    assert np.array_equal(source.volume.data, data)
    assert source.fill_voxels == 0
