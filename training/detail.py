"""The detail path: filters of the image at the conformed zooms, beside the trunk."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.blocks import Pointwise, pointwise


class Detail(nn.Module):
    """Filters of the image, each with a threshold that the trunk sets for each voxel.

    Parameters
    ----------
    trunk
        Channels of the trunk at half the resolution.
    filters
        Of the image, 3 voxels a side.
    channels
        Of the output, which starts from zero: an untrained path changes nothing.
    """

    def __init__(self, trunk: int, filters: int, channels: int) -> None:
        super().__init__()
        self.filters = nn.Conv3d(1, filters, 3, padding=1, bias=False)
        self.thresholds = Pointwise(trunk, filters * 8)
        self.out = nn.Conv3d(filters, channels, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def seen(self, image: Tensor, x: Tensor) -> Tensor:
        """What the filters see above their thresholds, as blocks: (N, 8 filters, I, J, K).

        Parameters
        ----------
        image : (N, 1, 2I, 2J, 2K)
        x : (N, trunk, I, J, K)
        """
        thresholds, filters = self.thresholds(x), self._filters()
        if torch.onnx.is_in_onnx_export():
            of_blocks = filters.t().reshape(8 * self.filters.out_channels, 1, 4, 4, 4)
            return F.relu(F.conv3d(image, of_blocks, stride=2, padding=1) + thresholds)
        n, _, i, j, k = thresholds.shape
        thresholds = thresholds.permute(0, 2, 3, 4, 1).flatten(0, 3)
        seen = F.relu_(torch.addmm(thresholds, _patches(image), filters))
        return seen.view(n, i, j, k, -1).permute(0, 4, 1, 2, 3)

    def blocks(self, seen: Tensor, some: slice) -> Tensor:
        """Some of the output's channels before `depth_to_space`, from what `seen` returned."""
        return pointwise(seen, self._out()[some])

    def _filters(self) -> Tensor:
        """(64, 8 filters): what each voxel of a patch adds to each voxel of its inner block."""
        places = [
            F.pad(self.filters.weight[:, 0], (c, 1 - c, b, 1 - b, a, 1 - a))
            for a, b, c in product((0, 1), repeat=3)
        ]
        return torch.stack(places, dim=1).reshape(-1, 64).t()

    def _out(self) -> Tensor:
        """(8 channels, 8 filters, 1, 1, 1): each voxel of a block for itself."""
        weight = self.out.weight[:, :, 0, 0, 0]
        one = torch.eye(8, device=weight.device, dtype=weight.dtype)
        channels, filters = self.out.out_channels, self.out.in_channels
        blocks = torch.einsum("cf,pq->cpfq", weight, one)
        return blocks.reshape(8 * channels, 8 * filters, 1, 1, 1)


def _patches(image: Tensor) -> Tensor:
    """(blocks, 64): the 2x2x2 blocks of an image, each with the voxels around it."""
    patches = F.pad(image, (1, 1) * 3)
    for axis in (2, 3, 4):
        patches = patches.unfold(axis, 4, 2)
    return patches.reshape(-1, 64)
