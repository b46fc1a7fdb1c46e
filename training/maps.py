"""Label maps, prepared once: what the generator draws images and targets from.

A map is brought to RAS axes and cropped to the head; its two surfaces are stored as distances at
2 mm, its labels at 1 mm as indices into `GROUPS`.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Bool3
from bids_strip.geometry import (
    CLOSING_MM,
    bounding_box,
    brain_region,
    filled,
    signed_distance,
)
from training.errors import TrainingError
from training.whole import written_whole

_BROKEN = (FileNotFoundError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for a file that is no archive of arrays, or a damaged one."""
REACH_MM = 6.0
"""R of DESIGN's surface: fluid within this distance of tissue belongs to the brain."""
SPINAL_MM = 12
"""So far below the stem's end fluid is left out where the stem is nearest; farther down, all."""
NEAREST_MM = 20
"""So far above the stem's end tissue may be what is nearest."""
DEFINITION = 1
"""Number of the definition of what is prepared: another one, and all maps are prepared anew.

Raise it when code changes what `prepare` gives: the surfaces (`region_of`, and what is called of
`bids_strip.geometry`), the crop, the axes. Changes of values in `made_from` tell of themselves.
"""
_FIRST = [1, 3.0, 12, 20]
"""`DEFINITION`, `CLOSING_MM`, `SPINAL_MM`, `NEAREST_MM` of maps whose digest says none of them."""
SDT_LIMIT_MM = 12.7
SDT_STEP_MM = 0.1
UNIT = (1.0, 1.0, 1.0)

HELD_OUT = tuple(f"training_seg_{n}" for n in (17, 18, 19, 20))
"""Maps that no training draws from: they evaluate."""

STEM = 16
FLUID = 24
GROUPS: dict[str, tuple[int, ...]] = {
    # name: FreeSurfer labels; left and right share a group, so they share an intensity
    "air": (0,),
    "white_matter": (2, 41),
    "cortex": (3, 42),
    "ventricle": (4, 5, 14, 15, 43, 44, 72),
    "cerebellar_white": (7, 46),
    "cerebellar_cortex": (8, 47),
    "thalamus": (10, 49),
    "caudate": (11, 50),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "brain_stem": (16,),
    "hippocampus": (17, 53),
    "amygdala": (18, 54, 26, 58, 136, 137, 163, 164),
    "fluid": (24,),
    "lesion": (25, 57),
    "ventral_dc": (28, 60, 85),
    "vessel": (30, 62),
    "cartilage": (502,),
    "eye": (506,),
    "soft": (507,),
    "eye_muscle": (508,),
    "mucosa": (509,),
    "skin": (511,),
    "cord": (512,),
    "vein": (514,),
    "bone": (515,),
    "marrow": (516,),
    "optic_nerve": (530,),
}
GROUP_INDEX = {name: index for index, name in enumerate(GROUPS)}
TISSUE_OF_GROUP: dict[str, int] = {
    # 0 BG 1 GM 2 WM 3 CSF 4 bone 5 soft tissue
    "air": 0,
    "white_matter": 2, "cerebellar_white": 2, "brain_stem": 2, "ventral_dc": 2, "lesion": 2,
    "pallidum": 1, "cortex": 1, "cerebellar_cortex": 1, "thalamus": 1, "caudate": 1,
    "putamen": 1, "hippocampus": 1, "amygdala": 1, "vessel": 1,
    "ventricle": 3, "fluid": 3,
    "bone": 4, "marrow": 4,
    "cartilage": 5, "eye": 5, "soft": 5, "eye_muscle": 5, "mucosa": 5, "skin": 5, "cord": 5,
    "vein": 5, "optic_nerve": 5,
}  # fmt: skip
_BRAIN_GROUPS = tuple(
    name for name in GROUPS
    if TISSUE_OF_GROUP[name] in (1, 2) or name == "ventricle"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainingMap:
    """One head, ready to draw from.

    Attributes
    ----------
    name
        Stem of the source file.
    groups : (I, J, K) uint8
        Index into `GROUPS`, 1 mm, RAS.
    sdt : (2, I/2, J/2, K/2) int8
        Distance to the brain surface and to the tissue surface at 2 mm (means of 2x2x2 voxels), in
        steps of `SDT_STEP_MM`.
    """

    name: str
    groups: NDArray[np.uint8]
    sdt: NDArray[np.int8]


def region_of(labels: NDArray[np.int16]) -> tuple[Bool3, Bool3]:
    """The brain region and the tissue region of a label map (RAS axes, 1 mm).

    Fluid whose nearest tissue is the stem is left out below the plane where the stem ends.
    """
    brain = np.isin(labels, [v for name in _BRAIN_GROUPS for v in GROUPS[name]])
    cut_k = int(np.flatnonzero((labels == STEM).any(axis=(0, 1)))[0])
    fluid = labels == FLUID
    low = (slice(None), slice(None), slice(max(cut_k - SPINAL_MM, 0), cut_k))
    seen = brain[..., : cut_k + NEAREST_MM]
    _, nearest = ndimage.distance_transform_edt(~seen, return_indices=True)
    by_stem = labels[tuple(nearest)] == STEM
    fluid[low] &= ~by_stem[low]
    fluid[..., : max(cut_k - SPINAL_MM, 0)] = False
    return brain_region(brain, fluid, zooms=UNIT, reach_mm=REACH_MM), filled(brain)


def prepare(path: Path) -> TrainingMap:
    """Read a label map and compute what the generator needs (about 15 s)."""
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj).astype(np.int16)
    labels = _largest_head(labels)
    brain, tissue = region_of(labels)
    sdt = np.stack([_halved(signed_distance(m, zooms=UNIT, limit_mm=SDT_LIMIT_MM, coarse_mm=1.0))
                    for m in (brain, tissue)])  # fmt: skip
    return TrainingMap(
        name=path.name.split(".")[0],
        groups=_group_lut()[labels],
        sdt=np.round(sdt / SDT_STEP_MM).astype(np.int8),
    )


