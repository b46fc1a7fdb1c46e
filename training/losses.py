"""What the network is trained to minimise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.network import BAND_MM
from training.synthesis import Sample


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """Parts of the loss, scalars; `total` is what is minimised."""

    distance: Tensor
    dice: Tensor
    tissue: Tensor

    @property
    def total(self) -> Tensor:
        """Weighted sum."""
        return self.distance + self.dice + 0.3 * self.tissue


def distance_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Smooth L1 in mm, heavier near the surface, one-sided beyond the band.

    Parameters
    ----------
    predicted, target : (N, C, I, J, K), mm
        Negative inside.
    weight : (N, 1, I, J, K)
        Of each voxel.
    """
    bounded = target.clamp(-BAND_MM, BAND_MM)
    error = predicted - bounded
    error = torch.where(target >= BAND_MM, error.clamp(max=0), error)
    error = torch.where(target <= -BAND_MM, error.clamp(min=0), error)
    near = 1 + 4 * torch.exp(-((bounded / 2.5) ** 2))
    cost = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
    total = near * weight
    return (cost * total).sum() / total.sum() / 2


def surface_dice_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice of the soft insides, ``sigmoid(-sdt / 1 mm)``."""
    p, t = torch.sigmoid(-predicted), torch.sigmoid(-target)
    dims = (0, 2, 3, 4)
    overlap = (p * t * weight).sum(dims)
    size = ((p + t) * weight).sum(dims)
    return 1 - (2 * overlap / size.clamp(min=1.0)).mean()


def loss_of(sdt: Tensor, tissue: Tensor, sample: Sample) -> Loss:
    """All parts of the loss of one prediction."""
    entropy = F.cross_entropy(tissue, sample.tissue, reduction="none")[:, None]
    return Loss(
        distance=distance_loss(sdt, sample.sdt, sample.weight),
        dice=surface_dice_loss(sdt, sample.sdt, sample.weight),
        tissue=(entropy * sample.weight).sum() / sample.weight.sum(),
    )
