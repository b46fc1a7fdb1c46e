"""The network: a residual U-Net behind a space-to-depth stem, one pass from image to distance.

The image enters at the conformed zooms (2 mm); the trunk works at 4 mm and below, where a distance
field is still smooth, and the head returns to 2 mm. Each distance is the sum of a coarse map,
interpolated linearly, and a fine residual from depth-to-space: the linear part keeps flat regions
free of the checkerboard that depth-to-space alone leaves there.

At 2 mm a detail path goes beside it: filters of the image itself, each with a threshold that the
trunk sets voxel by voxel. What is seen at 2 mm alone (a sulcus, a thin layer of fluid) need not
pass through the few channels of a voxel at 4 mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SDT_CHANNELS = ("brain", "tissue")
TISSUE_CHANNELS = ("BG", "GM", "WM", "CSF", "bone", "soft")
SDT_SCALE_MM = 10.0
"""Millimetres per unit of the head's SDT output; keeps its weights of order one."""
BAND_MM = 10.0
"""Distances are asked for within this band; beyond it only the side matters."""
PERCENTILES = (1.0, 99.5)
CLIP = (0.0, 1.3)
"""How intensities are scaled before the network."""
EXPORT_FILTERS = 8
"""Filters of the detail path that onnxruntime holds at a time, at the resolution of the image."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Width and depth of the trunk, and what goes beside it.

    Attributes
    ----------
    widths
        Channels at 4, 8, 16, ... mm.
    encoder_blocks, decoder_blocks
        Residual blocks a level; the decoder has one level less.
    detail
        Filters of the image at the conformed zooms; 0 for none.
    """

    widths: tuple[int, ...] = (24, 32, 64, 96)
    encoder_blocks: tuple[int, ...] = (1, 2, 2, 2)
    decoder_blocks: tuple[int, ...] = (1, 1, 1)
    detail: int = 16

    @property
    def multiple(self) -> int:
        """Voxels (at the conformed zooms) that each side of the input is a multiple of."""
        return 1 << len(self.widths)


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
    """A 1x1x1 convolution, as a matrix product while training.

    With one thread torch leaves its fast convolutions aside for this kernel; in
    ``channels_last_3d`` the product needs no copy.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            return super().forward(x)
        y = F.linear(x.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
        return y.permute(0, 4, 1, 2, 3)


class ResidualBlock(nn.Module):
    """conv3 - norm - ReLU - conv3 - norm, added to the input, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = InstanceNorm(channels)
        self.second = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


