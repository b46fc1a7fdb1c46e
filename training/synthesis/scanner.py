"""The scan: bias, resolution, noise, artefacts, field of view."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.synthesis.draws import SynthesisDraw
from training.synthesis.space import Shape, blurred, smooth_field

Box = tuple[tuple[int, int], ...]
LEAST_VOXELS = 8
"""Sides of a field of view that is still an image."""


def acquired(image: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """Bias field, resolution, artefacts and noise, in the order a scanner adds them."""
    scan = item.scan
    shape: Shape = item.shape
    bias = smooth_field(scan.bias_cells, shape, 1, random)
    image = image * torch.exp(scan.bias_sd * bias)
    image = blurred(image, scan.blur_sd_mm / item.zoom_mm)
    if scan.slice_mm:
        image = _resolved(image, item.zoom_mm / scan.slice_mm, (scan.slice_axis,))
    if scan.coarse_mm:
        image = _resolved(image, item.zoom_mm / scan.coarse_mm, (0, 1, 2))
    if scan.ghost is not None:
        axis, parts, share = scan.ghost
        image = image + share * torch.roll(image, item.shape[axis] // parts, 2 + axis)
    if scan.ripple is not None:
        image = image + _ripple(item, image.device)
    image = _noisy(image, item, random)
    if scan.inverted is not None:
        image = (scan.inverted * image.amax() - image).clamp(min=0)
    return image


def _resolved(image: Tensor, factor: float, axes: tuple[int, ...]) -> Tensor:
    """Averaged to coarse voxels along some axes and interpolated back."""
    if factor >= 1:
        return image
    shape = list(image.shape[2:])
    fewer = [max(8, round(n * factor)) if a in axes else n for a, n in enumerate(shape)]
    coarse = image
    for axis in axes:
        coarse = _averaged(coarse, 2 + axis, fewer[axis])
    return F.interpolate(coarse, size=shape, mode="trilinear", align_corners=False)


def _averaged(image: Tensor, axis: int, fewer: int) -> Tensor:
    """Means over so many equal intervals along an axis, which may share a voxel between them.

    Unlike those of `interpolate`'s ``area``, which are whole voxels that overlap.
    """
    length = image.shape[axis]
    edge = torch.arange(fewer + 1, device=image.device) * (length / fewer)
    voxel = torch.arange(length, device=image.device)
    upper = torch.minimum(edge[1:, None], voxel + 1.0)
    shares = (upper - torch.maximum(edge[:-1, None], voxel)).clamp(min=0) * (fewer / length)
    means: Tensor = torch.tensordot(image, shares, dims=([axis], [1]))
    return means.movedim(-1, axis)


def _ripple(item: SynthesisDraw, device: torch.device) -> Tensor:
    """A wave through the whole field, as one bad point of k-space leaves it."""
    if item.scan.ripple is None:
        return torch.zeros((), device=device)
    cycles, phase, share = item.scan.ripple
    axes = [
        torch.arange(n, device=device) * (2 * math.pi * c / n)
        for n, c in zip(item.shape, cycles, strict=True)
    ]
    i, j, k = torch.meshgrid(*axes, indexing="ij")
    return share * torch.cos(i + j + k + phase)[None, None]


def _noisy(image: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """Magnitude of a noisy complex signal (Gudbjartsson and Patz 1995), after averaging.

    Averaging native voxels into one of the window leaves the noise's floor, sqrt(pi / 2) of its
    standard deviation where there is no signal, and less of its fluctuation.
    """
    noise = torch.randn((2, *image.shape[1:]), generator=random, device=image.device)
    sd = item.scan.noise_sd
    left, gone = item.scan.noise_left, math.sqrt(1 - item.scan.noise_left**2)
    noise = noise * (sd * left)
    floor = (math.pi / 2) * (sd * gone) ** 2
    return ((image + noise[:1]) ** 2 + noise[1:] ** 2 + floor).sqrt()


def field_box(item: SynthesisDraw, brain: Tensor) -> Box:
    """First and last voxel of the field of view along each axis; all where nearly none is left."""
    box = []
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        hit = torch.nonzero(brain.amax(dim=other)).flatten().tolist() or [0, item.shape[axis] - 1]
        low = max(hit[0] - round(item.scan.cuts_mm[2 * axis] / item.zoom_mm), 0)
        high = hit[-1] + round(item.scan.cuts_mm[2 * axis + 1] / item.zoom_mm)
        high = min(high, item.shape[axis] - 1)
        box.append((low, high) if high - low >= LEAST_VOXELS else (0, item.shape[axis] - 1))
    return tuple(box)


def seen_in(box: Box, shape: Shape, device: torch.device) -> Tensor:
    """(1, 1, I, J, K) bool: what the scanner saw."""
    seen = torch.ones((1, 1, *shape), dtype=torch.bool, device=device)
    for axis, (low, high) in enumerate(box):
        index = torch.arange(shape[axis], device=device)
        view = [1, 1, 1, 1, 1]
        view[2 + axis] = -1
        seen = seen & ((index >= low) & (index <= high)).reshape(view)
    return seen


def wrapped(image: Tensor, item: SynthesisDraw, box: Box) -> Tensor:
    """Fold what lies outside the field of view into it, along the drawn axis."""
    axis = item.scan.wrap
    if axis is None:
        return image
    length = image.shape[2 + axis]
    low, high = box[axis]
    field = high - low + 1
    inside = image.narrow(2 + axis, low, field).clone()
    above, below = min(length - 1 - high, field), min(low, field)
    if above > 0:
        inside.narrow(2 + axis, 0, above).add_(image.narrow(2 + axis, high + 1, above))
    if below > 0:
        part = image.narrow(2 + axis, low - below, below)
        inside.narrow(2 + axis, field - below, below).add_(part)
    folded = torch.zeros_like(image)
    folded.narrow(2 + axis, low, field).copy_(inside)
    return folded