def load_maps(folder: Path, cache: Path, names: list[str] | None = None) -> list[TrainingMap]:
    """All prepared maps of a folder, from the cache where they are in it already.

    A cached map that was made from another file or to another definition is made anew.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = _missing(folder, names or ())
    if missing:  # draws name maps by their place in the list
        raise FileNotFoundError(f"{folder}: no label maps {', '.join(missing)} there")
    maps = []
    for path in sorted(folder.glob("*.nii.gz")):
        name = path.name.split(".")[0]
        if names is not None and name not in names:
            continue
        maps.append(_cached(cache / f"{name}.npz", path) or _put(cache / f"{name}.npz", path))
    return maps


def check_there(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that lacks label maps, before hours are spent on those that are there.

    Raises
    ------
    TrainingError
        Then.
    """
    missing = _missing(folder, names)
    if missing:
        raise TrainingError(
            f"{folder}: no label maps {', '.join(missing)} there (.nii.gz); name label "
            f"maps so: {', '.join(HELD_OUT)} are held out, which export and evaluation need"
        )


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Which of some label maps a folder lacks."""
    return sorted({*names} - {path.name.split(".")[0] for path in folder.glob("*.nii.gz")})


def made_from(path: Path) -> str:
    """Short digest of what a prepared map is made from: the file, the surfaces, the groups.

    What came later to be in it is left out as long as it is `_FIRST`: maps of before stay good.
    """
    definition = [REACH_MM, SDT_LIMIT_MM, SDT_STEP_MM, list(GROUPS.items()), _BRAIN_GROUPS]
    later = [DEFINITION, CLOSING_MM, SPINAL_MM, NEAREST_MM]
    if later != _FIRST:
        definition += later
    found = hashlib.sha256(path.read_bytes())
    found.update(json.dumps(definition).encode())
    return found.hexdigest()[:16]


def _cached(stored: Path, path: Path) -> TrainingMap | None:
    """The prepared map if it is there, whole, and made from this file to these definitions."""
    try:
        with stored.open("rb") as file, np.load(file) as arrays:
            if "made_from" not in arrays or arrays["made_from"].item() != made_from(path):
                return None
            return TrainingMap(path.name.split(".")[0], arrays["groups"], arrays["sdt"])
    except _BROKEN:
        return None


def _put(stored: Path, path: Path) -> TrainingMap:
    """Prepare a map and put it into the cache."""
    digest, made = made_from(path), prepare(path)
    with written_whole(stored) as file:
        np.savez_compressed(file, groups=made.groups, sdt=made.sdt, made_from=digest)
    return made


def _group_lut() -> NDArray[np.uint8]:
    lut = np.zeros(600, dtype=np.uint8)
    for name, labels in GROUPS.items():
        lut[list(labels)] = GROUP_INDEX[name]
    return lut


def _largest_head(labels: NDArray[np.int16]) -> NDArray[np.int16]:
    """Drop specks in the air; crop to the head with a margin, sides even."""
    components, count = ndimage.label(labels > 0)
    if count > 1:
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        labels = np.where(components == sizes.argmax(), labels, 0).astype(np.int16)
    box = bounding_box(labels > 0, margin_mm=6.0, zooms=UNIT)
    even = tuple(slice(s.start, s.start + (s.stop - s.start) // 2 * 2) for s in box)
    return labels[even]


def _halved(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2x2x2 voxels."""
    i, j, k = array.shape
    blocks = array.reshape(i // 2, 2, j // 2, 2, k // 2, 2)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)
