"""Failures put into a head: into its image, or into what the network says of it.

Words:

place
    Where a voxel lies in the coarse reference's frame, mm; a leak or a loss is put there.
kind
    Failures that the same reasons fit, see `benchmarks.qc.FITTING`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Bool3, Conformed, Float3, Float4, Prediction, Volume, Zooms
from bids_strip.registration.pose import fitted
from bids_strip.registration.reference import Reference

GM, SOFT = 1, 5
"""Labels that a network that fails gives what it takes for brain, and for none."""
LEAST_ML = 4.0
"""A leak or a loss of less is none: the part does not lie in the field of view."""
LEAST_MM = 3.0
"""A flip that moves the surface less, in the mean, is none."""
_FAT_MM = 4.0
_SHIFT_MM = 6.0
_LEAK_MM = 14.0
_PATCH_MM = 35.0


@dataclass(frozen=True, eq=False)
class Found:
    """What the network says of an untouched head, and where that lies.

    Attributes
    ----------
    prediction
        On the conformed grid.
    zooms
        Of that grid, mm.
    place : (3, I, J, K) float32
        Reference mm of each voxel.
    seen : (I, J, K) bool
        What lies in the field of view.
    """

    prediction: Prediction
    zooms: Zooms
    place: NDArray[np.float32]
    seen: Bool3


@dataclass(frozen=True, eq=False)
class Image:
    """An untouched head as it was read, and its mask.

    Attributes
    ----------
    volume
        On its own grid.
    mask : (I, J, K) bool
        The App's.
    """

    volume: Volume
    mask: Bool3


Draw = np.random.Generator
Region = Callable[[NDArray[np.float32], Draw], Float3]
"""Distance to a region, reference mm, negative inside, at each place."""


@dataclass(frozen=True, slots=True)
class MaskFault:
    """A failure of the network.

    Attributes
    ----------
    name
        For the table.
    kind
        See above.
    make
        What the network says instead; None where the failure cannot be had in this head.
    """

    name: str
    kind: str
    make: Callable[[Found, Draw], Prediction | None]


@dataclass(frozen=True, slots=True)
class ImageFault:
    """A failure of the image.

    Attributes
    ----------
    name, kind
        As in `MaskFault`.
    make
        The volume instead.
    """

    name: str
    kind: str
    make: Callable[[Image, Draw], Volume]


def found_in(conformed: Conformed, prediction: Prediction, reference: Reference) -> Found:
    """Place each voxel in the reference's frame."""
    affine = np.diag([*conformed.zooms, 1.0])
    pose = fitted(prediction.brain_mm, affine, reference)
    place = placed(conformed.data.shape, affine, pose)
    return Found(prediction, conformed.zooms, place, in_view(conformed))


def in_view(conformed: Conformed) -> Bool3:
    """(I, J, K): voxels whose centre lies in the native image."""
    frame = conformed.frame
    sides = []
    for axis, count in enumerate(conformed.data.shape):
        own = frame.firsts[axis] + frame.steps[axis] * np.arange(count)
        sides.append((own > -0.5) & (own < frame.native_shape[frame.axes[axis]] - 0.5))
    i, j, k = sides
    return np.asarray(i[:, None, None] & j[None, :, None] & k)


def placed(shape: tuple[int, ...], affine: Affine, pose: Affine) -> NDArray[np.float32]:
    """(3, I, J, K): reference mm of each voxel of a grid."""
    back = np.linalg.inv(pose) @ affine
    index = np.indices(shape, dtype=np.float32)
    moved = np.tensordot(back[:3, :3].astype(np.float32), index, axes=1)
    return np.asarray(moved + back[:3, 3].astype(np.float32)[:, None, None, None])


# regions, by the places of the held-out label maps' structures in the reference's frame ----------


def _ball(place: NDArray[np.float32], centre: tuple[float, ...], radius: float) -> Float3:
    return np.asarray(np.linalg.norm(place - _column(centre), axis=0) - radius, np.float32)


def _capsule(
    place: NDArray[np.float32], start: tuple[float, ...], end: tuple[float, ...], radius: float
) -> Float3:
    """Distance to a ball that moves along a line."""
    way = np.subtract(end, start)
    here = place - _column(start)
    share = np.clip(np.tensordot(way, here, axes=1) / (way @ way), 0, 1)
    off = here - way[:, None, None, None] * share
    return np.asarray(np.linalg.norm(off, axis=0) - radius, np.float32)


