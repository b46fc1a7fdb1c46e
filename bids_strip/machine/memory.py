"""How much memory a run takes, known before it begins: a measured model.

Peaks grow evenly with the voxels of the image, of the network's grid and of the templates.
``python -m benchmarks.memory`` measures them anew and prints the models below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np

from bids_strip.card import Card
from bids_strip.errors import MemoryLimitError
from bids_strip.nifti import (
    DAMAGED,
    are_intensities,
    promise_of,
    read_header,
    stored_type,
    volume_shape,
)
from bids_strip.recipe import Recipe


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """Peak memory of a process that strips one head.

    Attributes
    ----------
    base_mb
        Program, libraries and network.
    image_mb
        MB a megavoxel of the image.
    stored_mb
        MB a MB that the voxels take in the file, unpacked, beyond two bytes each.
    grid_mb
        MB a megavoxel of the network's grid around the whole field of view: an upper bound, for
        `conform` cuts the field to the head where the air is dark.
    template_mb
        MB a megavoxel of each template.
    """

    base_mb: float
    image_mb: float
    stored_mb: float
    grid_mb: float
    template_mb: float = 0.0


MODELS: Mapping[str, MemoryModel] = MappingProxyType({
    "mask": MemoryModel(base_mb=250, image_mb=38, stored_mb=1, grid_mb=140),
    "all": MemoryModel(base_mb=250, image_mb=40, stored_mb=1, grid_mb=140, template_mb=25),
})  # fmt: skip
"""Masks alone, and everything."""
MARGIN = 1.2
"""What is asked for is the model's peak times this: measured peaks lie within it."""
IDLE_MB = 250.0
"""Of a process between two runs."""


@dataclass(frozen=True, slots=True)
class HeadSize:
    """What a header says of an image's size.

    Attributes
    ----------
    shape
        Voxels along its axes.
    megavoxels
        All of them.
    stored_mb
        What they take in the file, unpacked.
    field_mm
        Extent along the axes, mm; zeros where the header does not tell.
    """

    shape: tuple[int, ...]
    megavoxels: float
    stored_mb: float
    field_mm: tuple[float, ...]


def head_size(path: Path) -> HeadSize | None:
    """The size of an image from its header, of which no more is read.

    Returns
    -------
    HeadSize or None
        None where there is no readable header, or none of one volume of intensities: reading the
        image will say why, and takes no memory for it.
    """
    try:
        header = read_header(path)
        promise = promise_of(header)
        shape = volume_shape(promise.shape)
        if shape is None or not are_intensities(stored_type(header)):
            return None
        zooms = nib.affines.voxel_sizes(header.get_best_affine())
    except DAMAGED:
        return None
    known = bool(np.isfinite(zooms).all())
    field_mm = (
        tuple(n * float(z) for n, z in zip(shape, zooms, strict=True)) if known else (0.0,) * 3
    )
    return HeadSize(shape, math.prod(shape) / 1e6, promise.stored_bytes / 1e6, field_mm)


def needed_mb(
    head: HeadSize, card: Card | None, recipe: Recipe, templates: Iterable[HeadSize | None] = ()
) -> float:
    """Memory that a process needs to strip a head, MB.

    Parameters
    ----------
    head
        Of the image.
    card
        Of the network, whose grid counts too; None where it stays closed. The model is of the
        embedded network; a larger one takes more.
    recipe
        What is made of it.
    templates
        Of the template spaces asked for.
    """
    model = MODELS["all" if recipe.pictured or recipe.spaces else "mask"]
    extra_mb = max(0.0, head.stored_mb - 2 * head.megavoxels)
    resampled = sum(template.megavoxels for template in templates if template)
    return MARGIN * (
        model.base_mb
        + model.image_mb * head.megavoxels
        + model.stored_mb * extra_mb
        + model.grid_mb * grid_megavoxels(head.field_mm, card)
        + model.template_mb * resampled
    )


def grid_megavoxels(field_mm: Sequence[float], card: Card | None) -> float:
    """Voxels of the network's grid around a field of view, in millions: an upper bound.

    Where the air is dark the field is cut to the head, which no header tells. No network, no grid.
    """
    if card is None:
        return 0.0
    step = min(card.zooms) * card.multiple
    return math.prod(math.ceil(mm / step) * card.multiple for mm in field_mm) / 1e6


def check_memory(
    path: Path, card: Card | None, recipe: Recipe, templates: Iterable[Path], memory_gb: float
) -> None:
    """Refuse a head that needs more memory than there is, before anything is read of it.

    Parameters
    ----------
    path
        The image.
    card, recipe
        As of `needed_mb`.
    templates
        Their images.
    memory_gb
        What the run may take.

    Raises
    ------
    MemoryLimitError
        Then.
    """
    head = head_size(path)
    if head is None:
        return
    needed_gb = needed_mb(head, card, recipe, map(head_size, templates)) / 1e3
    if needed_gb > memory_gb:
        raise MemoryLimitError(
            f"{path}: {'x'.join(map(str, head.shape))} voxels need {needed_gb:.3g} GB of memory, "
            f"{memory_gb:.3g} GB are free for this run; give more memory (--mem-gb says how much "
            "there is), fewer --nprocs, or a smaller image"
        )
