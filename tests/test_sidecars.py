"""The JSON file beside an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_strip.domain import Run
from bids_strip.output.sidecars import sidecar
from bids_strip.recipe import Recipe

CARD = {"name": "core", "version": "1", "sha256": "ab"}
RUN = Run(Path("/raw/sub-01/anat/sub-01_T1w.nii.gz"), "sub-01/anat/sub-01_T1w.nii.gz",
          (("sub", "01"),), "T1w")  # fmt: skip


def a_sidecar(kind: str, border_mm: float = 0.0) -> dict[str, Any]:
    return sidecar(kind, RUN, recipe=Recipe((), border_mm), version="0.1.0", network=CARD)


def test_sidecar_of_the_mask() -> None:
    assert a_sidecar("mask", border_mm=-1.5) == {
        "Type": "Brain",
        "Description": "1 inside the brain, sulcal CSF included; surface shifted 1.5 mm inwards; "
        "bids_strip 0.1.0, network core 1",
        "Sources": ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"],
        "Manual": False,
        "SpatialReference": "orig",
        "Software": "bids_strip 0.1.0",
        "Network": {"Name": "core", "Version": "1", "SHA256": "ab"},
        "Options": {"border_mm": -1.5, "no_csf": False},
    }


def test_sidecar_of_the_sdt() -> None:
    found = a_sidecar("sdt", border_mm=1.0)
    assert found["Units"] == "mm"
    assert "negative inside" in found["Description"]
    assert "<= 1 mm" in found["Description"]
    assert found["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]


def test_sidecar_of_the_brain() -> None:
    found = a_sidecar("brain")
    assert found["SkullStripped"] is True
    assert found["Sources"] == [
        "bids:raw:sub-01/anat/sub-01_T1w.nii.gz",
        "bids::sub-01/anat/sub-01_desc-brain_mask.nii.gz",
    ]
    assert "Manual" not in found


def test_sidecar_of_the_corrected_head() -> None:
    """Method, smoothness and white matter's value; a whole head."""
    found = a_sidecar("preproc", border_mm=2.0)
    assert found["SkullStripped"] is False
    for words in ("divided by a smooth field", "40 mm", "white matter is 1000"):
        assert words in found["Description"]
    assert found["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert found == a_sidecar("preproc")  # the border has no part in it


def test_sidecar_without_a_field() -> None:
    recipe = Recipe((), bias_smoothness_mm=0.0)
    found = sidecar("preproc", RUN, recipe=recipe, version="0.1.0", network=CARD)
    assert "no field taken out" in found["Description"]


@pytest.mark.parametrize("kind", ["dseg", "probseg_GM", "probseg_WM", "probseg_CSF"])
def test_sidecars_of_the_tissues(kind: str) -> None:
    found = a_sidecar(kind, border_mm=2.0)
    assert found["Manual"] is False
    assert "SkullStripped" not in found
    assert kind.removeprefix("probseg_") in found["Description"] or kind == "dseg"
    assert found == a_sidecar(kind)


def test_no_sidecar_of_another_kind() -> None:
    with pytest.raises(ValueError, match="qc: no image kind"):
        a_sidecar("qc")
