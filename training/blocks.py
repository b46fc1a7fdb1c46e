"""What the network is built of: norm, residual block, ways between resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

THIN = 8
"""Up to so many channels `thin` is the faster way in onnxruntime."""


class InstanceNorm(nn.Module):
    """Instance normalisation that keeps ``channels_last_3d``.

    On the CPU, batch normalisation in training mode is the same arithmetic image by image, and
    unlike `torch.nn.InstanceNorm3d` does not copy the tensor out of its memory layout.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export() or x.is_cuda:
            return F.instance_norm(x, weight=self.weight, bias=self.bias)
        images = [
            F.batch_norm(one, None, None, self.weight, self.bias, training=True)
            for one in torch.split(x, 1)
        ]
        return images[0] if len(images) == 1 else torch.cat(images)


class Pointwise(nn.Conv3d):
    """A 1x1x1 convolution by `pointwise`, of which some output channels may be asked for."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x: Tensor, some: slice | None = None) -> Tensor:
        assert self.bias is not None
        if some is None:
            return pointwise(x, self.weight, self.bias)
        return pointwise(x, self.weight[some], self.bias[some])


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1x1 convolution, as a matrix product while training.

    With one thread torch leaves its fast convolutions aside for this kernel; in
    ``channels_last_3d`` the product needs no copy.
    """
    if torch.onnx.is_in_onnx_export():
        return F.conv3d(x, weight, bias)
    y = F.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1), bias)
    return y.permute(0, 4, 1, 2, 3)


class ResidualBlock(nn.Module):
    """conv3 - norm - ReLU - conv3 - norm, added to the input, ReLU.

    Parameters
    ----------
    channels
        Of input and output.
    inner
        Between the two convolutions.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, inner, 3, padding=1, bias=False)
        self.first_norm = InstanceNorm(inner)
        self.second = nn.Conv3d(inner, channels, 3, padding=1, bias=False)
        self.second_norm = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(thin(self.first, x)))
        return F.relu(x + self.second_norm(self.second(y)))


def thin(layer: nn.Conv3d, x: Tensor) -> Tensor:
    """A 3x3x3 convolution, whose output may have few channels.

    For ONNX as one of 3x3x1, with an output channel for each place along the last axis, and one of
    1x1x3 that adds these: onnxruntime then copies a third as much for its matrix product, which
    costs more than the product where the channels are few.
    """
    channels = layer.out_channels
    if channels > THIN or not torch.onnx.is_in_onnx_export():
        return layer(x)  # type: ignore[no-any-return]
    of_places = torch.cat(torch.split(layer.weight, 1, dim=4))
    adds = torch.eye(3 * channels).reshape(3, channels, -1).permute(1, 2, 0)[:, :, None, None]
    y = F.conv3d(x, of_places, padding=(1, 1, 0))
    return F.conv3d(y, adds, padding=(0, 0, 1))


def space_to_depth(x: Tensor, channels: int) -> Tensor:
    """(N, channels, 2I, 2J, 2K) -> (N, 8 channels, I, J, K).

    For ONNX as a convolution, which onnxruntime does faster than moving voxels about.
    """
    if torch.onnx.is_in_onnx_export():
        return F.conv3d(x, _places(channels), stride=2, groups=channels)
    n, _, i, j, k = x.shape
    x = x.reshape(n, channels, i // 2, 2, j // 2, 2, k // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, channels * 8, i // 2, j // 2, k // 2)


def depth_to_space(x: Tensor, channels: int) -> Tensor:
    """(N, 8 channels, I, J, K) -> (N, channels, 2I, 2J, 2K); undoes `space_to_depth`.

    For ONNX as a transposed convolution, which onnxruntime does faster than moving voxels about.
    """
    if torch.onnx.is_in_onnx_export():
        return F.conv_transpose3d(x, _places(channels), stride=2, groups=channels)
    n, _, i, j, k = x.shape
    x = x.reshape(n, channels, 2, 2, 2, i, j, k)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, channels, i * 2, j * 2, k * 2)


def _places(channels: int) -> Tensor:
    """(8 channels, 1, 2, 2, 2): each voxel of a block by itself."""
    return torch.eye(8).reshape(8, 1, 2, 2, 2).repeat(channels, 1, 1, 1, 1)


def smooth(x: Tensor) -> Tensor:
    """Twice the side by linear interpolation, voxel corners aligned (``align_corners=False``)."""
    return F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)


def up(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer at twice the side, each voxel eight times.

    For ONNX as a transposed convolution, in which onnxruntime repeats voxels faster.
    """
    if not torch.onnx.is_in_onnx_export():
        return F.interpolate(layer(x), scale_factor=2.0, mode="nearest")
    assert isinstance(layer, Pointwise)
    weight = layer.weight.transpose(0, 1).expand(-1, -1, 2, 2, 2)
    return F.conv_transpose3d(x, weight, layer.bias, stride=2)