def space_to_depth(x: Tensor) -> Tensor:
    """(N, C, 2I, 2J, 2K) -> (N, 8C, I, J, K)."""
    n, c, i, j, k = x.shape
    x = x.reshape(n, c, i // 2, 2, j // 2, 2, k // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * 8, i // 2, j // 2, k // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """(N, 8C, I, J, K) -> (N, C, 2I, 2J, 2K); undoes `space_to_depth`."""
    n, c, i, j, k = x.shape
    x = x.reshape(n, c // 8, 2, 2, 2, i, j, k)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // 8, i * 2, j * 2, k * 2)


def _smooth(x: Tensor) -> Tensor:
    """Twice the side by linear interpolation, voxel corners aligned (``align_corners=False``)."""
    return F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)


def _up(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer at twice the side, each voxel eight times.

    For ONNX as a transposed convolution, in which onnxruntime repeats voxels faster.
    """
    if not torch.onnx.is_in_onnx_export():
        return F.interpolate(layer(x), scale_factor=2.0, mode="nearest")
    assert isinstance(layer, Pointwise)
    weight = layer.weight.transpose(0, 1).expand(-1, -1, 2, 2, 2)
    return F.conv_transpose3d(x, weight, layer.bias, stride=2)


def _fine(layer: Pointwise, x: Tensor, parts: list[int]) -> tuple[Tensor, ...]:
    """A layer's channels as voxels of half the size, in parts of so many channels.

    For ONNX as transposed convolutions, which onnxruntime does three times faster than moving
    voxels about; the biases, one for each of the eight places, are weights of a channel of ones.
    """
    if not torch.onnx.is_in_onnx_export():
        return torch.split(depth_to_space(layer(x)), parts, dim=1)
    weight = layer.weight.reshape(sum(parts), 2, 2, 2, -1).permute(4, 0, 1, 2, 3)
    assert layer.bias is not None
    bias = layer.bias.reshape(1, sum(parts), 2, 2, 2)
    weights = torch.split(torch.cat([weight, bias]), parts, dim=1)
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    return tuple(F.conv_transpose3d(x, one, stride=2) for one in weights)


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

    def added(self, image: Tensor, x: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        """Add the output to parts of its channels, some filters at a time, as convolutions.

        Parameters
        ----------
        image : (N, 1, 2I, 2J, 2K)
        x : (N, trunk, I, J, K)
        parts : (N, n, 2I, 2J, 2K)
            As many channels in all as the output has.
        """
        filters = self.filters.out_channels
        first = list(range(0, filters, EXPORT_FILTERS))
        thresholds = _fine(self.thresholds, x, [min(EXPORT_FILTERS, filters - n) for n in first])
        for n, threshold in zip(first, thresholds, strict=True):
            some = slice(n, n + EXPORT_FILTERS)
            seen = F.relu(F.conv3d(image, self.filters.weight[some], padding=1) + threshold)
            weights = torch.split(self.out.weight[:, some], [part.shape[1] for part in parts])
            parts = tuple(
                part + F.conv3d(seen, weight) for part, weight in zip(parts, weights, strict=True)
            )
        return parts

    def blocks(self, image: Tensor, x: Tensor) -> Tensor:
        """The output before `depth_to_space`: two matrix products that move no voxels about."""
        n, _, i, j, k = x.shape
        thresholds = self.thresholds(x).permute(0, 2, 3, 4, 1).reshape(n * i * j * k, -1)
        seen = F.relu_(torch.addmm(thresholds, _patches(image), self._filters()))
        y = (seen @ self._out()).view(n, i, j, k, -1)
        return y.permute(0, 4, 1, 2, 3)

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


class StripNet(nn.Module):
    """Head image -> signed distances and tissue.

    Parameters
    ----------
    architecture
        Its size.

    Notes
    -----
    Input (N, 1, I, J, K) float32, intensities scaled as the card says, RAS axes, 2 mm; sides a
    multiple of ``architecture.multiple``. Output ``sdt`` (N, 2, I, J, K) float32 in mm, negative
    inside (brain surface, tissue surface) and ``tissue`` (N, 6, I, J, K) float32 logits.
    """

    def __init__(self, architecture: Architecture = Architecture()) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.widths
        channels = len(SDT_CHANNELS) + len(TISSUE_CHANNELS)
        self.stem = nn.Conv3d(8, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(w) for _ in range(n)))
            for w, n in zip(widths, architecture.encoder_blocks, strict=True)
        )
        self.downs = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.ups = nn.ModuleList(Pointwise(b, a) for a, b in pairwise(widths))
        self.decoders = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(w) for _ in range(n)))
            for w, n in zip(widths[:-1], architecture.decoder_blocks, strict=True)
        )
        self.coarse = Pointwise(widths[0], len(SDT_CHANNELS))
        self.fine = Pointwise(widths[0], channels * 8)
        self.detail = (
            Detail(widths[0], architecture.detail, channels) if architecture.detail else None
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(space_to_depth(image))
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x)
            if level < len(self.downs):
                skips.append(x)
                x = self.downs[level](x)
        for level in reversed(range(len(self.ups))):
            x = skips[level] + _up(self.ups[level], x)
            x = self.decoders[level](x)
        sdt, tissue = self._split(image, x)
        return (_smooth(self.coarse(x)) + sdt) * SDT_SCALE_MM, tissue

    def _split(self, image: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (less the coarse map) and tissue at the resolution of the image."""
        parts = [len(SDT_CHANNELS), len(TISSUE_CHANNELS)]
        if torch.onnx.is_in_onnx_export():
            sdt, tissue = _fine(self.fine, x, parts)
            if self.detail is not None:
                sdt, tissue = self.detail.added(image, x, sdt, tissue)
            return sdt, tissue
        blocks = self.fine(x)
        if self.detail is not None:
            blocks = blocks + self.detail.blocks(image, x)
        sdt, tissue = torch.split(depth_to_space(blocks), parts, dim=1)
        return sdt, tissue


def card_values(architecture: Architecture, zoom_mm: float) -> dict[str, Any]:
    """What a network's card says of its input and its outputs, as plain values."""
    distances = [
        {"name": "sdt", "channel": channel, "meaning": "sdt_mm", "role": role, "sign": 1,
         "offset_mm": 0.0, "band_mm": BAND_MM}
        for channel, role in enumerate(("brain", "brain_no_csf"))
    ]  # fmt: skip
    tissue = {"name": "tissue", "channel": None, "meaning": "logits", "role": "tissue",
              "labels": TISSUE_CHANNELS}  # fmt: skip
    return {
        "input": {
            "zooms_mm": [zoom_mm] * 3,
            "multiple": architecture.multiple,
            "axis_codes": "RAS",
            "intensity": {"percentiles": PERCENTILES, "clip": CLIP},
        },
        "outputs": [*distances, tissue],
    }


def count_macs(architecture: Architecture, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one pass over an input of `shape` voxels, convolutions only."""
    total = 0

    def count(module: nn.Module, _args: object, out: object) -> None:
        nonlocal total
        if isinstance(module, nn.Conv3d) and isinstance(out, Tensor):
            total += out.numel() * module.weight[0].numel()

    net = StripNet(architecture).to("meta")
    for module in net.modules():
        module.register_forward_hook(count)
    net(torch.empty((1, 1, *shape), device="meta"))
    if net.detail is not None:  # its convolutions at the input's zooms are matrix products here
        of_voxel = net.detail.filters.weight.numel() + net.detail.out.weight.numel()
        total += of_voxel * math.prod(shape)
    return total
