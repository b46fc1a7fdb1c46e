"""One image and its targets from a map and a draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_strip.domain import Bool3
from training.maps import (
    GROUPS,
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    TISSUE_OF_GROUP,
    TrainingMap,
)
from training.network import TISSUE_CHANNELS
from training.synthesis.anatomy import Window, altered, painted
from training.synthesis.atrophy import origin as origin_of
from training.synthesis.atrophy import retreat
from training.synthesis.draws import SynthesisDraw
from training.synthesis.ranges import FAR_MM
from training.synthesis.scanner import acquired, field_box, seen_in, wrapped
from training.synthesis.software import processed, scaled
from training.synthesis.space import coordinates, needed, sampled

UNSEEN_WEIGHT = 0.05
_INSIDE = (1, 2, 3)
"""Grey matter, white matter, fluid."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A rendered window, or several of one shape.

    Attributes
    ----------
    image : (N, 1, I, J, K) float32
        Scaled as the card says.
    sdt : (N, 2, I, J, K) float32
        mm, negative inside: brain surface, tissue surface; `FAR_MM` where it is not known.
    tissue : (N, I, J, K) int64
        0 BG, 1 GM, 2 WM, 3 CSF, 4 bone, 5 soft tissue.
    weight : (N, 1, I, J, K) float32
        1 inside the simulated field of view, less outside.
    """

    image: Tensor
    sdt: Tensor
    tissue: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A training map on a device.

    Attributes
    ----------
    groups : (I, J, K) uint8
    tissue : (I-1, J-1, K-1) uint8
        What most of 2x2x2 voxels are, at the corner between them: an image's voxel is their mean.
    counts : (3, I-1, J-1, K-1) uint8
        How many of the 2x2x2 are grey matter, white matter, fluid.
    sdt : (1, 2, I/2, J/2, K/2) int8
        In steps of `SDT_STEP_MM`.
    centre : (3,)
        Middle of the brain's box in 1 mm voxels.
    """

    groups: Tensor
    tissue: Tensor
    counts: Tensor
    sdt: Tensor
    centre: Tensor


def on_device(source: TrainingMap, device: torch.device | str = "cpu") -> Source:
    """A map's arrays as tensors, once for all draws from it."""
    groups = torch.from_numpy(source.groups).to(device)
    sdt = torch.from_numpy(source.sdt).to(device)
    inside = torch.nonzero(sdt[0] <= 0).float()
    tissue = _tissue_lut(groups.device)[groups.long()]
    counts = torch.stack([_count(tissue, label) for label in _INSIDE])
    return Source(groups, _most(tissue), counts, sdt[None], inside.amin(0) + inside.amax(0) + 0.5)


def render(source: TrainingMap | Source, item: SynthesisDraw, device: str = "cpu") -> Sample:
    """Make the image and the targets of a draw.

    Parameters
    ----------
    source
        The map that ``item.map_index`` stands for; a `Source` is used where it is.
    item
        The draw. The same one gives the same bytes on one device; devices differ in their noise.
    device
        Where to compute when `source` is a map.
    """
    held = on_device(source, device) if isinstance(source, TrainingMap) else source
    random = torch.Generator(device=held.groups.device)
    random.manual_seed(item.seed)
    window = _placed(held, item, random)
    box = field_box(item, window.brain_mm[0, 0] <= 0)
    image = wrapped(acquired(window.image, item, random), item, box)
    image = processed(image, window.brain_mm, window.tissue, item, random)
    seen = seen_in(box, item.shape, image.device)
    image = scaled(image, seen, item)
    weight = UNSEEN_WEIGHT + (1 - UNSEEN_WEIGHT) * seen.float()
    return Sample(image, window.sdt, window.tissue, weight)


def looked_up(source: TrainingMap, item: SynthesisDraw, values: Bool3) -> Bool3:
    """Values of the map's voxels where the voxels of a draw's window lie; atrophy moves none.

    Parameters
    ----------
    source, item
        As of `render`.
    values : (I, J, K) bool
        Of the map's voxels; False beyond them.

    Returns
    -------
    (I', J', K') bool
        Of the window's.
    """
    random = torch.Generator()
    random.manual_seed(item.seed)
    index = coordinates(item, on_device(source).centre, random)
    held = torch.from_numpy(values)[None, None].float()
    return np.asarray(sampled(held, index, "nearest", "zeros")[0, 0].numpy() > 0)


