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
    with torch.no_grad():
        low = target.masked_fill(target <= -BAND_MM, -torch.inf).clamp(max=BAND_MM)
        high = target.masked_fill(target >= BAND_MM, torch.inf).clamp(min=-BAND_MM)
        wanted = torch.minimum(torch.maximum(predicted, low), high)
        near = (1 + 4 * torch.exp(-((target / 2.5) ** 2))) * weight
        near /= 2 * near.sum()
    cost = F.smooth_l1_loss(predicted, wanted, reduction="none")
    return (cost * near).sum()


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
