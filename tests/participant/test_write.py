"""What lands on disk: geometry byte for byte, values as stored, all or nothing."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_strip.domain import BrainMask, Run, Source
from bids_strip.errors import WriteError
from bids_strip.geometry import quantised, within
from bids_strip.naming import names_of, sidecar_name
from bids_strip.output.place import Place
from bids_strip.participant.load import from_image, load
from bids_strip.participant.normalise import quantised_image
from bids_strip.participant.write import Writer, remove_outputs, write, write_record
from bids_strip.recipe import Recipe
from bids_strip.record import Record, read_record
from tests.fakes import make_phantom, normalised_of, products_of

RUN = Run(Path("/raw/sub-01/anat/sub-01_T1w.nii.gz"), "sub-01/anat/sub-01_T1w.nii.gz",
          (("sub", "01"),), "T1w")  # fmt: skip
NETWORK = {"name": "fake", "version": "0", "sha256": "0" * 64}
ALL = ("mask", "sdt", "brain", "preproc", "dseg")
GEOMETRY = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
    "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip


def brain_of(sdt: np.ndarray, border: float = 0.0) -> BrainMask:
    steps = quantised(sdt)
    return BrainMask(within(steps, border), steps, border, False, 1.0)


def put(source: Source, brain: BrainMask, out: Path, kinds: tuple[str, ...] = ALL) -> dict:
    place = Place(out, out / ".work" / "x")
    recipe = Recipe(kinds, brain.border_mm)
    written = write(Writer(RUN, recipe, NETWORK, "1", place), products_of(source, brain))
    return {o.name: o for o in written}


def image_with(case: str) -> nib.Nifti1Image:
    """Headers as they come: forms set or not, odd codes, units, an oblique qform."""
    head = make_phantom("oblique")
    image = nib.Nifti1Image(np.rint(head.data).astype(np.int16), head.affine)
    other = make_phantom("LAS").affine
    image.set_sform(head.affine, 1)
    image.set_qform(head.affine, 1)
    if case == "sform only":
        image.set_qform(None, 0)
    elif case == "qform only":
        image.set_sform(None, 0)
    elif case == "none":
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    elif case == "differ":
        image.set_qform(other, 2)
        image.set_sform(head.affine, 4)
    elif case == "codes and units":
        image.set_sform(head.affine, 3)
        image.set_qform(head.affine, 2)
        image.header.set_xyzt_units("micron", "msec")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"secret"))
    image.header["descrip"] = b"of the scanner"
    return image


CASES = ["both", "sform only", "qform only", "none", "differ", "codes and units"]


@pytest.mark.parametrize("case", CASES)
def test_geometry_is_the_sources_byte_for_byte(tmp_path: Path, case: str) -> None:
    raw = tmp_path / "raw.nii.gz"
    nib.save(image_with(case), raw)
    source = load(raw)
    put(source, brain_of(make_phantom("oblique").sdt), tmp_path / "out")
    given = nib.load(raw)
    for kind in ALL:
        found = nib.load(tmp_path / "out" / names_of(RUN)[kind])
        for field in GEOMETRY:
            assert found.header[field].tobytes() == given.header[field].tobytes(), (kind, field)
        assert found.header["pixdim"][:4].tobytes() == given.header["pixdim"][:4].tobytes()
        assert np.array_equal(found.affine, given.affine)
        assert found.shape == given.shape
        assert not found.header.extensions
        assert found.header["descrip"].item() == b"bids_strip"


def test_geometry_of_big_endian_and_nifti2(tmp_path: Path) -> None:
    head = make_phantom("LAS")
    data = np.rint(head.data).astype(np.int16)
    big = nib.Nifti1Image(data.astype(">i2"), head.affine, nib.Nifti1Header(endianness=">"))
    for number, image in enumerate([big, nib.Nifti2Image(data, head.affine)]):
        image.set_qform(head.affine, 1)
        path = tmp_path / f"{number}.nii.gz"
        nib.save(image, path)
        out = tmp_path / f"out{number}"
        put(load(path), brain_of(head.sdt), out)
        found = nib.load(out / names_of(RUN)["brain"])
        assert isinstance(found, nib.Nifti1Image)
        assert found.header.endianness == "<"
        assert np.allclose(found.affine, head.affine)
        assert np.allclose(found.header.get_qform(), head.affine, atol=1e-4)
        assert np.array_equal(np.asarray(found.dataobj), np.where(head.truth, data, 0))


def test_a_last_dimension_of_one_is_dropped(tmp_path: Path) -> None:
    head = make_phantom()
    image = nib.Nifti1Image(np.rint(head.data).astype(np.int16)[..., None], head.affine)
    image.header["pixdim"][4] = 2.3
    put(from_image(image), brain_of(head.sdt), tmp_path)
    for kind in ALL:
        found = nib.load(tmp_path / names_of(RUN)[kind])
        assert found.shape == head.data.shape
        assert found.header["pixdim"][4] == 0


def test_values_as_nibabel_reads_them(tmp_path: Path, source_of) -> None:
    head = make_phantom("PSR")
    brain = brain_of(head.sdt)
    put(source_of(head), brain, tmp_path)
    names = names_of(RUN)
    mask = nib.load(tmp_path / names["mask"])
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(mask.dataobj), brain.mask)
    assert mask.dataobj.slope == 1.0
    assert mask.dataobj.inter == 0.0
    sdt = nib.load(tmp_path / names["sdt"])
    assert sdt.get_data_dtype() == np.int16
    assert sdt.dataobj.slope == pytest.approx(0.02)
    assert sdt.dataobj.inter == 0
    assert np.array_equal(sdt.dataobj.get_unscaled(), brain.sdt_steps)
    assert np.abs(sdt.get_fdata() - np.clip(head.sdt, -20, 20)).max() <= 0.0101
    assert np.array_equal(np.asarray(mask.dataobj) > 0, np.asarray(sdt.dataobj) <= 0)
    assert np.array_equal(np.asarray(mask.dataobj) > 0, sdt.get_fdata(dtype=np.float32) <= 0)


@pytest.mark.parametrize("spacing", [1.0, 0.25, 0.013])
def test_the_corrected_image_is_rounded_to_a_thousandth_of_white_matter(
    tmp_path: Path, spacing: float
) -> None:
    head = make_phantom()
    data = (np.rint(head.data / spacing) * spacing).astype(np.float32)
    put(from_image(nib.Nifti1Image(data, head.affine)), brain_of(head.sdt), tmp_path)
    whole, brain = (nib.load(tmp_path / names_of(RUN)[kind]) for kind in ("preproc", "brain"))
    assert whole.get_data_dtype() == brain.get_data_dtype() == np.int16
    assert np.abs(whole.get_fdata() - data).max() <= 0.5
    assert np.array_equal(brain.get_fdata(), np.where(head.truth, whole.get_fdata(), 0))


def test_a_coarse_source_is_stored_in_steps_of_half_its_own(source_of) -> None:
    """Sixteen brightness steps between source values: two are kept of each."""
    head = make_phantom()
    source = source_of(head)
    bright = replace(source.volume, data=source.volume.data * 16)
    corrected = replace(normalised_of(source), volume=bright, scale=16.0)
    found = quantised_image(source.volume, corrected)
    assert found.step == 8.0
    assert np.array_equal(found.steps * found.step, bright.data)


def test_the_table_of_tissues_is_what_pandas_and_bids_read(tmp_path: Path, source_of) -> None:
    head = make_phantom()
    put(source_of(head), brain_of(head.sdt), tmp_path)
    table = pd.read_csv(tmp_path / names_of(RUN)["dseg_table"], sep="\t")
    assert list(table.columns) == ["index", "name", "abbreviation", "color", "mapping"]
    assert list(table["index"]) == list(range(6))
    assert list(table["abbreviation"]) == ["BG", "GM", "WM", "CSF", "B", "ST"]
    labels = np.asarray(nib.load(tmp_path / names_of(RUN)["dseg"]).dataobj)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) <= set(table["index"])


def test_shares_sum_to_one_inside_as_nibabel_reads_them(tmp_path: Path, source_of) -> None:
    head = make_phantom()
    put(source_of(head), brain_of(head.sdt, 2.0), tmp_path, ("probseg",))
    total = sum(
        nib.load(tmp_path / names_of(RUN)[f"probseg_{name}"]).get_fdata()
        for name in ("GM", "WM", "CSF")
    )
    assert np.allclose(total, np.where(head.sdt <= 0, 1, 0), atol=1e-6)


@pytest.mark.parametrize("kinds", [("mask",), ("sdt",), ("brain", "mask"), ALL])
def test_only_what_is_asked_for_and_always_the_mask(tmp_path: Path, source_of, kinds) -> None:
    head = make_phantom()
    written = put(source_of(head), brain_of(head.sdt), tmp_path, kinds)
    images = {names_of(RUN)[k] for k in {*kinds, "mask"}}
    tables = {names_of(RUN)["dseg_table"]} if "dseg" in kinds else set()
    assert set(written) == images | {sidecar_name(name) for name in images} | tables
    on_disk = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert on_disk == set(written)
    for name, output in written.items():
        assert (tmp_path / name).stat().st_size == output.size


def test_sidecars_are_json_and_name_their_source(tmp_path: Path, source_of) -> None:
    head = make_phantom()
    put(source_of(head), brain_of(head.sdt, 1.5), tmp_path)
    for kind in ALL:
        found = json.loads((tmp_path / sidecar_name(names_of(RUN)[kind])).read_text())
        corrected = f"bids::{names_of(RUN)['preproc']}"
        source = corrected if kind == "brain" else f"bids:raw:{RUN.relative}"
        assert source in found["Sources"]
        assert "RawSources" not in found
    assert json.loads((tmp_path / sidecar_name(names_of(RUN)["brain"])).read_text())[
        "SkullStripped"
    ]


def test_the_same_bytes_each_time(tmp_path: Path, source_of) -> None:
    head = make_phantom()
    for folder in ("a", "b"):
        put(source_of(head), brain_of(head.sdt), tmp_path / folder)
    for path in (tmp_path / "a").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")
                                         ).read_bytes()  # fmt: skip
    # no time and no name in the header of gzip
    content = (tmp_path / "a" / names_of(RUN)["mask"]).read_bytes()
    assert content[3:8] == b"\0" * 5
    assert gzip.decompress(content)


def test_a_mask_on_another_grid_is_refused(tmp_path: Path, source_of) -> None:
    head = make_phantom()
    brain = brain_of(make_phantom("PSR").sdt)
    with pytest.raises(WriteError):
        put(source_of(head), brain, tmp_path)
    assert not list(tmp_path.rglob("*.nii.gz"))


# Place ---------------------------------------------------------------------------------------


def test_put_leaves_only_the_final_name(tmp_path: Path) -> None:
    place = Place(tmp_path / "out", tmp_path / "out" / ".work" / "x")
    output = place.put("sub-01/anat/a.json", b"content")
    assert (output.name, output.size) == ("sub-01/anat/a.json", 7)
    assert (tmp_path / "out/sub-01/anat/a.json").read_bytes() == b"content"
    assert not list((tmp_path / "out/.work").rglob("*.json"))
    place.put("sub-01/anat/a.json", b"newer")
    assert (tmp_path / "out/sub-01/anat/a.json").read_bytes() == b"newer"


def test_a_put_that_fails_leaves_nothing_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, tmp_path / ".work" / "x")
    place.put("a.json", b"old")

    def full(self: Path, target: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match="No space left") as caught:
        place.put("a.json", b"new")
    assert "a.json" in str(caught.value)
    assert caught.value.exit_code == 74
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.json"]


def test_a_put_cut_off_midway_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, tmp_path / ".work" / "x")
    write_bytes = Path.write_bytes

    def half(self: Path, content: bytes) -> int:
        write_bytes(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(WriteError):
        place.put("a.nii.gz", b"x" * 100)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    """As root nothing is read-only: a file in place of the folder stands for it."""
    (tmp_path / "sub-01").write_text("in the way")
    place = Place(tmp_path, tmp_path / ".work" / "x")
    with pytest.raises(WriteError) as caught:
        place.put("sub-01/anat/a.nii.gz", b"x")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "sub-01").read_text() == "in the way"


def test_removing_takes_the_record_first(
    tmp_path: Path, source_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = make_phantom()
    put(source_of(head), brain_of(head.sdt), tmp_path)
    record = Record(RUN.name, "T1w", {"sub": "01"}, "ok")
    write_record(RUN, record, Place(tmp_path, tmp_path / ".work" / "x"))
    other = tmp_path / "sub-01/anat/sub-01_desc-manual_mask.nii.gz"
    other.write_bytes(b"edited")
    removed: list[str] = []
    unlink = Path.unlink

    def noting(self: Path, missing_ok: bool = False) -> None:
        removed.append(self.name)
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", noting)
    remove_outputs(RUN, tmp_path)
    assert removed[0] == "sub-01_desc-brain_qc.json"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [other]
    remove_outputs(RUN, tmp_path)  # nothing there: nothing happens


def test_a_record_comes_back(tmp_path: Path) -> None:
    record = replace(Record(RUN.name, "T1w", {"sub": "01"}, "ok"), metrics={"a": 1.5})
    write_record(RUN, record, Place(tmp_path, tmp_path / ".work" / "x"))
    assert read_record(tmp_path / names_of(RUN)["qc"]) == record