def _placed(source: Source, item: SynthesisDraw, random: torch.Generator) -> Window:
    """The map in the window, painted, its anatomy changed."""
    index = coordinates(item, source.centre, random)
    low, high = needed(index, source.groups.shape)
    crop = source.groups[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    origin = torch.tensor(low, device=crop.device)
    air = item.means[0]  # also beyond the map, which ends a little way from the head
    paint = painted(crop, item, random) - air
    sdt = _distances(source, item, index)
    moved = retreat(sdt, item, random)
    if moved is not None:
        index = _within(origin_of(index, moved, item.zoom_mm), index, origin, crop.shape)
    image = sampled(paint, index - origin - 0.5, "bilinear", "zeros") + air
    found = sampled(crop[None, None].float(), index - origin, "nearest", "zeros")[0].long()
    tissue = _tissue(source, (low, high), index - origin - 0.5)
    return altered(Window(image, sdt, tissue), found, moved, item, random)


def _within(found: Tensor, index: Tensor, origin: Tensor, shape: torch.Size) -> Tensor:
    """Positions that atrophy took out of what is held of the map, on its edge; others as they are.

    Where a window reaches beyond the map its air is not the map's edge.
    """
    last = origin + torch.tensor(shape, device=origin.device) - 1
    inside = ((index >= origin) & (index <= last)).all(dim=-1, keepdim=True)
    return torch.where(inside, torch.minimum(torch.maximum(found, origin), last), index)


def _tissue(source: Source, crop: tuple[list[int], list[int]], index: Tensor) -> Tensor:
    """(1, I, J, K): what most of a window's voxel is.

    Of the brain's tissues by shares between the map's voxels, as the image's brightness is; else
    what most of the nearest voxel is.
    """
    where = tuple(slice(a, b) for a, b in zip(*crop, strict=True))
    most = sampled(source.tissue[where][None, None].float(), index, "nearest", "zeros")[0].long()
    counts = source.counts[(slice(None), *where)][None].float()
    shares = sampled(counts, index, "bilinear", "zeros")
    top, label = shares.max(dim=1)
    return torch.where(top >= 8 - shares.sum(dim=1), label + _INSIDE[0], most)


def _distances(source: Source, item: SynthesisDraw, index: Tensor) -> Tensor:
    """(1, 2, I, J, K): the map's distances in the window, in mm of the window."""
    sdt = sampled(source.sdt.float(), (index - 0.5) / 2, "bilinear", "border")
    beyond = sdt.abs() > SDT_LIMIT_MM / SDT_STEP_MM - 0.5
    scale = SDT_STEP_MM * item.placement.mean_scale
    return torch.where(beyond, sdt.sign() * FAR_MM, sdt * scale)


def _tissue_lut(device: torch.device) -> Tensor:
    values = [TISSUE_OF_GROUP[name] for name in GROUPS]
    return torch.tensor(values, device=device, dtype=torch.uint8)


def _most(tissue: Tensor) -> Tensor:
    """The commonest of each 2x2x2 voxels, sides one less; of two that are, the earlier one."""
    best = torch.zeros([n - 1 for n in tissue.shape], dtype=torch.uint8, device=tissue.device)
    most = torch.zeros_like(best)
    for label in range(len(TISSUE_CHANNELS)):
        count = _count(tissue, label)
        more = count > best
        best, most = torch.where(more, count, best), torch.where(more, label, most)
    return most


def _count(tissue: Tensor, label: int) -> Tensor:
    """How many of each 2x2x2 voxels have a label, uint8, sides one less."""
    count = (tissue == label).to(torch.uint8)
    for axis in range(3):
        length = count.shape[axis] - 1
        count = count.narrow(axis, 0, length) + count.narrow(axis, 1, length)
    return count
