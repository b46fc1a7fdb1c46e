"""Likelihoods against the normal distribution of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

from training.blocks import depth_to_space, space_to_depth  # noqa: E402
from training.likelihood import FLOOR, VARIANCE, Likelihood, shares  # noqa: E402

pytestmark = pytest.mark.training
TRUNK = 3
SURE = 20.0
"""A logit that leaves no doubt."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)
    torch.set_num_threads(1)


def halves(side: int) -> torch.Tensor:
    """(1, 2, I, J, K): two tissues without doubt, side by side."""
    return sure(torch.arange(side) < side // 2, side)


def layers(side: int) -> torch.Tensor:
    """(1, 2, I, J, K): two tissues without doubt, in layers of three voxels."""
    return sure(torch.arange(side) // 3 % 2 == 0, side)


def sure(first: torch.Tensor, side: int) -> torch.Tensor:
    """(1, 2, I, J, K): the first tissue where it is said along the first axis, else the second."""
    there = first[:, None, None].expand(-1, side, side)
    return SURE * torch.stack([there, ~there])[None].float()


def normal(logits: torch.Tensor, means: tuple[float, float], sd: float) -> torch.Tensor:
    """(1, 1, I, J, K): brightness of each tissue's mean, with noise."""
    mean = torch.where(logits[:, :1] > 0, *(torch.tensor(one) for one in means))
    return mean + sd * torch.randn_like(mean)


def added(layer: Likelihood, image: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """(N, T, I, J, K): logits with the likelihoods."""
    blocks = space_to_depth(logits, logits.shape[1])
    trunk = torch.ones(blocks.shape[0], TRUNK, *blocks.shape[2:])
    return depth_to_space(layer.blocks(image, blocks, trunk), logits.shape[1])


def open_voxels(side: int) -> torch.Tensor:
    """(1, 1, I, J, K) bool: one voxel of five."""
    return torch.rand(1, 1, side, side, side) > 0.8


def share_right(
    layer: Likelihood, image: torch.Tensor, truth: torch.Tensor, unknown: torch.Tensor
) -> float:
    """Share of the voxels of unknown tissue that get the right one, the others being known."""
    found = added(layer, image, truth.masked_fill(unknown, 0.0)).argmax(1)
    return float((found == truth.argmax(1))[unknown[:, 0]].float().mean())


def test_likelihoods_are_the_normal_distributions() -> None:
    """Of known tissues in cells as large as the window: scipy's, of their own mean and variance."""
    layer, logits = Likelihood(TRUNK, cell=16), halves(32)
    torch.nn.init.ones_(layer.weight)
    image = normal(logits, (0.6, 0.9), 0.1)
    fits = (added(layer, image, logits) - logits).detach().numpy()[0]
    sampled = image[0, 0, ::2, ::2, ::2].numpy()
    for n, part in enumerate((sampled[:8], sampled[8:])):
        expected = norm.logpdf(image[0, 0], part.mean(), np.sqrt(part.var() + VARIANCE))
        expected += 0.5 * np.log(2 * np.pi)
        assert fits[n] == pytest.approx(np.maximum(expected, FLOOR), abs=3e-3)


def test_brightness_settles_what_place_leaves_open() -> None:
    """A prior that knows 80 of 100 voxels, and brightness three deviations apart for the others."""
    truth = layers(32)
    image = normal(truth, (0.3, 0.6), 0.1)
    assert share_right(Likelihood(TRUNK, cell=4), image, truth, open_voxels(32)) > 0.9
    flat = 0.5 + 0.1 * torch.randn_like(image)
    assert share_right(Likelihood(TRUNK, cell=4), flat, truth, open_voxels(32)) < 0.6


def test_contrast_does_not_matter() -> None:
    """Brighter, steeper or inverted, the differences between the tissues stay."""
    layer, logits = Likelihood(TRUNK, cell=4), layers(32) / 4
    torch.nn.init.constant_(layer.weight, 0.4)
    image = normal(logits, (0.6, 0.9), 0.1)
    apart = [
        (one[:, 0] - one[:, 1])
        for one in (added(layer, seen, logits) for seen in (image, 1.8 - image, 3 * image + 1))
    ]
    near = ((image > 0.65) & (image < 0.85))[:, 0]  # the floor is far
    gained = apart[0] - (logits[:, 0] - logits[:, 1])
    assert gained[near].std() > 0.3
    assert torch.allclose(apart[1][near], apart[0][near], atol=5e-3)
    assert (apart[2] - apart[0])[near].abs().mean() < 0.02  # the variance added is not scaled


def test_the_trunk_says_how_much_brightness_counts() -> None:
    """Nothing in one half, twice in the other; as the weight alone before training."""
    layer, logits = Likelihood(TRUNK, cell=4), layers(32) / 4
    image = normal(logits, (0.6, 0.9), 0.1)
    plain = added(layer, image, logits) - logits
    torch.nn.init.constant_(layer.trust.weight, 10.0)
    trunk = torch.ones(1, TRUNK, 16, 16, 16)
    trunk[..., :8] = -1
    found = layer.blocks(image, space_to_depth(logits, logits.shape[1]), trunk)
    gained = depth_to_space(found, 2) - logits
    assert gained[..., :16].abs().max() < 1e-6
    assert torch.allclose(gained[..., 16:], 2 * plain[..., 16:], atol=1e-5)
    assert plain.std() > 0.3


def test_the_second_round_measures_where_the_first_has_put_the_tissues() -> None:
    """The steps of two rounds written out; without trust in brightness a second changes nothing."""
    logits = layers(16) / 40
    image = normal(logits, (0.6, 0.9), 0.1)
    one, two = (Likelihood(TRUNK, cell=2, rounds=rounds) for rounds in (1, 2))
    first, second = (added(layer, image, logits) for layer in (one, two))
    sampled, prior = image[..., ::2, ::2, ::2], logits[..., ::2, ::2, ::2]
    mean, factor, constant = two.normal(sampled, first[..., ::2, ::2, ::2])
    fits = factor * (sampled - mean).square() + constant
    expected = prior + two.weight * fits.clamp(min=FLOOR)
    assert torch.allclose(second[..., ::2, ::2, ::2], expected, atol=1e-5)
    assert (second - first).abs().max() > 0.1
    for layer in (one, two):
        torch.nn.init.constant_(layer.trust.bias, -30.0)
    assert torch.allclose(added(two, image, logits), added(one, image, logits), atol=1e-6)


def test_means_are_local() -> None:
    """The dark tissue of one end is brighter than the bright tissue of the other."""
    truth = layers(48)
    field = torch.linspace(1, 3, 48)[None, None, None, :, None]
    image = field * normal(truth, (0.3, 0.4), 0.0)
    unknown = open_voxels(48)
    assert share_right(Likelihood(TRUNK, cell=2), image, truth, unknown) > 0.97
    assert share_right(Likelihood(TRUNK, cell=24), image, truth, unknown) < 0.9


def test_what_was_not_measured_has_no_say() -> None:
    """Zeros beyond the field of view, whatever the trunk takes them for."""
    layer, truth = Likelihood(TRUNK, cell=2), layers(32)
    image, unknown = normal(truth, (0.5, 0.6), 0.01), open_voxels(32)
    image[..., 16:] = 0
    prior = truth.masked_fill(unknown, 0.0)
    other = prior.clone()
    other[:, 0, ..., 16:] = SURE
    one, two = (added(layer, image, logits)[..., :16] for logits in (prior, other))
    assert torch.allclose(one, two, atol=1e-4)
    right = one.argmax(1) == truth[..., :16].argmax(1)
    assert right[unknown[:, 0, ..., :16]].float().mean() > 0.99


@pytest.mark.parametrize("brightness", ["nothing", "noise"])
@pytest.mark.parametrize("logit", [-25.0, -200.0])
def test_a_tissue_that_is_nowhere_stays_finite(brightness: str, logit: float) -> None:
    image = (
        torch.zeros(1, 1, 16, 16, 16) if brightness == "nothing" else torch.rand(1, 1, 16, 16, 16)
    )
    logits = torch.zeros(1, 3, 16, 16, 16)
    logits[:, 2] = logit
    logits.requires_grad_()
    found = added(Likelihood(TRUNK, cell=2), image, logits)
    found.square().mean().backward()
    assert bool(torch.isfinite(found).all())
    assert bool(torch.isfinite(logits.grad).all())


def test_shares_of_the_exported_network_are_the_softmax(monkeypatch) -> None:
    """As their parts, also where a logit is far beyond what `exp` can hold."""
    logits = 30 * torch.randn(2, 6, 4, 5, 3)
    logits[0, 2] += 400
    expected = logits.softmax(dim=1)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert shares(logits) == pytest.approx(expected, abs=1e-6)
