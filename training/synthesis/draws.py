"""What was drawn for one image, and how it is drawn."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from types import GenericAlias, NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from training.maps import GROUPS, TISSUE_OF_GROUP
from training.synthesis.ranges import (
    CT_MEANS,
    CT_REST,
    DEFAULT_SPREAD,
    T1W_MEANS,
    T1W_SPREAD,
    ZOOM_MM,
    Range,
    SynthesisRanges,
    Triple,
)

FAR = 1e3
"""mm; further out than any window: that face of the field of view cuts nothing."""
Cuts = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the map lies in the window, and how it is bent."""

    flip: bool
    rotation_deg: Triple
    scale: Triple
    shear: Triple
    shift_mm: Triple
    elastic_mm: tuple[tuple[int, float], ...]

    @property
    def mean_scale(self) -> float:
        """How much larger the head is than the map's, along each axis in the mean."""
        return math.prod(self.scale) ** (1 / 3)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Centre as fractions of the window, radii in mm, intensity."""

    centre: Triple
    radii_mm: Triple
    value: float
    fluid: bool = False


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What is there beyond the map.

    Attributes
    ----------
    texture_sd
        Of the multiplicative variation within a tissue.
    fat
        Intensity and share (as a level of a unit normal field) of fat in soft tissue.
    dura
        Intensity, depth outside the brain in mm, level of the field that breaks it up.
    atrophy_mm
        How far the tissue surface draws back into fluid.
    ventricles_mm
        How far the ventricles grow, mm.
    lesions
        Level of the field and intensity of spots in white matter.
    blobs
        Tumours and cavities, inside the brain.
    scalp
        Thickness in mm and intensity of a layer around the head.
    strays
        Anything, outside the brain.
    clutter
        Lattice cells, level and intensity of noise shapes outside the brain.
    """

    texture_sd: float
    fat: tuple[float, float] | None
    dura: tuple[float, float, float] | None
    atrophy_mm: float
    ventricles_mm: float
    lesions: tuple[float, float] | None
    blobs: tuple[Ellipsoid, ...]
    scalp: tuple[float, float] | None
    strays: tuple[Ellipsoid, ...]
    clutter: tuple[int, float, float] | None


@dataclass(frozen=True, slots=True)
class Scan:
    """What the scanner does.

    Attributes
    ----------
    slice_mm, slice_axis
        Thickness and direction of thick slices; 0 for none.
    coarse_mm
        Isotropic voxel size of a coarse acquisition; 0 for none.
    noise_sd, noise_left
        Of the complex signal at native voxels, relative to white matter; what share of its
        fluctuation remains in a window voxel.
    ghost
        Axis, parts of the field it is shifted by, share of the signal.
    ripple
        Cycles along each axis, phase, share.
    wrap
        Axis along which what lies outside the field of view folds into it.
    inverted
        Level that intensities are subtracted from.
    cuts_mm
        How far each face of the field of view (low x, high x, low y, ...) stands from the brain's
        box, outwards.
    """

    bias_sd: float
    bias_cells: int
    blur_sd_mm: float
    slice_axis: int
    slice_mm: float
    coarse_mm: float
    noise_sd: float
    noise_left: float
    ghost: tuple[int, int, float] | None
    ripple: tuple[Triple, float, float] | None
    wrap: int | None
    inverted: float | None
    cuts_mm: Cuts


@dataclass(frozen=True, slots=True)
class Processing:
    """What software did to the image.

    Attributes
    ----------
    background
        Level of noise that air is filled with; 0 for none.
    stripped_margin_mm, ragged_mm
        Everything farther from the brain is zero; how much that distance varies.
    face
        Angle of the defacing plane in degrees; its distance in mm, to which 20 mm are added, from
        the middle of the front of the brain's box, before which it lies, farther out where the
        brain would be cut; what fills the face: 0 zeros, 1 noise, 2 a constant.
    levels
        Intensities are rounded to so many; 0 for as they are.
    """

    zero_air: bool
    background: float
    stripped_margin_mm: float | None
    ragged_mm: float
    face: tuple[float, float, int] | None
    levels: int
    percentiles: Range
    gamma: float


