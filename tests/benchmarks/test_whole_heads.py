"""Benchmarks look at a head as the program does: at all of it where it was cut short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import normalise, registration, surfaces, tissue  # noqa: E402
from bids_strip.domain import Conformed, Grid, Prediction, Volume  # noqa: E402
from tests.fakes import CARD, conformed_world, sphere_sdt  # noqa: E402

pytestmark = pytest.mark.training


@dataclass(frozen=True)
class FadingHead:
    """A ball in a cube of voxels, of which a surface coil leaves half as dark as air."""

    side: int
    mm: float
    radius_mm: float

    @property
    def middle(self) -> tuple[float, float, float]:
        return (self.mm * (self.side - 1) / 2,) * 3

    @property
    def away_mm(self) -> np.ndarray:
        """Distance of each voxel to the brain's surface."""
        index = np.moveaxis(np.indices((self.side,) * 3, dtype=np.float32), 0, -1) * self.mm
        return sphere_sdt(index, self.middle, self.radius_mm)

    @property
    def volume(self) -> Volume:
        fading = np.exp(-np.linspace(0, 8, self.side))
        data = (1000 * (self.away_mm <= 10) * fading).astype(np.float32)
        return Volume(data, Grid(data.shape, np.diag([self.mm] * 3 + [1.0])))


@dataclass(frozen=True)
class Knowing:
    """A network that knows the brain; notes how much it was shown."""

    head: FadingHead
    card = CARD
    provider = "fake"
    shown_mm: list[int] = field(default_factory=list)

    def __call__(self, conformed: Conformed) -> Prediction:
        self.shown_mm.append(min(conformed.data.shape) * CARD.zooms[0])
        affine = self.head.volume.grid.affine
        world = conformed_world(conformed, affine)
        mm = sphere_sdt(world, self.head.middle, self.head.radius_mm)
        shares = np.zeros((6, *mm.shape), np.float32)
        shares[0], shares[2] = mm > 0, mm <= 0
        return Prediction(mm, shares=shares, no_csf_mm=mm + np.float32(2))


def ml(mask: np.ndarray, mm: float) -> float:
    return float(np.count_nonzero(mask)) * mm**3 / 1000


def registered(head: FadingHead, network: Knowing, _folder: Path) -> float:
    return ml(registration.stripped(head.volume, network).brain.mask, head.mm)


def normalised(head: FadingHead, network: Knowing, _folder: Path) -> float:
    return ml(normalise.prepared(head.volume, network).brain.mask, head.mm)


def with_surfaces(head: FadingHead, network: Knowing, folder: Path) -> float:
    path = folder / "sub-01_T1w.nii"
    nib.Nifti1Image(head.volume.data, head.volume.grid.affine).to_filename(path)
    return surfaces.row_of(path, network)[1]


@pytest.mark.parametrize("found", [registered, normalised, with_surfaces])
def test_a_head_cut_short_is_looked_at_whole(
    found: Callable[[FadingHead, Knowing, Path], float], tmp_path: Path
) -> None:
    head = FadingHead(side=60, mm=4.0, radius_mm=70.0)
    network = Knowing(head)
    volume_ml = 4 / 3 * np.pi * 70**3 / 1000
    assert found(head, network, tmp_path) == pytest.approx(volume_ml, rel=0.01)
    first, second = network.shown_mm
    assert first < 0.8 * 240 <= second


def test_tissues_of_a_head_cut_short_are_looked_at_whole(monkeypatch) -> None:
    """All of the brain is white matter to the network, also where the image is dark."""
    head = FadingHead(side=120, mm=1.0, radius_mm=40.0)
    network = Knowing(head)
    white = torch.from_numpy(np.where(head.away_mm <= 0, 2, 0))
    sample = SimpleNamespace(
        image=torch.from_numpy(head.volume.data)[None, None], tissue=white[None]
    )
    monkeypatch.setattr(tissue, "render", lambda *_: sample)
    grey, own, *_ = tissue.scores(network, None, None)
    assert (grey, own) == pytest.approx((1, 1), abs=0.02)
    first, second = network.shown_mm
    assert first < 0.9 * 120 <= second
