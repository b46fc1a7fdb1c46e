"""The plain way from a head to its mask, with a network that goes by brightness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.plain import strip
from bids_strip.card import find_card
from bids_strip.geometry import dice

SHAPE, ZOOMS = (101, 75, 50), (1.0, 1.5, 2.0)


class Session:
    """Inside where the image is brighter than half."""

    def run(self, _names: list[str], inputs: dict[str, Any]) -> list[Any]:
        image = inputs["image"]
        assert all(side % find_card(None).multiple == 0 for side in image.shape[2:])
        return [np.concatenate([0.5 - image, np.ones_like(image)], axis=1)]


def test_a_ball_is_found_where_it_is(tmp_path: Path) -> None:
    places = np.meshgrid(*(z * (np.arange(n) - n / 2) for n, z in zip(SHAPE, ZOOMS, strict=True)),
                         indexing="ij")  # fmt: skip
    truth = np.sqrt(sum(place**2 for place in places)) <= 35
    speck = np.zeros_like(truth)
    speck[:4, :4, :4] = True
    image = nib.Nifti1Image((truth | speck).astype(np.float32) * 700, np.diag([*ZOOMS, 1.0]))
    nib.save(image, tmp_path / "head.nii.gz")
    seconds = strip(tmp_path / "head.nii.gz", tmp_path / "mask.nii.gz", Session(), find_card(None))
    mask: Any = nib.load(tmp_path / "mask.nii.gz")
    assert dice(np.asarray(mask.dataobj) > 0, truth) > 0.97
    assert np.array_equal(mask.affine, image.affine)
    assert not mask.dataobj[:4, :4, :4].any()
    assert list(seconds) == ["load", "resample", "network", "upsample", "largest component", "save"]
