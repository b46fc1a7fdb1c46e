"""Descriptors at participant level: on request alone, and the same as from the stored files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip.domain import Conformed, Float3
from bids_strip.group.identity import describe_stored, stored_files
from bids_strip.identity.store import descriptor_name, key_of, read_descriptor
from bids_strip.output.place import Place
from bids_strip.participant.job import Done, Failed, Job
from bids_strip.recipe import Recipe
from tests.fakes import FakePredictor, TrueSphere, attempt, make_phantom, run_of

NAME = "sub-01/anat/sub-01_T1w.nii.gz"


def stripped(
    root: Path, out: Path, *kinds: str, identity: bool = True, border: float = 0.0
) -> Done:
    job = Job(run_of(root / NAME, root), Recipe(kinds, border_mm=border),
              Place(out, out / ".work" / "x"), "1", 1, identity=identity)  # fmt: skip
    done = attempt(job, FakePredictor(TrueSphere()))
    assert isinstance(done, Done)
    return done


def nothing(conformed: Conformed) -> Float3:
    return np.full(conformed.data.shape, 50, np.float32)


def test_nothing_is_kept_unless_asked_for(phantoms, tmp_path) -> None:
    done = stripped(phantoms([NAME]), tmp_path, "mask", "brain", "sdt", identity=False)
    assert not (tmp_path / "logs").exists()
    assert "identity" not in done.record.stage_seconds


def test_it_is_that_of_the_stored_files(phantoms, tmp_path) -> None:
    record = stripped(phantoms([NAME]), tmp_path, "mask", "brain", "sdt", border=-2.0).record
    files = stored_files(record)
    assert files is not None
    stored = describe_stored(files, tmp_path)
    assert stored is not None
    path = tmp_path / descriptor_name(record.bids_name)
    found = read_descriptor(path, key_of(record), stored.size)
    assert found is not None
    assert np.array_equal(found, stored)
    assert np.any(found)


def test_masks_alone_are_enough(phantoms, tmp_path) -> None:
    record = stripped(phantoms([NAME]), tmp_path, "mask").record
    assert (tmp_path / descriptor_name(record.bids_name)).exists()
    assert not any("identity" in output.name for output in record.outputs)


@pytest.mark.parametrize("border", [0.0, -2.0])
def test_doing_a_run_again_without_the_option_takes_its_descriptor_along(
    phantoms, tmp_path, border
) -> None:
    root = phantoms([NAME])
    record = stripped(root, tmp_path, "mask", "brain", "sdt").record
    other = tmp_path / descriptor_name("sub-02_T1w")
    other.write_bytes(b"of another run")
    stripped(root, tmp_path, "mask", "brain", "sdt", identity=False, border=border)
    assert not (tmp_path / descriptor_name(record.bids_name)).exists()
    assert other.exists()


def test_another_border_from_what_is_stored_does_so_too(phantoms, tmp_path) -> None:
    root = phantoms([NAME])
    earlier = stripped(root, tmp_path, "mask", "sdt").record
    # the network is not asked: it would find nothing
    path = tmp_path / descriptor_name(earlier.bids_name)
    assert path.exists()
    job = Job(run_of(root / NAME, root), Recipe(("mask", "sdt"), border_mm=-2.0),
              Place(tmp_path, tmp_path / ".work" / "x"), "1", 1)  # fmt: skip
    assert isinstance(attempt(replace(job, earlier=earlier), FakePredictor(nothing)), Done)
    assert not path.exists()


@pytest.mark.parametrize("other_input", [False, True])
def test_a_descriptor_stays_and_goes_with_its_result(phantoms, tmp_path, other_input) -> None:
    """A redo that fails keeps the result unless its input is another now."""
    root = phantoms([NAME])
    record = stripped(root, tmp_path, "mask").record
    path = tmp_path / descriptor_name(record.bids_name)
    before = path.read_bytes()
    if other_input:
        nib.save(make_phantom(seed=9).image, root / NAME)
    job = Job(run_of(root / NAME, root), Recipe(("mask",)),
              Place(tmp_path, tmp_path / ".work" / "x"), "1", 1, identity=True)  # fmt: skip
    failed = attempt(job, FakePredictor(nothing))
    assert isinstance(failed, Failed)
    assert failed.kept is not other_input
    assert path.exists() is not other_input
    if failed.kept:
        assert path.read_bytes() == before
        assert before.startswith(key_of(record).encode())


def test_the_key_is_of_what_was_made(phantoms, tmp_path) -> None:
    record = stripped(phantoms([NAME]), tmp_path, "mask", identity=False).record
    assert record.input is not None
    others = (
        replace(record, input=replace(record.input, sha256="0" * 64)),
        replace(record, network={"sha256": "1" * 64}),
        replace(record, options={**record.options, "no_csf": True}),
        replace(record, surface={"origin": "manual"}),
    )
    assert len({key_of(one) for one in (record, *others)}) == 5
    assert key_of(replace(record, elapsed_s=9.0, metrics={}, outputs=())) == key_of(record)