def _column(point: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(point, np.float32)[:, None, None, None]


def _side(rng: Draw) -> float:
    return float(rng.choice([-1.0, 1.0]))


def eye(place: NDArray[np.float32], rng: Draw) -> Float3:
    """One eye and the orbit behind it, as far as the frontal lobe."""
    x = 32.0 * _side(rng)
    return _capsule(place, (0.7 * x, 48.0, -20.0), (x, 81.0, -27.0), 13.0)


def neck(place: NDArray[np.float32], _rng: Draw) -> Float3:
    """Cord and what surrounds it, 4 cm down from the stem."""
    return _capsule(place, (0.0, -4.0, -64.0), (0.0, -10.0, -108.0), 14.0)


def temporal_pole(place: NDArray[np.float32], rng: Draw) -> Float3:
    """The front of one temporal lobe."""
    return _ball(place, (41.0 * _side(rng), 42.0, -32.0), 20.0)


def cerebellum(place: NDArray[np.float32], _rng: Draw) -> Float3:
    """What lies below the tentorium and behind the stem."""
    radii = _column((54.0, 34.0, 31.0))
    scaled = np.linalg.norm((place - _column((0.0, -33.0, -53.0))) / radii, axis=0)
    return np.asarray((scaled - 1) * float(radii.min()), np.float32)


# failures of the network --------------------------------------------------------------------


def leak(region: Region, *, tissue: bool = False) -> Callable[[Found, Draw], Prediction | None]:
    """The mask holds a region too; with `tissue` the network takes it for grey matter as well."""

    def make(found: Found, rng: Draw) -> Prediction | None:
        beyond = region(found.place, rng)
        faulty = _moved(found.prediction, lambda mm: np.minimum(mm, beyond))
        return _taken_for(faulty, found, GM if tissue else None)

    return make


def loss(region: Region, *, tissue: bool = False) -> Callable[[Found, Draw], Prediction | None]:
    """The mask lacks a region; with `tissue` the network takes it for soft tissue as well."""

    def make(found: Found, rng: Draw) -> Prediction | None:
        missing = -region(found.place, rng)
        faulty = _moved(found.prediction, lambda mm: np.maximum(mm, missing))
        return _taken_for(faulty, found, SOFT if tissue else None)

    return make


def scalp(*, tissue: bool = False) -> Callable[[Found, Draw], Prediction | None]:
    """The mask grows through the skull into the scalp, somewhere on the upper half."""

    def make(found: Found, rng: Draw) -> Prediction | None:
        angle, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.9)
        flat = np.sqrt(1 - height**2)
        centre = (66 * flat * np.cos(angle), 84 * flat * np.sin(angle), -6 + 70 * height)
        distance = _ball(found.place, centre, 0.0)
        growth = _LEAK_MM * np.maximum(1 - (distance / _PATCH_MM) ** 2, 0)
        faulty = _moved(found.prediction, lambda mm: mm - growth)
        return _taken_for(faulty, found, GM if tissue else None)

    return make


def grown(by_mm: float) -> Callable[[Found, Draw], Prediction | None]:
    """The whole surface lies farther out, or in where negative."""
    return lambda found, _: _moved(found.prediction, lambda mm: mm - by_mm)


def shifted(by_mm: float) -> Callable[[Found, Draw], Prediction | None]:
    """The mask lies beside the brain, along any axis to any side."""

    def make(found: Found, rng: Draw) -> Prediction | None:
        axis = int(rng.integers(3))
        by = [0.0, 0.0, 0.0]
        by[axis] = _side(rng) * by_mm / found.zooms[axis]
        return _moved(found.prediction, lambda mm: ndimage.shift(mm, by, order=1, mode="nearest"))

    return make


def flipped(axis: int) -> Callable[[Found, Draw], Prediction | None]:
    """The mask was turned over in the network's grid; the tissues were not."""

    def make(found: Found, _rng: Draw) -> Prediction | None:
        faulty = _moved(found.prediction, lambda mm: np.flip(mm, axis))
        inside = faulty.brain_mm <= 0
        rim = inside & ~ndimage.binary_erosion(inside)
        moved_mm = float(np.abs(found.prediction.brain_mm[rim]).mean())
        return faulty if moved_mm >= LEAST_MM else None

    return make


def _moved(prediction: Prediction, change: Callable[[Float3], NDArray[np.floating]]) -> Prediction:
    """Both surfaces altered the same way."""
    bare = prediction.no_csf_mm
    return replace(
        prediction,
        brain_mm=np.ascontiguousarray(change(prediction.brain_mm), dtype=np.float32),
        no_csf_mm=None if bare is None else np.ascontiguousarray(change(bare), dtype=np.float32),
    )


