"""What a run takes, by its header alone, and what becomes of one that takes too much."""

from __future__ import annotations

import gzip
import math
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip.card import find_card
from bids_strip.cli import main
from bids_strip.domain import Grid, Volume
from bids_strip.errors import LoadError, MemoryLimitError
from bids_strip.execution.room import Room, usual_gb
from bids_strip.machine import memory
from bids_strip.machine.memory import check_memory, grid_megavoxels, head_size, needed_mb
from bids_strip.machine.resources import RUN_GB
from bids_strip.nifti import read_header
from bids_strip.output.place import Place
from bids_strip.participant.conform import frame_of
from bids_strip.participant.job import Job
from bids_strip.participant.load import load
from bids_strip.recipe import Recipe
from bids_strip.record import read_record
from bids_strip.space import parse_space
from bids_strip.templates import TemplateFiles
from tests.fakes import CARD, GRIDS, grid_affine, run_of

MASK, ALL = Recipe(("mask",)), Recipe(("mask", "sdt", "brain", "preproc", "dseg"))


def promising(path: Path, shape: tuple[int, ...], *, zoom: float = 1.0, kind=np.int16) -> Path:
    """A file as long as an image's may be, of which only the header is written."""
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(shape)
    header.set_zooms((zoom,) * len(shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    content = header.binaryblock + b"\0" * 4
    size = 352 + math.prod(shape) * header["bitpix"].item() // 8
    packed = path.name.endswith(".gz")
    with path.open("wb") as file:
        file.write(gzip.compress(content) if packed else content)
        file.truncate(size // 1000 + 100 if packed else size)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_header_is_nibabels(tmp_path: Path, name: str, kind, rng) -> None:
    image = kind(rng.integers(0, 9, (20, 30, 40)).astype(np.int16), np.diag([1.0, 2, 3, 1]))
    nib.save(image, tmp_path / name)
    read = read_header(tmp_path / name)
    expected = nib.load(tmp_path / name).header
    assert type(read) is type(expected)
    assert np.array_equal(read.get_best_affine(), expected.get_best_affine())
    assert all(
        np.array_equal(read[f], expected[f]) for f in ("dim", "pixdim", "bitpix", "datatype")
    )
    found = head_size(tmp_path / name)
    assert found is not None
    assert found.shape == (20, 30, 40)
    assert found.megavoxels == pytest.approx(0.024)
    assert found.stored_mb == pytest.approx(0.048)
    assert found.field_mm == pytest.approx((20, 60, 120))


def test_nothing_beyond_the_header_is_read(tmp_path: Path) -> None:
    found = head_size(promising(tmp_path / "a.nii.gz", (512, 512, 512), kind=np.float64))
    assert found is not None
    assert found.stored_mb == pytest.approx(512**3 * 8 / 1e6)


@pytest.mark.parametrize("content", [b"", b"x" * 200, b"\x1f\x8bgarbage" * 9])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_no_header_is_no_size(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert head_size(tmp_path / name) is None
    assert head_size(tmp_path / "absent.nii") is None


COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
REFUSED = {
    "1200 volumes": ((104, 90, 72, 1200), np.int16),
    "not a volume": ((4000, 4000, 1), np.int16),
    "colours": ((600, 600, 600), COLOURS),
    "complex64": ((600, 600, 600), np.complex64),
}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_for_what_it_is_needs_no_memory(
    tmp_path: Path, name: str, words: str
) -> None:
    """Reading says why; by the header, for there are no voxels behind it."""
    shape, kind = REFUSED[words]
    path = promising(tmp_path / name, shape, kind=kind)
    assert head_size(path) is None
    check_memory(path, CARD, MASK, [], 0.001)
    with pytest.raises(LoadError, match=words):
        load(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_broken_promise_is_no_size(tmp_path: Path, name: str) -> None:
    path = promising(tmp_path / name, (10_000, 10_000, 10_000))
    with path.open("r+b") as file:
        file.truncate(100_000)
    assert head_size(path) is None
    with pytest.raises(LoadError, match="10000x10000x10000 voxels, 2e"):
        load(path)


def test_one_volume_of_a_series_has_its_size(tmp_path: Path) -> None:
    found = head_size(promising(tmp_path / "a.nii", (64, 64, 32, 1, 1)))
    assert found is not None
    assert found.shape == (64, 64, 32)


@pytest.mark.parametrize("name", GRIDS)
def test_the_networks_grid_is_that_of_conform(tmp_path: Path, name: str) -> None:
    directions, shape, zooms = GRIDS[name]
    affine = grid_affine(directions, shape, zooms)
    nib.save(nib.Nifti1Image(np.ones(shape, np.int16), affine), tmp_path / "a.nii")
    for card in (CARD, find_card(None)):
        _, there = frame_of(Volume(np.ones(shape, np.float32), Grid(shape, affine)), card)
        found = head_size(tmp_path / "a.nii")
        assert found is not None
        assert grid_megavoxels(found.field_mm, card) == pytest.approx(np.prod(there) / 1e6)


def test_needs_grow_with_all_that_takes_memory(tmp_path: Path) -> None:
    head = head_size(promising(tmp_path / "a.nii", (256, 256, 256)))
    assert head is not None
    needs = [
        needed_mb(head, CARD, MASK),
        needed_mb(head, CARD, ALL),
        needed_mb(head, CARD, replace(ALL, spaces=("MNI",)), [head]),
        needed_mb(head, CARD, replace(ALL, spaces=("MNI", "Other")), [head, head]),
    ]
    assert needs == sorted(needs)
    assert len(set(needs)) == 4
    wider = replace(head, field_mm=tuple(3 * mm for mm in head.field_mm))
    longer = replace(head, stored_mb=4 * head.stored_mb)
    assert min(needed_mb(h, CARD, MASK) for h in (wider, longer)) > needs[0]


def test_a_head_that_needs_more_than_there_is(tmp_path: Path) -> None:
    path = promising(tmp_path / "sub-01_T1w.nii.gz", (2000, 2000, 2000), zoom=0.1)
    with pytest.raises(MemoryLimitError) as caught:
        check_memory(path, CARD, MASK, [], 16.0)
    line = str(caught.value)
    assert "\n" not in line
    for part in (str(path), "2000x2000x2000", "16 GB", "--mem-gb", "--nprocs"):
        assert part in line
    check_memory(path, CARD, MASK, [], 16_000.0)
    check_memory(promising(path, (200, 200, 200)), CARD, MASK, [], 16.0)


def test_the_grid_of_a_foreign_network_counts(tmp_path: Path) -> None:
    """A card that asks for .02 mm: 10^12 voxels."""
    path = promising(tmp_path / "a.nii", (256, 256, 256))
    with pytest.raises(MemoryLimitError, match="GB"):
        check_memory(path, replace(CARD, zooms=(0.02, 0.02, 0.02)), MASK, [], 64.0)


def test_a_refused_run_is_recorded_and_the_others_go_on(
    phantoms, network: Path, tmp_path: Path, capsys
) -> None:
    raw = phantoms(["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"])
    promising(raw / "sub-01/anat/sub-01_T1w.nii.gz", (2500, 2500, 2500), zoom=0.1)
    out = tmp_path / "out"
    code = main([str(raw), str(out), "participant", "--model", str(network), "--device", "cpu",
                 "--outputs", "mask", "--mem-gb", "4"])  # fmt: skip
    assert code == 1
    assert "2500x2500x2500 voxels need" in capsys.readouterr().err
    records = {p.name[:6]: read_record(p) for p in out.rglob("*_qc.json")}
    assert (records["sub-01"].status, records["sub-01"].stage) == ("failed", "memory")
    assert "--mem-gb" in (records["sub-01"].reason or "")
    assert records["sub-02"].status == "ok"


def test_bad_images_are_told_as_such_however_little_memory_there_is(
    phantoms, network: Path, tmp_path: Path, capsys
) -> None:
    raw = phantoms(["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"])
    promising(raw / "sub-01/anat/sub-01_T1w.nii.gz", (104, 90, 72, 1200))
    with promising(raw / "sub-02/anat/sub-02_T1w.nii.gz", (10_000,) * 3).open("r+b") as file:
        file.truncate(100_000)
    code = main([str(raw), str(tmp_path / "out"), "participant", "--model", str(network),
                 "--device", "cpu", "--outputs", "mask", "--mem-gb", "0.1"])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 65, said
    assert "holds 1200 volumes" in said
    assert "promises 10000x10000x10000 voxels" in said


# the room that runs share ----------------------------------------------------------------------


def job_of(path: Path) -> Job:
    return Job(run_of(path, path.parent), MASK, Place(path.parent, path.parent), "0", 1)


def test_a_run_begins_when_there_is_room(tmp_path: Path) -> None:
    job = job_of(promising(tmp_path / "sub-01_T1w.nii", (256, 256, 256)))
    need = Room(64.0, CARD).needed_mb(job)
    assert need == needed_mb(head_size(job.run.path), CARD, MASK)  # type: ignore[arg-type]
    exact = Room((3 * need + memory.IDLE_MB) / 1e3, CARD)
    assert exact.holds(need, [need, need], nprocs=3)
    assert not exact.holds(need + 1, [need, need], nprocs=3)
    assert not exact.holds(need, [need, need], nprocs=4)  # the fourth process is there too


def test_a_header_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    heads = [tmp_path / f"sub-0{n}_T1w.nii" for n in (1, 2)]
    image = tmp_path / "template.nii"
    for path in (*heads, image):
        nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)), path)
    files = TemplateFiles(parse_space("MNI152NLin2009cAsym"), image, image)
    monkeypatch.setattr("bids_strip.execution.room.head_size",
                        lambda path: (read.append(path), head_size(path))[1])  # fmt: skip
    room = Room(64.0, CARD)
    for head in (*heads, *heads):
        need = room.needed_mb(replace(job_of(head), templates=(files,)))
        assert need == needed_mb(head_size(head), CARD, MASK, [head_size(image)])
    assert sorted(read) == sorted([*heads, image])


def test_a_run_alone_always_begins() -> None:
    """Its worker refuses it in a line: nothing waits for ever."""
    assert Room(0.001, CARD).holds(1e9, [], nprocs=8)


def test_a_file_without_a_header_waits_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "sub-01_T1w.nii").touch()
    assert Room(1.0, CARD).needed_mb(job_of(tmp_path / "sub-01_T1w.nii")) == 0


def test_the_usual_head_is_not_the_largest(tmp_path: Path) -> None:
    heads = [promising(tmp_path / f"{i}.nii", (100, 100, 100)) for i in range(40)]
    usual = usual_gb(heads, CARD, MASK)
    promising(heads[0], (900, 900, 900))
    assert usual_gb(heads, CARD, MASK) == usual
    assert usual_gb([], CARD, MASK) == RUN_GB
    assert usual_gb([tmp_path / "absent.nii"], CARD, MASK) == RUN_GB
