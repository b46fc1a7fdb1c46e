"""From window to map: where each window voxel looks, and smooth random fields."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.synthesis.draws import Placement, SynthesisDraw

Shape = tuple[int, int, int]


def smooth_field(cells: int, shape: Shape, channels: int, random: torch.Generator) -> Tensor:
    """(1, channels, *shape) of unit normal values on a coarse lattice, interpolated."""
    field = torch.randn((1, channels, cells, cells, cells), generator=random, device=random.device)
    return F.interpolate(field, size=shape, mode="trilinear", align_corners=True)


def coordinates(item: SynthesisDraw, centre: Tensor, random: torch.Generator) -> Tensor:
    """(I, J, K, 3): position of each window voxel in the map, 1 mm voxels."""
    placement = item.placement
    axes = [
        (torch.arange(n, device=random.device) - (n - 1) / 2) * item.zoom_mm - s
        for n, s in zip(item.shape, placement.shift_mm, strict=True)
    ]
    mm = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    mm = mm + _elastic(placement, item.shape, random)
    return mm @ _affine(placement).to(random.device).T.to(mm.dtype) + centre


def _affine(placement: Placement) -> Tensor:
    """(3, 3): window mm -> map mm, about the centre."""
    a, b, c = (math.radians(v) for v in placement.rotation_deg)
    rx = torch.tensor([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    ry = torch.tensor([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    rz = torch.tensor([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    shear = torch.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = placement.shear
    scale = torch.diag(torch.tensor([1.0 / s for s in placement.scale]))
    if placement.flip:
        scale[0, 0] *= -1
    return rx @ ry @ rz @ shear @ scale


def _elastic(placement: Placement, shape: Shape, random: torch.Generator) -> Tensor:
    """(I, J, K, 3) displacement in mm: all lattices brought to the finest, then to the window."""
    finest = max(cells for cells, _ in placement.elastic_mm)
    lattice = (finest, finest, finest)
    total = torch.stack(
        [smooth_field(n, lattice, 3, random) * sd for n, sd in placement.elastic_mm]
    )
    field = F.interpolate(total.sum(0), size=shape, mode="trilinear", align_corners=True)
    return field[0].permute(1, 2, 3, 0)


def sampled(volume: Tensor, index: Tensor, mode: str, padding: str) -> Tensor:
    """Values of (1, C, I, J, K) at voxel positions (I', J', K', 3)."""
    size = torch.tensor(volume.shape[2:], device=volume.device, dtype=index.dtype)
    unit = (2 * index / (size - 1) - 1).flip(-1)[None]
    return F.grid_sample(volume, unit, mode=mode, padding_mode=padding, align_corners=True)


def needed(index: Tensor, shape: torch.Size) -> tuple[list[int], list[int]]:
    """The part of the map that the window looks at (at least 8 voxels a side)."""
    flat = index.reshape(-1, 3)
    low = (flat.amin(0).floor().long() - 1).clamp(min=0)
    high = flat.amax(0).ceil().long() + 3
    size = torch.tensor(shape, device=index.device)
    low = torch.minimum(low, size - 8)
    high = torch.minimum(torch.maximum(high, low + 8), size)
    return low.tolist(), high.tolist()


def blurred(image: Tensor, sd: float) -> Tensor:
    """Gaussian of `sd` voxels along each axis of (1, 1, I, J, K), of what the window holds.

    Sums of shifted copies: with one channel and one thread that is faster than a convolution.
    """
    if sd < 0.2:
        return image
    reach = max(1, math.ceil(2.5 * sd))
    taps = [math.exp(-0.5 * (n / sd) ** 2) for n in range(-reach, reach + 1)]
    for axis in (2, 3, 4):
        length = image.shape[axis]
        blur = torch.zeros_like(image)
        within = torch.zeros(length, device=image.device)
        for n, tap in zip(range(-reach, reach + 1), taps, strict=True):
            kept = length - abs(n)
            if kept > 0:
                part = image.narrow(axis, max(n, 0), kept)
                blur.narrow(axis, max(-n, 0), kept).add_(part, alpha=tap)
                within.narrow(0, max(-n, 0), kept).add_(tap)
        image = blur / within.view([-1 if a == axis else 1 for a in range(image.ndim)])
    return image
