"""The network: a residual U-Net behind a space-to-depth stem, one pass from image to distance.

The image enters at the conformed zooms (2 mm); the trunk works at 4 mm and below, where a distance
field is still smooth, and the head returns to 2 mm. Each distance is the sum of a coarse map,
interpolated linearly, and a fine residual from depth-to-space: the linear part keeps flat regions
free of the checkerboard that depth-to-space alone leaves there.

At 2 mm a detail path goes beside it: filters of the image itself, each with a threshold that the
trunk sets voxel by voxel. What is seen at 2 mm alone (a sulcus, a thin layer of fluid) need not
pass through the few channels of a voxel at 4 mm. Last, each tissue's logit gets the likelihood of
the voxel's brightness (`training.likelihood`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from training.blocks import (
    Pointwise,
    ResidualBlock,
    depth_to_space,
    smooth,
    space_to_depth,
    up,
)
from training.detail import Detail
from training.likelihood import Likelihood

SDT_CHANNELS = ("brain", "tissue")
TISSUE_CHANNELS = ("BG", "GM", "WM", "CSF", "bone", "soft")
SDT_SCALE_MM = 10.0
"""Millimetres per unit of the head's SDT output; keeps its weights of order one."""
BAND_MM = 10.0
"""Distances are asked for within this band; beyond it only the side matters."""
PERCENTILES = (1.0, 99.5)
CLIP = (0.0, 1.3)
"""How intensities are scaled before the network."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Width and depth of the trunk, and what goes beside it.

    Attributes
    ----------
    widths
        Channels at 4, 8, 16, ... mm.
    encoder_blocks, decoder_blocks
        Residual blocks a level; the decoder has one level less.
    encoder_inner, decoder_inner
        Channels between the two convolutions of these blocks, from the first level on; as many as
        the level has where none are given.
    detail
        Filters of the image at the conformed zooms; 0 for none.
    likelihood
        Rounds in which the tissues' logits get the likelihoods of the brightness; 0 for none.
    """

    widths: tuple[int, ...] = (24, 32, 64, 96)
    encoder_blocks: tuple[int, ...] = (1, 2, 2, 2)
    decoder_blocks: tuple[int, ...] = (1, 1, 1)
    encoder_inner: tuple[int, ...] = (8,)
    decoder_inner: tuple[int, ...] = (20,)
    detail: int = 8
    likelihood: int = 2

    @property
    def multiple(self) -> int:
        """Voxels (at the conformed zooms) that each side of the input is a multiple of."""
        return 1 << len(self.widths)


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
        self.encoders = _levels(widths, architecture.encoder_inner, architecture.encoder_blocks)
        self.downs = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.ups = nn.ModuleList(Pointwise(b, a) for a, b in pairwise(widths))
        self.decoders = _levels(
            widths[:-1], architecture.decoder_inner, architecture.decoder_blocks
        )
        self.coarse = Pointwise(widths[0], len(SDT_CHANNELS))
        self.fine = Pointwise(widths[0], channels * 8)
        self.detail = (
            Detail(widths[0], architecture.detail, channels) if architecture.detail else None
        )
        self.likelihood = (
            Likelihood(widths[0], max(1, architecture.multiple // 4), architecture.likelihood)
            if architecture.likelihood
            else None
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(image)
        sdt, tissue = self._split(image, x)
        return (smooth(self.coarse(x)) + sdt) * SDT_SCALE_MM, tissue

    def trunk(self, image: Tensor) -> Tensor:
        """What both outputs come from: (N, widths[0], I/2, J/2, K/2)."""
        x: Tensor = self.stem(space_to_depth(image, 1))
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x)
            if level < len(self.downs):
                skips.append(x)
                x = self.downs[level](x)
        for level in reversed(range(len(self.ups))):
            x = skips[level] + up(self.ups[level], x)
            x = self.decoders[level](x)
        return x

    def _split(self, image: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (less the coarse map) and tissue at the resolution of the image.

        Each by itself: what both together take is more than a cache holds.
        """
        seen = None if self.detail is None else self.detail.seen(image, x)
        distances = 8 * len(SDT_CHANNELS)
        sdt = self._blocks(x, seen, slice(distances))
        tissue = self._blocks(x, seen, slice(distances, None))
        if self.likelihood is not None:
            tissue = self.likelihood.blocks(image, tissue, x)
        return depth_to_space(sdt, len(SDT_CHANNELS)), depth_to_space(tissue, len(TISSUE_CHANNELS))

    def _blocks(self, x: Tensor, seen: Tensor | None, some: slice) -> Tensor:
        """Some output channels, as blocks."""
        blocks: Tensor = self.fine(x, some)
        if self.detail is None or seen is None:
            return blocks
        return blocks + self.detail.blocks(seen, some)


def _levels(
    widths: tuple[int, ...], inner: tuple[int, ...], blocks: tuple[int, ...]
) -> nn.ModuleList:
    """The residual blocks of each level."""
    within = inner + widths[len(inner) :]
    return nn.ModuleList(
        nn.Sequential(*(ResidualBlock(width, between) for _ in range(n)))
        for width, between, n in zip(widths, within, blocks, strict=True)
    )


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
    """Multiply-adds of one pass over an input of `shape` voxels: those of the convolutions.

    The detail path counts by voxels; as blocks, as it is exported, it also multiplies zeros.
    """
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
