"""What programs do to an image after the scan: strip, deface, mask, quantise, scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.network import CLIP
from training.synthesis.draws import SynthesisDraw
from training.synthesis.space import smooth_field

CLEAR_MM = 2.0
"""Between the brain and the plane before which a face is removed."""


def processed(
    image: Tensor, brain_mm: Tensor, tissue: Tensor, item: SynthesisDraw, random: torch.Generator
) -> Tensor:
    """Air zeroed or filled with noise, face removed, head stripped.

    Parameters
    ----------
    image, brain_mm : (1, 1, I, J, K)
    tissue : (1, I, J, K)
    item, random
        The draw and its noise.
    """
    doing = item.processing
    if doing.zero_air or doing.background:
        air = F.avg_pool3d((tissue == 0).float()[:, None], 3, stride=1, padding=1) > 0.95
        air = air & (brain_mm > 2.0)
        image = image * ~air
        if doing.background:
            noise = torch.randn(image.shape, generator=random, device=image.device).abs()
            image = image + doing.background * noise * air
    image = _defaced(image, brain_mm <= 0, item, random)
    if doing.stripped_margin_mm is not None:
        ragged = doing.ragged_mm * smooth_field(24, item.shape, 1, random)
        image = image * (brain_mm + ragged <= doing.stripped_margin_mm)
    return image


def _defaced(image: Tensor, brain: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """Replace what lies before and below a plane in front of the brain, as defacing tools do."""
    if item.processing.face is None:
        return image
    hit = torch.nonzero(brain[0, 0])
    if not hit.numel():
        return image
    angle, margin, fill = item.processing.face
    low, high = hit.amin(0), hit.amax(0)
    j = torch.arange(item.shape[1], device=image.device)[:, None] - high[1]
    k = torch.arange(item.shape[2], device=image.device)[None] - (low[2] + high[2]) / 2
    slope = math.tan(math.radians(angle))
    before_mm = (j * slope - k) * (item.zoom_mm * math.cos(math.radians(angle)))
    nearest = float(before_mm[brain[0, 0].any(dim=0)].amax()) + CLEAR_MM
    clear = (before_mm <= max(margin + 20.0, nearest))[None, None, None]
    filled = image * clear
    if fill == 1:
        noise = torch.rand(image.shape, generator=random, device=image.device)
        return filled + 0.5 * noise * ~clear
    return filled if fill == 0 else filled + 0.3 * ~clear


def scaled(image: Tensor, seen: Tensor, item: SynthesisDraw) -> Tensor:
    """Percentiles to 0 and 1, clip, gamma, levels; zero outside the field of view."""
    values = image[seen]
    values = values[:: max(1, values.numel() // 60000) | 1]  # odd: no plane of voxels is left out
    shares = torch.tensor(item.processing.percentiles, device=image.device) / 100
    low, high = torch.quantile(values, shares)
    image = ((image - low) / (high - low).clamp(min=1e-3)).clamp(*CLIP)
    image = image**item.processing.gamma
    if item.processing.levels:
        image = (image * item.processing.levels).round() / item.processing.levels
    return image * seen
