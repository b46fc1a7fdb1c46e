"""Fields of known shape on heads of known brightness."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_strip.card import find_card
from bids_strip.domain import BrainMask, Conformed, NetworkTissues, Volume
from bids_strip.errors import NormaliseError
from bids_strip.geometry import quantised, within
from bids_strip.participant.clean import clean
from bids_strip.participant.conform import conform
from bids_strip.participant.derive import derive
from bids_strip.participant.load import load
from bids_strip.participant.normalise import WHITE_MATTER, normalise
from bids_strip.participant.predict import load_predictor
from bids_strip.participant.restore import restore
from tests.fakes import CARD, Phantom, conformed_world, make_phantom, sphere_sdt, world_of

DATA = os.environ.get("BIDS_STRIP_TEST_DATA", "")
WHITE_MM, GREY_MM = -10.0, -4.0
"""The tissues of the test head are shells by depth."""
BRIGHT = {"T1w": (600.0, 900.0, 200.0), "T2w": (700.0, 500.0, 1500.0)}


@dataclass(frozen=True)
class Head:
    """A head of shells, and what the earlier stages say of it."""

    volume: Volume
    brain: BrainMask
    network: NetworkTissues
    tissue: np.ndarray

    def normalised(self, **options):
        return normalise(self.volume, self.brain, self.network,
                         **{"suffix": "T1w", "smoothness_mm": 40.0, **options})  # fmt: skip

    def times(self, field: np.ndarray) -> Head:
        data = (self.volume.data * field).astype(np.float32)
        return replace(self, volume=replace(self.volume, data=data))


def tissue_at(depth_mm: np.ndarray) -> np.ndarray:
    """1 GM, 2 WM, 3 CSF by depth; 0 outside."""
    return np.select([depth_mm <= WHITE_MM, depth_mm <= GREY_MM, depth_mm <= 0], [2, 1, 3], 0)


def shares_of(conformed: Conformed, head: Phantom) -> np.ndarray:
    """A network that is right of the shells, not very sure, and says bone around them."""
    depth = sphere_sdt(conformed_world(conformed, head.affine))
    label = np.where(depth > 0, np.where(depth > 8, 0, 4), tissue_at(depth))
    sure = np.stack([label == n for n in range(6)]).astype(np.float32)
    return sure * 0.7 + np.float32(0.3 / 6)


def make_head(name: str = "RAS", *, suffix: str = "T1w", noise: float = 15.0) -> Head:
    head = make_phantom(name)
    tissue = tissue_at(head.sdt)
    bright = np.choose(tissue, [50.0, *BRIGHT[suffix]])
    data = bright + np.random.default_rng(3).normal(0, noise, bright.shape)
    volume = Volume(np.maximum(data, 1).astype(np.float32), _grid(head))
    conformed = conform(volume, CARD)
    steps = quantised(head.sdt)
    brain = BrainMask(within(steps, 0.0), steps, 0.0, False, 1.0)
    network = NetworkTissues(shares_of(conformed, head), conformed.frame)
    return Head(volume, brain, network, tissue)


def _grid(head: Phantom):
    from bids_strip.domain import Grid

    return Grid(head.data.shape, head.affine)


def wave(head: Head, strength: float = 0.3) -> np.ndarray:
    """A field that goes through `strength` of its mean, a quarter wave over the head."""
    world = world_of(head.volume.data.shape, head.volume.grid.affine)
    phase = np.sin(world[..., 0] / 40) + np.cos(world[..., 1] / 45) * np.sin(world[..., 2] / 50)
    inside = phase[head.brain.mask]
    return 1 + strength * ((phase - inside.min()) / np.ptp(inside) - 0.5)


@pytest.mark.parametrize("name", ["RAS", "PSR", "oblique", "anisotropic"])
def test_a_known_field_is_found_again(name: str) -> None:
    head = make_head(name)
    field = wave(head)
    found = head.times(field).normalised()
    inside = head.brain.mask
    assert np.corrcoef(np.exp(found.log_field[inside]), field[inside])[0, 1] >= 0.97
    white = head.tissue == 2
    plain, after = head.volume.data[white], found.volume.data[white]
    assert after.std() / after.mean() <= 1.3 * plain.std() / plain.mean()


def test_the_ratio_of_two_fields_is_the_field_between_them() -> None:
    head = make_head()
    field = wave(head)
    ratio = head.times(field).normalised().log_field - head.normalised().log_field
    inside = head.brain.mask
    assert np.corrcoef(np.exp(ratio[inside]), field[inside])[0, 1] >= 0.97


@pytest.mark.parametrize("gain", [0.01, 1.0, 37.0])
@pytest.mark.parametrize("suffix", ["T1w", "T2w"])
def test_white_matter_is_brought_to_its_value(gain: float, suffix: str) -> None:
    head = make_head(suffix=suffix)
    found = head.times(np.array(gain)).normalised(suffix=suffix)
    assert np.median(found.volume.data[head.tissue == 2]) == pytest.approx(WHITE_MATTER, rel=0.02)


def test_a_head_without_a_field_keeps_its_brightness() -> None:
    head = make_head(noise=5.0)
    found = head.normalised()
    low, high = np.percentile(np.exp(found.log_field[head.brain.mask]), (1, 99))
    assert high / low < 1.05


def test_the_field_is_bounded_outside() -> None:
    head = make_head()
    found = head.times(wave(head)).normalised()
    inside = found.log_field[head.brain.mask]
    assert found.log_field.min() >= inside.min()
    assert found.log_field.max() <= inside.max()
    steps = [np.abs(np.diff(found.log_field, axis=axis)).max() for axis in range(3)]
    assert max(steps) < 0.06  # smooth from voxel to voxel, 2.5 mm apart


@pytest.mark.parametrize("smoothness_mm", [0.0, 1000.0])
def test_no_field_is_left_of_none_or_of_a_huge_scale(smoothness_mm: float) -> None:
    head = make_head()
    found = head.times(wave(head)).normalised(smoothness_mm=smoothness_mm)
    assert not found.log_field.any()
    ratio = found.volume.data / head.times(wave(head)).volume.data
    assert np.ptp(ratio) < 1e-3 * ratio.mean()


def test_the_border_does_not_matter() -> None:
    head = make_head().times(wave(make_head()))
    wide = within(head.brain.sdt_steps, 5.0)
    shifted = replace(head, brain=replace(head.brain, mask=wide, border_mm=5.0))
    assert np.array_equal(head.normalised().volume.data, shifted.normalised().volume.data)


def test_a_network_without_tissues() -> None:
    """Depth stands in: no crash, the field is still found."""
    head = make_head()
    silent = replace(head, network=replace(head.network, shares=None))
    field = wave(head)
    found = silent.times(field).normalised()
    inside = head.brain.mask
    assert np.corrcoef(np.exp(found.log_field[inside]), field[inside])[0, 1] >= 0.97


@pytest.mark.parametrize("shift", [-5000.0, -300.0])
def test_negative_brightness(shift: float) -> None:
    head = make_head()
    shifted = replace(head, volume=replace(head.volume, data=head.volume.data + np.float32(shift)))
    found = shifted.normalised()
    assert found.floor < 0
    assert np.isfinite(found.volume.data).all()
    assert np.median(found.volume.data[head.tissue == 2]) == pytest.approx(WHITE_MATTER, rel=0.02)


def test_nothing_stays_nothing_around_a_stripped_brain_that_counts_from_below_zero() -> None:
    """0 is where nothing is there, not a brightness; a voxel of 0 in the brain is one."""
    head = make_head()
    data = np.where(head.brain.mask, head.volume.data - np.float32(500), np.float32(0))
    centre = tuple(int(at) for at in np.argwhere(head.tissue == 2).mean(axis=0))
    data[centre] = 0
    stripped = replace(head, volume=replace(head.volume, data=data),
                       brain=replace(head.brain, already_stripped=True))  # fmt: skip
    found = stripped.normalised()
    assert found.floor < 0
    assert not found.volume.data[~head.brain.mask].any()
    assert found.volume.data[centre] > 100
    assert np.median(found.volume.data[head.tissue == 2]) == pytest.approx(WHITE_MATTER, rel=0.02)


@pytest.mark.parametrize("value", [-1.0, 0.0, 7.0])
def test_a_constant_brain(value: float) -> None:
    head = make_head()
    flat = np.where(head.brain.mask, value, 50).astype(np.float32)
    found = replace(head, volume=replace(head.volume, data=flat)).normalised()
    assert np.isfinite(found.volume.data).all()
    assert np.ptp(found.volume.data[head.brain.mask]) <= 1.0


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="BIDS_STRIP_TEST_DATA is not set")
def test_a_real_head_times_a_known_field() -> None:
    """The ratio of both estimates is the field of 30 %; white matter varies as much after both."""
    path = Path(DATA) / "ds000011/sub-04/anat/sub-04_T1w.nii.gz"
    volume = load(path).volume
    predictor = load_predictor(find_card(None), device="cpu", threads=2)
    heads = []
    for field in (None, wave):
        data = volume.data if field is None else volume.data * field(heads[0]).astype(np.float32)
        one = replace(volume, data=data)
        conformed = conform(one, predictor.card)
        prediction = predictor(conformed)
        surface = clean(prediction, conformed.zooms)
        brain = derive(one, restore(surface, conformed.frame), border_mm=0.0)
        network = NetworkTissues(prediction.shares, conformed.frame)
        heads.append(Head(one, brain, network, np.zeros(0)))
    plain, biased = (head.normalised() for head in heads)
    inside = heads[0].brain.mask & heads[1].brain.mask
    ratio = np.exp(biased.log_field - plain.log_field)[inside]
    assert np.corrcoef(ratio, wave(heads[0])[inside])[0, 1] >= 0.97
    from bids_strip.participant.segment import segment

    white = segment(plain, heads[0].brain, heads[0].network, suffix="T1w").steps[1] >= 230
    first, second = (one.volume.data[white].std() / one.volume.data[white].mean()
                     for one in (plain, biased))  # fmt: skip
    assert second == pytest.approx(first, rel=0.05)
    assert nib.load(path).shape == plain.volume.data.shape


@pytest.mark.filterwarnings("error")
def test_values_of_no_image_are_named() -> None:
    head = make_head()
    wild = np.random.default_rng(1).uniform(-3.3e38, 3.3e38, head.volume.data.shape)
    with pytest.raises(NormaliseError, match=r"runs from .* to .*, which is no image's"):
        replace(head, volume=replace(head.volume, data=wild.astype(np.float32))).normalised()
