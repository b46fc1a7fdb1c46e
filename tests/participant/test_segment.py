"""Tissues of shells of known depth and brightness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, stats

from bids_strip.brightness.mixture import Classes, posterior
from bids_strip.geometry import dice, within
from bids_strip.participant.segment import in_steps, neighbours, segment, with_outside
from tests.participant.test_normalise import Head, make_head, wave

NAMES = ("RAS", "PSR", "oblique", "anisotropic")


def segmented(head: Head, suffix: str = "T1w"):
    normalised = head.normalised(suffix=suffix)
    return segment(normalised, head.brain, head.network, suffix=suffix)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["T1w", "T2w"])
def test_shells_are_told_apart(name: str, suffix: str) -> None:
    head = make_head(name, suffix=suffix, noise=40.0)
    found = segmented(head, suffix)
    for label in (1, 2, 3):
        assert dice(found.labels == label, head.tissue == label) >= 0.93, label


def test_a_field_does_not_change_the_tissues() -> None:
    head = make_head(noise=40.0)
    plain, biased = segmented(head), segmented(head.times(wave(head)))
    for label in (1, 2, 3):
        assert dice(plain.labels == label, biased.labels == label) >= 0.97


def test_brightness_overrules_a_prior_that_is_wrong() -> None:
    """The network calls a ball of fluid in white matter white: it is dark, so it is fluid."""
    head = make_head()
    index = np.array(np.nonzero(head.tissue == 2)).T
    middle = index[np.argmin(np.linalg.norm(index - index.mean(axis=0), axis=1))]
    hole = np.zeros(head.tissue.shape, bool)
    hole[tuple(slice(m - 2, m + 3) for m in middle)] = True
    data = np.where(hole, np.float32(200), head.volume.data)
    found = segmented(replace(head, volume=replace(head.volume, data=data)))
    assert (found.labels[hole] == 3).mean() > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_inside_are_tissues_and_outside_the_networks_others(name: str) -> None:
    head = make_head(name)
    found = segmented(head)
    inside = within(head.brain.sdt_steps, 0.0)
    assert set(np.unique(found.labels[inside])) <= {1, 2, 3}
    assert set(np.unique(found.labels[~inside])) <= {0, 4, 5}
    depth = head.brain.sdt_steps * 0.02
    assert (found.labels[(depth > 2) & (depth < 5)] == 4).mean() > 0.9
    assert (found.labels[depth > 14] == 0).all()


def test_shares_sum_to_one_inside_and_to_none_outside() -> None:
    head = make_head(noise=60.0)
    total = segmented(head).steps.sum(axis=0, dtype=int)
    inside = within(head.brain.sdt_steps, 0.0)
    assert (total[inside] == 255).all()
    assert not total[~inside].any()


def test_rounding_never_goes_below_nothing() -> None:
    shares = np.array([[0.5, 0.5, 0.0], [0.1, 0.9, 0.0], [1 / 3, 1 / 3, 1 / 3]], np.float32).T
    _, steps = in_steps(shares)
    steps = steps.astype(int)
    assert (steps.sum(axis=0) == 255).all()
    assert np.abs(steps / 255 - shares).max() <= 1.01 / 255


def test_the_border_does_not_matter() -> None:
    head = make_head()
    shifted = replace(head, brain=replace(
        head.brain, mask=within(head.brain.sdt_steps, -3.0), border_mm=-3.0
    ))  # fmt: skip
    assert np.array_equal(segmented(head).labels, segmented(shifted).labels)


def test_a_network_without_tissues() -> None:
    """Depth is the prior; nothing is known of what lies outside."""
    head = make_head()
    found = segmented(replace(head, network=replace(head.network, shares=None)))
    for label in (1, 2, 3):
        assert dice(found.labels == label, head.tissue == label) >= 0.9, label
    assert not found.labels[~within(head.brain.sdt_steps, 0.0)].any()


def test_nothing_is_told_outside_a_head_that_was_stripped() -> None:
    head = make_head()
    found = segmented(replace(head, brain=replace(head.brain, already_stripped=True)))
    assert not found.labels[~within(head.brain.sdt_steps, 0.0)].any()


def test_the_posterior_is_bayes(rng) -> None:
    """Against scipy's normal densities."""
    classes = Classes(np.array([600.0, 1000.0, 200.0]), np.array([40.0, 30.0, 90.0]) ** 2)
    values = rng.uniform(100, 1100, 200).astype(np.float32)
    prior = rng.dirichlet([2, 2, 2], 200).T.astype(np.float32)
    joint = prior * stats.norm.pdf(
        values, classes.mean[:, None], np.sqrt(classes.variance)[:, None]
    )
    assert np.allclose(posterior(values, prior, classes), joint / joint.sum(axis=0), atol=1e-4)


def test_neighbours_are_a_convolution(rng) -> None:
    """Against scipy's, in a region full of holes, voxels of 1 x 2 x 4 mm."""
    share = rng.random((6, 7, 8)).astype(np.float32)
    inside = rng.random(share.shape) < 0.7
    kernel = np.zeros((3, 3, 3))
    for axis, zoom in enumerate((1.0, 2.0, 4.0)):
        sides = np.moveaxis(kernel, axis, 0)
        sides[0, 1, 1] = sides[2, 1, 1] = 3 / zoom / (1 / 1 + 1 / 2 + 1 / 4)
    expected = ndimage.convolve(np.where(inside, share, 0), kernel, mode="constant")[inside]
    found = neighbours(inside, (1.0, 2.0, 4.0)) @ with_outside(share[inside])
    assert np.allclose(found, expected, atol=1e-5)
