"""Real heads with the masks of published networks: they choose and validate, never teach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.overlap import Agreement, agreement, common_box, surface_of, volume_ml
from bids_strip.domain import Bool3
from bids_strip.geometry import dice
from bids_strip.participant.predict import Predictor
from bids_strip.single import strip_image
from training.errors import TrainingError

SHELL_MM = 0.5
"""How far a surface may lie outside the shell between two references on average."""


@dataclass(frozen=True, slots=True)
class Head:
    """An image and its reference masks, by the name of the network that made them."""

    name: str
    image: Path
    references: tuple[tuple[str, Path], ...]


@dataclass(frozen=True, slots=True)
class HeadScore:
    """One head.

    Attributes
    ----------
    name
        Of the run.
    volume_ml
        Of our mask.
    agreements
        With each reference.
    between
        Mean Dice of the references with one another; 1 for a single one.
    """

    name: str
    volume_ml: float
    agreements: tuple[Agreement, ...]
    between: float

    @property
    def in_shell(self) -> bool:
        """True if our surface lies between the references', `SHELL_MM` given, on average."""
        signed = [a.signed_mm for a in self.agreements]
        return min(signed) <= SHELL_MM and max(signed) >= -SHELL_MM

    @property
    def mean_dice(self) -> float:
        """Of our Dice with each reference."""
        return float(np.mean([a.dice for a in self.agreements]))


def find_heads(data: Path) -> list[Head]:
    """Heads of ``data/<dataset>`` with masks in ``data/reference/<network>``.

    A mask is called ``<dataset>_<stem of the image>_mask.nii.gz``.
    """
    heads: dict[Path, list[tuple[str, Path]]] = {}
    for mask in sorted((data / "reference").glob("*/*_mask.nii.gz")):
        dataset, _, stem = mask.name.removesuffix("_mask.nii.gz").partition("_")
        for image in sorted((data / dataset).rglob(f"{stem}.nii*")):
            heads.setdefault(image, []).append((mask.parent.name, mask))
    return [Head(i.name.split(".")[0], i, tuple(found)) for i, found in sorted(heads.items())]


def heads_asked_for(data: Path | None) -> list[Head]:
    """`find_heads` of a folder that was asked for: at least one; none where no folder was.

    Raises
    ------
    TrainingError
        If no head with a reference is there.
    """
    if data is None:
        return []
    heads = find_heads(data)
    if not heads:
        raise TrainingError(
            f"{data}: no real heads to score, {_why_none(data)}; give the folder of "
            "<dataset>/.../<run>.nii.gz and reference/<network>/<dataset>_<run>_mask.nii.gz, "
            "or leave --data out"
        )
    return heads


def _why_none(data: Path) -> str:
    """What is missing where `find_heads` finds none."""
    if not data.is_dir():
        return "as there is no such folder"
    if not any((data / "reference").glob("*/*_mask.nii.gz")):
        return "as there are no masks in reference/*"
    return "as no image of the masks in reference/* is there"


def masked(predictor: Predictor, head: Head) -> nib.Nifti1Image:
    """The App's own way from an image to a mask, without writing anything."""
    return strip_image(head.image, predictor=predictor).mask


def dices(predictor: Predictor, heads: list[Head]) -> Iterator[tuple[str, float]]:
    """Name and mean Dice of each head: what a training logs."""
    for head in heads:
        mask = np.asarray(masked(predictor, head).dataobj) > 0
        yield head.name, float(np.mean([dice(mask, _read(path)) for _, path in head.references]))


def score_head(predictor: Predictor, head: Head) -> HeadScore:
    """Compare a head's mask with each of its references."""
    found = masked(predictor, head)
    mask = np.asarray(found.dataobj) > 0
    i, j, k = (float(z) for z in found.header.get_zooms()[:3])
    zooms = (i, j, k)
    others = {name: _read(path) for name, path in head.references}
    box = common_box([mask, *others.values()], zooms=zooms)
    ours = surface_of(mask[box], zooms=zooms)
    pairs = [dice(a, b) for a, b in combinations(others.values(), 2)]
    return HeadScore(
        name=head.name,
        volume_ml=volume_ml(mask, zooms=zooms),
        agreements=tuple(
            agreement(head.name, name, ours, surface_of(other[box], zooms=zooms))
            for name, other in others.items()
        ),
        between=float(np.mean(pairs)) if pairs else 1.0,
    )


def _read(path: Path) -> Bool3:
    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj) > 0
