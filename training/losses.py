"""What the network is trained to minimise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.network import BAND_MM
from training.synthesis import Sample

LOST = 4.0
"""How much more a voxel of the brain's labels weighs that lies outside the predicted surface, for
each mm of its depth beneath theirs within `LOST_MM`: a mean hardly feels a corner that is lost."""
LOST_MM = (1.0, 5.0)
"""Shallower, errors to both sides stay alike; deeper counts as the last."""
TISSUE_WEIGHT = 1.0
"""Of the tissue's loss beside the distances'."""
TISSUE_DICE = 0.5
"""Of the tissues' Dice beside their cross-entropy."""
SMALL = 100.0
"""Voxels added to overlap and size: of a tissue that is not there, so many false ones cost half."""
NEAR_BRAIN_MM = 4.0
FAR_SHARE = 0.15
"""How much a voxel farther from the brain than that counts for the tissue."""


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """Parts of the loss, scalars; `total` is what is minimised."""

    distance: Tensor
    dice: Tensor
    tissue: Tensor

    @property
    def total(self) -> Tensor:
        """Weighted sum."""
        return self.distance + self.dice + TISSUE_WEIGHT * self.tissue


def distance_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Smooth L1 in mm, heavier near the surface and in lost brain, one-sided beyond the band.

    Parameters
    ----------
    predicted, target : (N, C, I, J, K), mm
        Negative inside; the first is of the brain's surface, the last of its labels'.
    weight : (N, 1, I, J, K)
        Of each voxel.
    """
    with torch.no_grad():
        low = target.masked_fill(target <= -BAND_MM, -torch.inf).clamp(max=BAND_MM)
        high = target.masked_fill(target >= BAND_MM, torch.inf).clamp(min=-BAND_MM)
        wanted = torch.minimum(torch.maximum(predicted, low), high)
        near = (1 + 4 * torch.exp(-((target / 2.5) ** 2))) * weight
        near /= 2 * near.sum()
        near[:, 0] *= 1 + LOST * _lost_mm(predicted[:, 0], target[:, -1])
    cost = F.smooth_l1_loss(predicted, wanted, reduction="none")
    return (cost * near).sum()


def _lost_mm(brain: Tensor, labels: Tensor) -> Tensor:
    """How deep beneath the labels' surface the brain's surface passes over a voxel, mm."""
    shallow, deepest = LOST_MM
    return (brain > 0) * (-labels - shallow).clamp(0.0, deepest - shallow)


def surface_dice_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice of the soft insides, ``sigmoid(-sdt / 1 mm)``."""
    p, t = torch.sigmoid(-predicted), torch.sigmoid(-target)
    dims = (0, 2, 3, 4)
    overlap = (p * t * weight).sum(dims)
    size = ((p + t) * weight).sum(dims)
    return 1 - (2 * overlap / size.clamp(min=1.0)).mean()


def tissue_loss(logits: Tensor, tissue: Tensor, brain_mm: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy, and of the brain's tissues the Dice (Isensee et al. 2021, nnU-Net).

    The brain and what lies next to it counts more than the rest of the window. Cross-entropy alone
    gives a doubtful voxel to the larger tissue, so that thick slices lose thin cortex.

    Parameters
    ----------
    logits : (N, 6, I, J, K)
    tissue : (N, I, J, K) int64
    brain_mm : (N, 1, I, J, K)
        Distance to the brain's surface.
    weight : (N, 1, I, J, K)
        Of each voxel.
    """
    entropy = F.cross_entropy(logits, tissue, reduction="none")[:, None]
    counts = weight * torch.where(brain_mm <= NEAR_BRAIN_MM, 1.0, FAR_SHARE)
    return (entropy * counts).sum() / counts.sum() + TISSUE_DICE * _tissue_dice_loss(
        logits, tissue, weight * (brain_mm <= NEAR_BRAIN_MM)
    )


def _tissue_dice_loss(logits: Tensor, tissue: Tensor, counts: Tensor) -> Tensor:
    """1 - mean Dice of the soft shares of grey matter, white matter and fluid, image by image."""
    dims = (2, 3, 4)
    p = logits.softmax(dim=1)[:, 1:4]
    t = torch.stack([tissue == label for label in (1, 2, 3)], dim=1).to(p.dtype)
    overlap = (p * t * counts).sum(dims)
    size = ((p + t) * counts).sum(dims)
    return 1 - ((2 * overlap + SMALL) / (size + SMALL)).mean()


def loss_of(sdt: Tensor, tissue: Tensor, sample: Sample) -> Loss:
    """All parts of the loss of one prediction."""
    return Loss(
        distance=distance_loss(sdt, sample.sdt, sample.weight),
        dice=surface_dice_loss(sdt, sample.sdt, sample.weight),
        tissue=tissue_loss(tissue, sample.tissue, sample.sdt[:, :1], sample.weight),
    )