@dataclass(frozen=True, slots=True)
class SynthesisDraw:
    """One drawn image; with its map, all that `render` needs.

    Attributes
    ----------
    contrast
        ``T1w-like``, ``any`` or ``CT-like``.
    means
        Intensity of each of `training.maps.GROUPS`, white matter about 1.
    """

    map_index: int
    seed: int
    shape: tuple[int, int, int]
    contrast: str
    means: tuple[float, ...]
    placement: Placement
    anatomy: Anatomy
    scan: Scan
    processing: Processing
    zoom_mm: float = ZOOM_MM


Drawn = TypeVar("Drawn")


def stored(item: SynthesisDraw) -> dict[str, Any]:
    """Plain values of a draw, for JSON."""
    return dataclasses.asdict(item)


def unstored(values: dict[str, Any]) -> SynthesisDraw:
    """The draw of plain values that came through JSON."""
    return _typed(SynthesisDraw, values)


def _typed(kind: type[Drawn], values: dict[str, Any]) -> Drawn:
    """A dataclass from plain values; lists become tuples, mappings the dataclasses they were."""
    hints = get_type_hints(kind)
    return kind(**{name: _as(hints[name], value) for name, value in values.items()})


def _as(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        rest = next(part for part in get_args(hint) if part is not NoneType)
        return None if value is None else _as(rest, value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _typed(hint, value)
    if isinstance(hint, GenericAlias) or get_origin(hint) is tuple:
        parts = get_args(hint)
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        return tuple(_as(k, v) for k, v in zip(kinds, value, strict=True))
    return value


def draw(rng: np.random.Generator, maps: int, ranges: SynthesisRanges) -> SynthesisDraw:
    """Draw one image's parameters.

    Parameters
    ----------
    rng
        Source of all randomness, the noise's seed included.
    maps
        How many maps there are to choose from.
    ranges
        What is drawn from.
    """
    shapes, shares = zip(*ranges.windows, strict=True)
    contrast = _draw_contrast(rng, ranges)
    return SynthesisDraw(
        map_index=int(rng.integers(maps)),
        seed=int(rng.integers(2**62)),
        shape=shapes[int(rng.choice(len(shapes), p=shares))],
        contrast=contrast,
        means=_draw_means(rng, contrast, ranges),
        placement=_draw_placement(rng, ranges),
        anatomy=_draw_anatomy(rng, ranges),
        scan=_draw_scan(rng, ranges),
        processing=_draw_processing(rng, ranges),
        zoom_mm=ranges.zoom_mm,
    )


def _uniform(rng: np.random.Generator, between: Range) -> float:
    return float(rng.uniform(*between))


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


def _triple(values: Any) -> Triple:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _draw_contrast(rng: np.random.Generator, ranges: SynthesisRanges) -> str:
    place = rng.random()
    if place < ranges.t1w_share:
        return "T1w-like"
    return "CT-like" if place > 1 - ranges.ct_share else "any"


def _draw_means(
    rng: np.random.Generator, contrast: str, ranges: SynthesisRanges
) -> tuple[float, ...]:
    """A mean a group; groups of one tissue stay close to each other in random contrast."""
    kinds = {"T1w-like": _t1w_means, "any": _any_means, "CT-like": _ct_means}
    means = kinds[contrast](rng)
    if _chance(rng, ranges.merged):
        outside = [name for name in GROUPS if TISSUE_OF_GROUP[name] in (0, 4, 5)]
        for _ in range(int(rng.integers(1, 4))):
            one, other = rng.choice(len(outside), 2, replace=False)
            if outside[one] != "air":
                means[outside[one]] = means[outside[other]]
    return tuple(means[name] for name in GROUPS)


def _t1w_means(rng: np.random.Generator) -> dict[str, float]:
    contrast = rng.uniform(0.35, 1.25)  # of grey against white matter
    means = {}
    for name, mean in T1W_MEANS.items():
        value = mean * math.exp(T1W_SPREAD.get(name, DEFAULT_SPREAD) * rng.normal())
        if TISSUE_OF_GROUP[name] == 1:
            value = 1.0 - (1.0 - value) * contrast
        means[name] = max(float(value), 0.0)
    return means


def _any_means(rng: np.random.Generator) -> dict[str, float]:
    by_tissue = rng.uniform(0.0, 1.0, 6)
    means = {}
    for name in GROUPS:
        tissue = TISSUE_OF_GROUP[name]
        spread = 0.04 if tissue in (1, 2, 3) else 0.3
        means[name] = float(np.clip(by_tissue[tissue] + spread * rng.normal(), 0.0, 1.3))
    air = [0.0, rng.uniform(0, 0.1), rng.uniform(0, 0.6)]
    means["air"] = float(rng.choice(air, p=[0.5, 0.35, 0.15]))
    return means


def _ct_means(rng: np.random.Generator) -> dict[str, float]:
    """Bright bone, a nearly flat brain, fat darker than muscle."""
    window = rng.uniform(0.6, 1.6)
    return {
        name: float(max(0.0, CT_MEANS.get(name, CT_REST) * window * (1 + 0.03 * rng.normal())))
        for name in GROUPS
    }


def _draw_placement(rng: np.random.Generator, ranges: SynthesisRanges) -> Placement:
    common = _uniform(rng, ranges.scale)
    shift = [float(rng.uniform(-s, s)) for s in ranges.shift_mm]
    shift[2] += float(rng.uniform(0, ranges.shift_up_mm))
    return Placement(
        flip=_chance(rng, 0.5),
        rotation_deg=_triple(_draw_angle(rng, ranges) for _ in range(3)),
        scale=_triple(common * _uniform(rng, ranges.axis_scale) for _ in range(3)),
        shear=_triple(ranges.shear_sd * rng.normal(size=3)),
        shift_mm=_triple(shift),
        elastic_mm=tuple((cells, float(rng.uniform(0, sd))) for cells, sd in ranges.elastic),
    )


def _draw_angle(rng: np.random.Generator, ranges: SynthesisRanges) -> float:
    if _chance(rng, ranges.tilted):
        return _uniform(rng, (-ranges.tilt_deg, ranges.tilt_deg))
    return float(np.clip(rng.normal(), -2, 2) * ranges.rotation_sd_deg)


def _draw_anatomy(rng: np.random.Generator, ranges: SynthesisRanges) -> Anatomy:
    return Anatomy(
        texture_sd=_uniform(rng, ranges.texture_sd),
        fat=(_uniform(rng, (0.7, 1.9)), _uniform(rng, (-0.6, 0.6)))
        if _chance(rng, ranges.fat_split) else None,
        dura=(_uniform(rng, (0.2, 1.3)), _uniform(rng, (0.3, 2.5)), _uniform(rng, (-0.5, 1.2)))
        if _chance(rng, ranges.dura) else None,
        atrophy_mm=_uniform(rng, ranges.atrophy_mm) if _chance(rng, ranges.atrophy) else 0.0,
        ventricles_mm=_uniform(rng, ranges.ventricles_mm)
        if _chance(rng, ranges.ventricles) else 0.0,
        lesions=(_uniform(rng, (1.0, 2.5)), _uniform(rng, (0.0, 1.4)))
        if _chance(rng, ranges.lesions) else None,
        blobs=_draw_blobs(rng, ranges),
        scalp=(_uniform(rng, ranges.scalp_mm), _uniform(rng, (0.2, 1.5)))
        if _chance(rng, ranges.scalp) else None,
        strays=_draw_strays(rng, ranges),
        clutter=(int(rng.integers(6, 20)), _uniform(rng, (0.8, 2.0)), _uniform(rng, (0.0, 1.4)))
        if _chance(rng, ranges.clutter) else None,
    )  # fmt: skip


def _draw_blobs(rng: np.random.Generator, ranges: SynthesisRanges) -> tuple[Ellipsoid, ...]:
    if not _chance(rng, ranges.blob):
        return ()
    blobs = []
    for _ in range(int(rng.integers(1, 4))):
        radius = _uniform(rng, ranges.blob_radius_mm)
        blobs.append(
            Ellipsoid(
                centre=_triple(rng.uniform(0.2, 0.8, 3)),
                radii_mm=_triple(radius * rng.uniform(0.6, 1.4, 3)),
                value=_uniform(rng, (0.0, 1.4)),
                fluid=_chance(rng, 0.3),
            )
        )
    return tuple(blobs)


def _draw_strays(rng: np.random.Generator, ranges: SynthesisRanges) -> tuple[Ellipsoid, ...]:
    if not _chance(rng, ranges.strays):
        return ()
    return tuple(
        Ellipsoid(
            centre=_triple(rng.uniform(0.0, 1.0, 3)),
            radii_mm=_triple(rng.uniform(*ranges.stray_radius_mm, 3)),
            value=_uniform(rng, (0.0, 1.4)),
        )
        for _ in range(int(rng.integers(1, 5)))
    )


def _draw_scan(rng: np.random.Generator, ranges: SynthesisRanges) -> Scan:
    wrap = int(rng.integers(3)) if _chance(rng, ranges.wrap) else None
    return Scan(
        bias_sd=_uniform(rng, ranges.bias_sd),
        bias_cells=int(rng.integers(2, 6)),
        blur_sd_mm=_uniform(rng, ranges.blur_sd_mm),
        slice_axis=int(rng.integers(3)),
        slice_mm=_uniform(rng, ranges.slice_mm) if _chance(rng, ranges.thick_slices) else 0.0,
        coarse_mm=_uniform(rng, ranges.coarse_mm) if _chance(rng, ranges.coarse) else 0.0,
        noise_sd=_uniform(rng, ranges.noise_sd) * float(rng.random()),
        noise_left=_uniform(rng, (0.3, 1.0)),
        ghost=(int(rng.integers(3)), int(rng.integers(2, 5)), _uniform(rng, ranges.ghost_share))
        if _chance(rng, ranges.ghost) else None,
        ripple=(_triple(rng.uniform(-30, 30, 3)), _uniform(rng, (0, 2 * math.pi)),
                _uniform(rng, ranges.ripple_share)) if _chance(rng, ranges.ripple) else None,
        wrap=wrap,
        inverted=_uniform(rng, (0.9, 1.3)) if _chance(rng, ranges.inverted) else None,
        cuts_mm=_draw_cuts(rng, ranges, wrap),
    )  # fmt: skip


def _draw_cuts(rng: np.random.Generator, ranges: SynthesisRanges, wrap: int | None) -> Cuts:
    """Each face on its own; along the axis that wraps one face at least cuts the head."""
    cuts = [FAR] * 6
    if _chance(rng, ranges.cut):
        for face in range(6):
            if _chance(rng, 0.45):
                cuts[face] = _uniform(rng, (0.0, 40.0))
        if _chance(rng, 0.5):
            cuts[4] = _uniform(rng, (2.0, 60.0))  # the neck is cut most often
    if _chance(rng, ranges.cut_crown):
        cuts[5] = -_uniform(rng, (-2.0, ranges.cut_crown_mm))
    if wrap is not None and wrap < 2:
        cuts[2 * wrap + int(rng.integers(2))] = _uniform(rng, (0.0, 15.0))
    elif wrap is not None:
        cuts[4] = _uniform(rng, (2.0, 40.0))
    if _chance(rng, ranges.half):
        cuts[int(rng.integers(6))] = -_uniform(rng, (20.0, 75.0))
    return cuts[0], cuts[1], cuts[2], cuts[3], cuts[4], cuts[5]


def _draw_processing(rng: np.random.Generator, ranges: SynthesisRanges) -> Processing:
    margin = ranges.peeled_margin_mm if _chance(rng, ranges.peeled) else ranges.stripped_margin_mm
    log_gamma = np.clip(
        ranges.log_gamma_sd * rng.normal(), -ranges.log_gamma_limit, ranges.log_gamma_limit
    )
    return Processing(
        zero_air=_chance(rng, ranges.zero_air),
        background=_uniform(rng, ranges.background_level)
        if _chance(rng, ranges.background) else 0.0,
        stripped_margin_mm=_uniform(rng, margin) if _chance(rng, ranges.stripped) else None,
        ragged_mm=_uniform(rng, ranges.ragged_mm),
        face=(_uniform(rng, (25, 60)), _uniform(rng, (4, 40)), int(rng.integers(3)))
        if _chance(rng, ranges.face_cut) else None,
        levels=int(rng.integers(*ranges.levels)) if _chance(rng, ranges.quantised) else 0,
        percentiles=(_uniform(rng, ranges.low_percentile), _uniform(rng, ranges.high_percentile)),
        gamma=math.exp(float(log_gamma)),
    )  # fmt: skip
