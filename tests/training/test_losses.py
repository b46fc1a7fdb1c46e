"""The loss: nothing at the truth, one-sided beyond the band."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.losses import (  # noqa: E402
    BAND_MM,
    FAR_SHARE,
    SMALL,
    TISSUE_DICE,
    TISSUE_WEIGHT,
    distance_loss,
    loss_of,
    surface_dice_loss,
    tissue_loss,
)
from training.synthesis import Sample  # noqa: E402

pytestmark = pytest.mark.training
ONES = torch.ones(1, 1, 8, 8, 8)


def plane(offset: float = 0.0) -> torch.Tensor:
    """Two channels of distances to a plane, -24 to 24 mm."""
    x = torch.linspace(-24, 24, 8).reshape(1, 1, 8, 1, 1) + offset
    return x.expand(1, 2, 8, 8, 8).clone()


def test_nothing_at_the_truth() -> None:
    assert distance_loss(plane(), plane(), ONES) == 0


def test_beyond_the_band_only_the_side_counts() -> None:
    target = plane()
    far = target.abs() >= BAND_MM
    better = torch.where(far, target * 3, target)
    assert distance_loss(better, target, ONES) == 0
    clipped = torch.where(far, BAND_MM * torch.sign(target), target)
    assert distance_loss(clipped, target, ONES) == 0
    short = torch.where(far, (BAND_MM - 2) * torch.sign(target), target)
    assert distance_loss(short, target, ONES) > 0
    wrong = torch.where(far, -target, target)
    assert distance_loss(wrong, target, ONES) > distance_loss(short, target, ONES)


@pytest.mark.parametrize("error", [0.5, -0.5, 3.0])
def test_within_the_band_both_sides_count(error: float) -> None:
    target = torch.zeros(1, 2, 8, 8, 8)
    expected = (0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5) / 2  # half of smooth L1
    found = distance_loss(target + error, target, ONES)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("labels_mm", "times"), [(-0.5, 1.0), (-1.0, 1.0), (-2.0, 5.0), (-4.0, 13.0), (-9.0, 17.0)]
)
def test_lost_brain_weighs_by_its_depth_beneath_the_labels(labels_mm: float, times: float) -> None:
    target = torch.full((1, 2, 4, 4, 4), -3.0)
    target[:, 1] = labels_mm
    found = target.clone()
    found[:, 0] = 2.0  # outside the predicted surface, and 5 mm off
    kept = target.clone()
    kept[:, 0] = -8.0  # as far off, and inside
    one = torch.ones(1, 1, 4, 4, 4)
    ratio = float(distance_loss(found, target, one) / distance_loss(kept, target, one))
    assert ratio == pytest.approx(times, rel=1e-5)


def test_the_labels_own_surface_weighs_alike_on_both_sides() -> None:
    target = torch.full((1, 2, 4, 4, 4), -3.0)
    one = torch.ones(1, 1, 4, 4, 4)
    out, deeper = (target + torch.tensor([0.0, off]).reshape(1, 2, 1, 1, 1) for off in (5.0, -5.0))
    assert float(distance_loss(out, target, one)) == pytest.approx(
        float(distance_loss(deeper, target, one))
    )


def test_weights_leave_voxels_out() -> None:
    target = plane()
    bad = target.clone()
    bad[..., 4:] = 0
    weight = ONES.clone()
    weight[..., 4:] = 0
    assert distance_loss(bad, target, weight) == 0


def test_dice_of_the_truth_and_of_nothing() -> None:
    sharp = plane() * 10
    assert float(surface_dice_loss(sharp, sharp, ONES)) == pytest.approx(0, abs=1e-3)
    assert float(surface_dice_loss(-sharp, sharp, ONES)) == pytest.approx(1, abs=1e-3)


def test_dice_is_worse_the_farther_off_the_surface() -> None:
    """Of the truth itself it is not nothing: the insides are soft."""
    off = [float(surface_dice_loss(plane() + mm, plane(), ONES)) for mm in (-4, -2, 0, 2, 4)]
    assert off[0] > off[1] > off[2] + 0.01
    assert off[4] > off[3] > off[2] + 0.01


def test_all_parts() -> None:
    tissue = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    logits = torch.zeros(1, 6, 8, 8, 8)
    logits[:, 0] = 50
    sample = Sample(ONES, plane() * 10, tissue, ONES)
    loss = loss_of(plane() * 10, logits, sample)
    assert float(loss.distance) == 0
    assert float(loss.tissue) == pytest.approx(0, abs=1e-5)
    assert float(loss.total) == pytest.approx(0, abs=2e-3)
    uniform = loss_of(plane() * 10, torch.zeros(1, 6, 8, 8, 8), sample)
    inside = 4 * 64  # voxels in the brain
    dice = SMALL / (inside / 6 + SMALL)  # of three tissues that are not there
    assert float(uniform.tissue) == pytest.approx(
        1.7918 + TISSUE_DICE * (1 - dice),
        abs=1e-3,  # log 6
    )
    assert float(uniform.total) == pytest.approx(
        float(uniform.distance + uniform.dice + TISSUE_WEIGHT * uniform.tissue)
    )


def test_tissue_counts_in_the_brain_first() -> None:
    """The same mistake costs 1 / FAR_SHARE times as much inside as far outside."""
    brain_mm = torch.full((1, 1, 2, 2, 2), 30.0)
    brain_mm[..., 0] = -3.0
    truth = torch.zeros((1, 2, 2, 2), dtype=torch.int64)
    weight = torch.ones_like(brain_mm)

    def cost(place: int) -> float:
        logits = torch.zeros((1, 6, 2, 2, 2))
        logits[:, 0] = 40.0
        logits[:, 0, 0, 0, place], logits[:, 1, 0, 0, place] = 0.0, 40.0
        return float(tissue_loss(logits, truth, brain_mm, weight))

    dice = TISSUE_DICE * (1 - SMALL / (1 + SMALL)) / 3  # one voxel of a tissue that is not there
    assert (cost(0) - dice) / cost(1) == pytest.approx(1 / FAR_SHARE)
    assert cost(0) - dice == pytest.approx(40 / (4 + 4 * FAR_SHARE))


def test_a_small_tissue_counts_as_much_as_a_large_one() -> None:
    """Dice, image by image: fluid of 1,000 voxels lost beside white matter of 10,000 lost."""
    truth = torch.zeros((2, 16, 32, 32), dtype=torch.int64)
    truth[0].view(-1)[:1000], truth[1].view(-1)[:10_000] = 3, 2
    found = 30.0 * torch.nn.functional.one_hot(truth, 6).permute(0, 4, 1, 2, 3).float()
    inside = torch.full((2, 1, 16, 32, 32), -5.0)

    def cost(image: int) -> float:
        logits = found.clone()
        logits[image] = 0
        logits[image, 0] = 30.0
        entropy = torch.nn.functional.cross_entropy(logits, truth)
        return float(tissue_loss(logits, truth, inside, torch.ones_like(inside)) - entropy)

    lost = [1 - SMALL / (n + SMALL) for n in (1000, 10_000)]
    assert [cost(0), cost(1)] == pytest.approx([TISSUE_DICE * one / 6 for one in lost], abs=1e-3)
    wrong, seen = -found, (truth == 0)[:, None].float()  # the tissues lie where nothing counts
    wrong[:, 0] = 30.0
    assert float(tissue_loss(wrong, truth, inside, seen)) == pytest.approx(0, abs=1e-3)


def test_half_seen_tissue_found_as_it_is_costs_nothing() -> None:
    """Voxels outside the field of view count little, in overlap and size alike."""
    truth = torch.full((1, 16, 16, 32), 1, dtype=torch.int64)
    weight = torch.full((1, 1, 16, 16, 32), 0.05)
    weight[..., :4] = 1.0
    logits = torch.zeros((1, 6, 16, 16, 32))
    logits[:, 1] = 30.0
    inside = torch.full((1, 1, 16, 16, 32), -5.0)
    assert float(tissue_loss(logits, truth, inside, weight)) == pytest.approx(0, abs=1e-4)