def _taken_for(faulty: Prediction, found: Found, label: int | None) -> Prediction | None:
    """The same with the label of what changed sides; None if that is next to nothing."""
    changed = (faulty.brain_mm <= 0) != (found.prediction.brain_mm <= 0)
    if np.count_nonzero(changed & found.seen) * float(np.prod(found.zooms)) / 1000 < LEAST_ML:
        return None
    if label is None or faulty.shares is None:
        return faulty
    shares: Float4 = faulty.shares.copy()
    shares[:, changed] = 0.0
    shares[label, changed] = 1.0
    return replace(faulty, shares=shares)


# failures of the image ----------------------------------------------------------------------


def half_empty(image: Image, rng: Draw) -> Volume:
    """Zeros on one side of the middle of the brain, along any axis to any side."""
    axis = int(rng.integers(3))
    others = tuple(a for a in range(3) if a != axis)
    hit = np.flatnonzero(image.mask.any(axis=others))
    middle = int(hit[0] + hit[-1]) // 2
    side = slice(None, middle) if rng.random() < 0.5 else slice(middle, None)
    data = image.volume.data.copy()
    np.moveaxis(data, axis, 0)[side] = 0
    return replace(image.volume, data=data)


def turned_over(direction: str) -> Callable[[Image, Draw], Volume]:
    """The header calls one end of an axis by the name of the other, ``AP`` or ``IS``."""

    def make(image: Image, _rng: Draw) -> Volume:
        codes = nib.orientations.aff2axcodes(image.volume.grid.affine)
        axis = next(a for a, code in enumerate(codes) if code in direction)
        return replace(image.volume, data=np.ascontiguousarray(np.flip(image.volume.data, axis)))

    return make


def noise(image: Image, rng: Draw) -> Volume:
    """Nothing but noise, as a magnitude image has it."""
    real, imaginary = rng.normal(0, 100, (2, *image.volume.data.shape))
    return replace(image.volume, data=np.hypot(real, imaginary).astype(np.float32))


def stripped(image: Image, _rng: Draw) -> Volume:
    """Zeros outside the mask."""
    return replace(image.volume, data=np.where(image.mask, image.volume.data, np.float32(0)))


OUTWARDS, INWARDS, BESIDE, HALVED, TURNED, NOISE, STRIPPED = (
    "leak", "loss", "misplaced", "half", "turned", "noise", "stripped",
)  # fmt: skip

MASK_FAULTS: tuple[MaskFault, ...] = (
    MaskFault("leak into an eye", OUTWARDS, leak(eye)),
    MaskFault("leak into an eye, tissue too", OUTWARDS, leak(eye, tissue=True)),
    MaskFault("leak into the neck", OUTWARDS, leak(neck)),
    MaskFault("leak into the neck, tissue too", OUTWARDS, leak(neck, tissue=True)),
    MaskFault("leak into the scalp", OUTWARDS, scalp()),
    MaskFault("leak into the scalp, tissue too", OUTWARDS, scalp(tissue=True)),
    MaskFault("lost temporal pole", INWARDS, loss(temporal_pole)),
    MaskFault("lost temporal pole, tissue too", INWARDS, loss(temporal_pole, tissue=True)),
    MaskFault("lost cerebellum", INWARDS, loss(cerebellum)),
    MaskFault("lost cerebellum, tissue too", INWARDS, loss(cerebellum, tissue=True)),
    MaskFault("4 mm too fat", OUTWARDS, grown(_FAT_MM)),
    MaskFault("4 mm too thin", INWARDS, grown(-_FAT_MM)),
    MaskFault("shifted by 6 mm", BESIDE, shifted(_SHIFT_MM)),
    MaskFault("mask flipped left-right", BESIDE, flipped(0)),
    MaskFault("mask flipped front-back", BESIDE, flipped(1)),
    MaskFault("mask flipped top-bottom", BESIDE, flipped(2)),
)
IMAGE_FAULTS: tuple[ImageFault, ...] = (
    ImageFault("half the head empty", HALVED, half_empty),
    ImageFault("header front-back", TURNED, turned_over("AP")),
    ImageFault("header top-bottom", TURNED, turned_over("IS")),
    ImageFault("pure noise", NOISE, noise),
    ImageFault("stripped", STRIPPED, stripped),
)
Fault = MaskFault | ImageFault
FAULTS: tuple[Fault, ...] = (*MASK_FAULTS, *IMAGE_FAULTS)
