"""Descriptors: the same for one person however seen, another one for another person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_strip.identity.brain import against_surroundings, described
from bids_strip.identity.likeness import common_parts, similarities
from bids_strip.registration.reference import load_reference
from tests.fakes import world_of
from tests.identity.heads import Person, Seen, pose_of, seen


def likeness(one: Seen, other: Seen) -> float:
    stack = np.stack([one.descriptor, other.descriptor])
    return float(similarities(stack, ["a", "b"], load_reference())[0, 1])


@pytest.fixture(scope="module")
def first() -> Seen:
    return seen(Person(1))


def test_two_people_are_not_alike(first: Seen) -> None:
    assert abs(likeness(first, seen(Person(2)))) < 0.15


SCANS = {
    "moved": {"pose": pose_of((4.0, -6.0, 9.0), (12.0, -20.0, 31.0), 1.0)},
    "larger": {"pose": pose_of((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.15)},
    "LPS": {"directions": "LPS"},
    "PSR": {"directions": "PSR", "shape": (84, 70, 70)},
    "oblique": {"directions": "oblique"},
    "anisotropic": {"shape": (140, 168, 42), "zooms": (1.5, 1.5, 5.0)},
}


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_a_person_is_known_again(first: Seen, scan: dict[str, object]) -> None:
    assert likeness(first, seen(Person(1), **scan)) > 0.9


def test_scale_contrast_bias_and_noise_drop_out(first: Seen) -> None:
    rng = np.random.default_rng(3)
    far = world_of(first.image.shape, first.grid.affine)[..., 1]
    image = 0.3 * np.maximum(first.image, 0) ** 1.4 * np.exp(far / 150)
    image += rng.normal(size=image.shape) * 0.05 * image.max()
    image[first.sdt_steps > 0] = 0
    assert likeness(first, replace(first, image=image.astype(np.float32))) > 0.9


def test_a_mirror_image_is_someone_else(first: Seen) -> None:
    """Left and right are not the same: an axis that was flipped makes another brain."""
    flipped = replace(first, image=first.image[::-1], sdt_steps=first.sdt_steps[::-1])
    assert likeness(first, flipped) < 0.3


def test_what_lies_outside_the_brain_is_not_looked_at(first: Seen) -> None:
    image = np.where(first.sdt_steps > 0, np.float32(5000), first.image)
    assert np.array_equal(replace(first, image=image).descriptor, first.descriptor)


def test_small_and_of_whole_numbers(first: Seen) -> None:
    assert first.descriptor.dtype == np.int8
    assert 10_000 < first.descriptor.size < 60_000
    assert np.abs(first.descriptor).max() <= 127


def test_next_to_nothing_is_not_described(first: Seen) -> None:
    steps = np.full_like(first.sdt_steps, 1000)
    steps[30:32, 30:32, 30:32] = -10
    assert described(first.image, steps, first.grid, load_reference()) is None


def test_a_flat_brain_is_like_none(first: Seen) -> None:
    flat = replace(first, image=np.full_like(first.image, 700.0))
    assert abs(likeness(first, flat)) < 0.3


def test_local_units() -> None:
    """A wave of any height on any ramp comes out alike, 0 where nothing is known."""
    grid = load_reference().grid
    places = world_of(grid.shape, grid.affine)
    wave = np.cos(places[..., 0] * 2 * np.pi / 16)
    there = np.abs(places).max(axis=-1) < 60
    found = [
        against_surroundings(np.where(there, v, 0).astype(np.float32), there, grid)
        for v in (wave, 40 * wave + places[..., 2] * 2 + 900)
    ]
    inner = np.abs(places).max(axis=-1) < 30
    assert np.corrcoef(found[0][inner], found[1][inner])[0, 1] > 0.98
    assert found[0][inner].std() == pytest.approx(1.0, abs=0.15)
    assert not found[0][~there].any()


def test_common_parts_are_orthonormal() -> None:
    common = common_parts(load_reference()).astype(np.float64)
    assert np.allclose(common.T @ common, np.eye(common.shape[1]), atol=1e-4)
    assert common.shape[1] == 40
