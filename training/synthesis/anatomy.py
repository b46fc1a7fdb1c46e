"""Tissue: painted with its intensity, and changed beyond what the maps hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.maps import GROUP_INDEX
from training.synthesis.atrophy import Retreat
from training.synthesis.draws import Ellipsoid, SynthesisDraw
from training.synthesis.space import Shape, blurred, smooth_field

_GREY, _WHITE, _FLUID, _SOFT = 1, 2, 3, 5


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A head in the window, before it is scanned.

    Attributes
    ----------
    image : (1, 1, I, J, K)
    sdt : (1, 2, I, J, K), mm
        Brain surface, tissue surface.
    tissue : (1, I, J, K) int64
    """

    image: Tensor
    sdt: Tensor
    tissue: Tensor

    @property
    def brain_mm(self) -> Tensor:
        """(1, 1, I, J, K): distance to the brain surface."""
        return self.sdt[:, :1]


def painted(groups: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """(1, 1, I, J, K) intensities at 1 mm, averaged over 2x2x2 voxels (sides one less)."""
    means = torch.tensor(item.means, device=groups.device)
    image = torch.index_select(means, 0, groups.flatten().int()).reshape(groups.shape)
    if item.anatomy.fat is not None:
        fat, level = item.anatomy.fat
        third = tuple(-(-n // 3) for n in groups.shape)
        patches = (smooth_field(14, third, 1, random) > level).float()  # type: ignore[arg-type]
        fatty = F.interpolate(patches, size=tuple(groups.shape), mode="nearest")[0, 0] > 0
        where = (groups == GROUP_INDEX["soft"]) & fatty
        image = torch.where(where, means[GROUP_INDEX["skin"]] * 0.3 + fat * 0.7, image)
    for axis in range(3):
        length = image.shape[axis] - 1
        image = image.narrow(axis, 0, length) + image.narrow(axis, 1, length)
    return image[None, None] / 8


def altered(
    window: Window,
    groups: Tensor,
    moved: Retreat | None,
    item: SynthesisDraw,
    random: torch.Generator,
) -> Window:
    """All changes of anatomy, from the inside outwards.

    Parameters
    ----------
    window
        As the map has it, tissue where atrophy puts it.
    groups : (1, I, J, K)
        The map's groups in the window.
    moved
        The atrophy.
    item
        The draw.
    random
        Of the draw.
    """
    window = _with_large_ventricles(window, groups, item)
    window = _with_atrophy(window, moved, item)
    window = _with_lesions(window, item, random)
    window = _with_blobs(window, item, random)
    window = _with_texture(window, item, random)
    window = _with_dura(window, item, random)
    window = _with_scalp(window, item)
    return _with_extras(window, item, random)


def _shape(window: Window) -> Shape:
    i, j, k = window.image.shape[2:]
    return i, j, k


def _mixed(image: Tensor, value: float | Tensor, share: Tensor) -> Tensor:
    """`share` of a value, the rest of the image."""
    return image + share * (value - image)


def _with_large_ventricles(window: Window, groups: Tensor, item: SynthesisDraw) -> Window:
    """Ventricles blurred and cut at a low level; they stay 4 mm inside the brain."""
    if not item.anatomy.ventricles_mm:
        return window
    ventricle = (groups == GROUP_INDEX["ventricle"]).float()[:, None]
    sd = item.anatomy.ventricles_mm / item.zoom_mm
    grown = ((blurred(ventricle, sd) - 0.15) * 8).clamp(0, 1) * (window.brain_mm < -4.0)
    image = _mixed(window.image, item.means[GROUP_INDEX["ventricle"]], grown)
    tissue = torch.where(grown[:, 0] > 0.5, _FLUID, window.tissue)
    return Window(image, window.sdt, tissue)


def _with_atrophy(window: Window, moved: Retreat | None, item: SynthesisDraw) -> Window:
    """Fluid where tissue has drawn back; both surfaces as they are then."""
    if moved is None:
        return window
    rim = (0.5 + moved.new_mm / item.zoom_mm).clamp(0, 1) * (moved.old_mm < 1.0)
    image = _mixed(window.image, item.means[GROUP_INDEX["fluid"]], rim)
    bare = (moved.new_mm > 0)[:, 0] & (window.tissue >= _GREY) & (window.tissue <= _WHITE)
    tissue = torch.where(moved.emptied[:, 0] | bare, _FLUID, window.tissue)
    brain = moved.brain_mm(window.brain_mm, item.placement.mean_scale)
    return Window(image, torch.cat([brain, moved.new_mm], dim=1), tissue)


def _with_lesions(window: Window, item: SynthesisDraw, random: torch.Generator) -> Window:
    if item.anatomy.lesions is None:
        return window
    level, value = item.anatomy.lesions
    spots = (smooth_field(22, _shape(window), 1, random) - level).mul(3).clamp(0, 1)
    white = (window.tissue == _WHITE).float()[:, None]
    return Window(_mixed(window.image, value, spots * white), window.sdt, window.tissue)


def _inside(one: Ellipsoid, item: SynthesisDraw, device: torch.device) -> Tensor:
    """(I, J, K): positive within an ellipsoid, about mm from its surface."""
    axes = [
        (torch.arange(n, device=device) - f * n) * (item.zoom_mm / r)
        for n, f, r in zip(item.shape, one.centre, one.radii_mm, strict=True)
    ]
    i, j, k = torch.meshgrid(*axes, indexing="ij")
    return (1 - (i**2 + j**2 + k**2).sqrt()) * min(one.radii_mm)


def _with_blobs(window: Window, item: SynthesisDraw, random: torch.Generator) -> Window:
    """Tumours, and cavities full of fluid, with uneven borders."""
    if not item.anatomy.blobs:
        return window
    image, tissue = window.image, window.tissue
    uneven = 2.5 * smooth_field(20, _shape(window), 1, random)
    for one in item.anatomy.blobs:
        share = torch.sigmoid(_inside(one, item, image.device) + uneven) * (window.brain_mm < 0)
        value = item.means[GROUP_INDEX["fluid"]] if one.fluid else one.value
        image = _mixed(image, value, share * 0.9)
        if one.fluid:
            tissue = torch.where(share[:, 0] > 0.5, _FLUID, tissue)
    return Window(image, window.sdt, tissue)


def _with_texture(window: Window, item: SynthesisDraw, random: torch.Generator) -> Window:
    """Tissue is not flat: smooth and fine multiplicative variation."""
    fine = torch.randn(window.image.shape, generator=random, device=window.image.device)
    smooth = smooth_field(24, _shape(window), 1, random)
    image = window.image * (1 + item.anatomy.texture_sd * (0.7 * fine + 1.2 * smooth))
    return Window(image, window.sdt, window.tissue)


def _with_dura(window: Window, item: SynthesisDraw, random: torch.Generator) -> Window:
    if item.anatomy.dura is None:
        return window
    value, depth, level = item.anatomy.dura
    patches = smooth_field(16, _shape(window), 1, random)
    shell = torch.exp(-(((window.brain_mm - depth) / 1.2) ** 2)) * (patches > level)
    return Window(_mixed(window.image, value, shell * 0.8), window.sdt, window.tissue)


def _with_scalp(window: Window, item: SynthesisDraw) -> Window:
    """A layer more around the head: fat, hair, a cap."""
    if item.anatomy.scalp is None:
        return window
    thickness_mm, value = item.anatomy.scalp
    head = (window.tissue > 0).float()[:, None]
    reach = max(1, round(thickness_mm / item.zoom_mm))
    grown = F.max_pool3d(head, (1, 2 * reach + 1, 1), 1, (0, reach, 0))
    grown = F.max_pool3d(grown, (2 * reach + 1, 1, 1), 1, (reach, 0, 0))
    grown = F.max_pool3d(grown, (1, 1, 2 * reach + 1), 1, (0, 0, reach))
    layer = grown - head
    tissue = torch.where(layer[:, 0] > 0.5, _SOFT, window.tissue)
    return Window(_mixed(window.image, value, layer), window.sdt, tissue)


def _with_extras(window: Window, item: SynthesisDraw, random: torch.Generator) -> Window:
    """Shapes that are in no map, outside the brain."""
    image = window.image
    outside = (window.brain_mm - 1.0).clamp(0, 1)
    for one in item.anatomy.strays:
        share = torch.sigmoid(_inside(one, item, image.device))[None, None]
        image = _mixed(image, one.value, share * outside)
    if item.anatomy.clutter is not None:
        cells, level, value = item.anatomy.clutter
        shapes = (smooth_field(cells, _shape(window), 1, random) - level).mul(4).clamp(0, 1)
        image = _mixed(image, value, shapes * outside)
    return Window(image, window.sdt, window.tissue)
