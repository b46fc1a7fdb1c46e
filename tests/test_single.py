"""`bids_strip.strip`: one image in, mask and distances out."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import bids_strip
from bids_strip.errors import LoadError
from bids_strip.geometry import dice
from bids_strip.single import strip_image
from tests.fakes import FakePredictor, TrueSphere, make_phantom


@pytest.mark.parametrize("border", [0.0, 2.0, -0.5])
@pytest.mark.parametrize("name", ["RAS", "PSR"])
def test_an_image_in_memory(name: str, border: float) -> None:
    head = make_phantom(name)
    predictor = FakePredictor(TrueSphere(head.affine))
    found = strip_image(head.image, border_mm=border, predictor=predictor)
    mask = np.asarray(found.mask.dataobj) > 0
    assert dice(mask, head.sdt <= border) > 0.985
    assert np.array_equal(mask, np.asarray(found.sdt.dataobj) <= np.float32(border))
    assert found.mask.get_data_dtype() == np.uint8
    assert found.sdt.get_data_dtype() == np.float32
    assert np.allclose(found.mask.affine, head.affine)
    assert np.allclose(found.sdt.affine, head.affine)


@pytest.mark.parametrize("sort", [str, Path])
def test_a_path(tmp_path: Path, sort: type) -> None:
    head = make_phantom()
    path = tmp_path / "head.nii.gz"
    nib.save(head.image, path)
    found = strip_image(sort(path), predictor=FakePredictor(TrueSphere()))
    whole = strip_image(head.image, predictor=FakePredictor(TrueSphere()))
    assert np.array_equal(np.asarray(found.mask.dataobj), np.asarray(whole.mask.dataobj))


def test_a_path_that_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(LoadError):
        bids_strip.strip(tmp_path / "absent.nii.gz")


def test_the_front_door_takes_an_image_and_a_border(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr("bids_strip.single.strip_image", lambda *a, **k: seen.append((a, k)))
    bids_strip.strip(Path("head.nii.gz"), border_mm=1.5)
    assert seen == [((Path("head.nii.gz"),), {"border_mm": 1.5})]
