"""Likelihood: how well each voxel's brightness fits each tissue as it looks around there.

The trunk says what a voxel may be from where it lies and what is around it. This layer takes that
as a prior, measures mean and variance of each tissue's brightness nearby, and adds how likely the
voxel's own brightness is under each: rounds of expectation-maximisation (Wells et al. 1996,
doi:10.1109/42.511747; Van Leemput et al. 1999, doi:10.1109/42.811270), with gradients through them.
It needs no contrast to be known and follows the bias field, as its means are local: they are of
three cells a side, interpolated between the cells. One voxel of each block of 2x2x2 is measured: at
16 mm a cell and 2 mm a voxel, 1,728 for each mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.blocks import Pointwise, space_to_depth

VARIANCE = 1e-4
"""Added to the variance of a tissue: a standard deviation of .01 of the scaled brightness."""
FLOOR = -6.0
"""Least logarithm of a likelihood: where all tissues meet it, brightness tells nothing."""
WHOLE_SHARE = 0.02
"""How much the whole window counts beside a cell, for tissues that are not there."""
NOTHING = 1e-9
"""Added to volumes that are divided by."""


class Likelihood(nn.Module):
    """Adds each tissue's log-likelihood to its logit.

    Parameters
    ----------
    trunk
        Channels of the trunk at half the resolution.
    cell
        Side of the cells in which brightness is averaged, in blocks of 2x2x2 voxels.
    rounds
        How often the tissues are measured; the first time as the trunk sees them, then with the
        likelihoods of the round before.

    Notes
    -----
    The likelihoods have one weight for all tissues, so that brightness in other units (another gain
    of the scanner, inverted) adds the same to each and changes nothing. The trunk says for each
    block how much of it counts, none to twice: noise and thick slices blur what brightness tells.
    """

    def __init__(self, trunk: int, cell: int, rounds: int = 1) -> None:
        super().__init__()
        self.cell = cell
        self.rounds = rounds
        self.weight = nn.Parameter(torch.tensor([0.7]))
        self.trust = Pointwise(trunk, 1)
        nn.init.zeros_(self.trust.weight)
        nn.init.zeros_(self.trust.bias)  # type: ignore[arg-type]

    def normal(self, image: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normal distribution of each tissue's brightness around each voxel.

        Parameters
        ----------
        image : (N, 1, I, J, K)
            One voxel of each block. Where it is 0 nothing was measured.
        logits : (N, T, I, J, K)
            Of the same voxels.

        Returns
        -------
        mean, factor, constant : each (N, T, I, J, K)
            Its logarithm is ``factor * (brightness - mean)^2 + constant``, up to a number that is
            the same for all tissues.
        """
        share = shares(logits) * (image > 0).to(logits.dtype)
        weighted = share * image
        moments = F.avg_pool3d(torch.cat([share, weighted, weighted * image], dim=1), self.cell)
        moments = F.avg_pool3d(F.pad(moments, (1, 1) * 3), 3, stride=1)  # also of two cells a side
        moments = moments + WHOLE_SHARE * moments.mean(dim=(2, 3, 4), keepdim=True)
        volume, first, second = torch.chunk(moments, 3, dim=1)
        mean = first / (volume + NOTHING)
        variance = torch.relu(second / (volume + NOTHING) - mean * mean) + VARIANCE
        maps = [mean, -0.5 / variance, -0.5 * variance.log()]
        if self.cell > 1:
            maps = [
                F.interpolate(one, scale_factor=float(self.cell), mode="trilinear") for one in maps
            ]
        return maps[0], maps[1], maps[2]

    def blocks(self, image: Tensor, logits: Tensor, x: Tensor) -> Tensor:
        """Logits with the likelihoods, as blocks.

        Parameters
        ----------
        image : (N, 1, 2I, 2J, 2K)
        logits : (N, 8T, I, J, K)
            Before `training.blocks.depth_to_space`.
        x : (N, trunk, I, J, K)
        """
        weight = torch.relu(self.weight) * 2 * torch.sigmoid(self.trust(x).float())
        n, channels, *shape = logits.shape
        values = space_to_depth(image.float(), 1)[:, None]
        prior = logits.float().reshape(n, channels // 8, 8, *shape)
        sampled, place = values[:, :, 0], prior[:, :, 0]
        logit = place
        for _ in range(self.rounds - 1):
            logit = place + _fit(sampled, self.normal(sampled, logit), weight)
        normal = self.normal(sampled, logit)
        fit = _fit(values, tuple(one[:, :, None] for one in normal), weight[:, :, None])
        return (prior + fit).reshape(n, channels, *shape)


def _fit(values: Tensor, normal: tuple[Tensor, ...], weight: Tensor) -> Tensor:
    """The logarithms of the likelihoods of `values`, weighted, none below that of `FLOOR`.

    No weight may be below zero. It goes to what is smaller, the normal distributions' maps.
    """
    mean, factor, constant = normal
    fits = (weight * factor) * (values - mean).square() + weight * constant
    return torch.maximum(fits, weight * FLOOR)


def shares(logits: Tensor) -> Tensor:
    """Softmax over the labels, (N, T, I, J, K).

    For ONNX as its parts: onnxruntime's softmax moves the labels to the last axis and back.
    """
    if not torch.onnx.is_in_onnx_export():
        return logits.softmax(dim=1)
    powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)
