"""The detail path: filters of the image at the conformed zooms, beside the trunk."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.blocks import Pointwise

EXPORT_FILTERS = 8
"""Filters of the detail path that onnxruntime holds at a time, at the resolution of the image."""


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

    def blocks(self, image: Tensor, x: Tensor) -> Tensor:
        """The output before `depth_to_space`, (N, 8 channels, I, J, K).

        Parameters
        ----------
        image : (N, 1, 2I, 2J, 2K)
        x : (N, trunk, I, J, K)
        """
        if torch.onnx.is_in_onnx_export():
            return self._convolved(image, x)
        n, _, i, j, k = x.shape
        y = (self.seen(image, x) @ self._out()).view(n, i, j, k, -1)
        return y.permute(0, 4, 1, 2, 3)

    def seen(self, image: Tensor, x: Tensor) -> Tensor:
        """What the filters see above their thresholds, (N I J K, 8 filters); images as `blocks`."""
        thresholds = self.thresholds(x).permute(0, 2, 3, 4, 1).flatten(0, 3)
        return F.relu_(torch.addmm(thresholds, _patches(image), self._filters()))

    def _convolved(self, image: Tensor, x: Tensor) -> Tensor:
        """The matrix products as convolutions, some filters at a time."""
        filters, channels = self.filters.out_channels, self.out.out_channels
        of_blocks = self._filters().t().reshape(8 * filters, 1, 4, 4, 4)
        out = self._out().t().reshape(8 * channels, 8 * filters, 1, 1, 1)
        weight, bias = self.thresholds.weight, self.thresholds.bias
        assert bias is not None
        parts = []
        for first in range(0, filters, EXPORT_FILTERS):
            some = slice(8 * first, 8 * min(first + EXPORT_FILTERS, filters))
            thresholds = F.conv3d(x, weight[some], bias[some])
            seen = F.relu(F.conv3d(image, of_blocks[some], stride=2, padding=1) + thresholds)
            parts.append(F.conv3d(seen, out[:, some]))
        return sum(parts[1:], parts[0])

    def _filters(self) -> Tensor:
        """(64, 8 filters): what each voxel of a patch adds to each voxel of its inner block."""
        places = [
            F.pad(self.filters.weight[:, 0], (c, 1 - c, b, 1 - b, a, 1 - a))
            for a, b, c in product((0, 1), repeat=3)
        ]
        return torch.stack(places, dim=1).reshape(-1, 64).t()

    def _out(self) -> Tensor:
        """(8 filters, 8 channels): each voxel of a block for itself."""
        weight = self.out.weight[:, :, 0, 0, 0]
        one = torch.eye(8, device=weight.device, dtype=weight.dtype)
        return torch.einsum("cf,pq->fpcq", weight, one).reshape(-1, 8 * weight.shape[0])


def _patches(image: Tensor) -> Tensor:
    """(blocks, 64): the 2x2x2 blocks of an image, each with the voxels around it."""
    patches = F.pad(image, (1, 1) * 3)
    for axis in (2, 3, 4):
        patches = patches.unfold(axis, 4, 2)
    return patches.reshape(-1, 64)
