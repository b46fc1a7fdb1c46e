"""Synthetic head images from label maps: draw the parameters, then render them.

`draw` turns a seeded generator into a `SynthesisDraw`, a value that can be stored; `render` makes
the image and its targets from a map and a draw, the same ones each time (noise included).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.maps import (
    GROUP_INDEX,
    GROUPS,
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    TISSUE_OF_GROUP,
    TrainingMap,
)

ZOOM_MM = 2.0
"""Voxel size of the rendered window, the network's own."""
FAR_MM = 20.0
"""Distance where a map's stored distances end."""
Range = tuple[float, float]
Triple = tuple[float, float, float]

T1W_MEANS: dict[str, float] = {
    # mean intensity relative to white matter, from the contrast of spoiled gradient echo at 1.5-3 T
    "air": 0.02, "white_matter": 1.0, "cortex": 0.68, "ventricle": 0.22,
    "cerebellar_white": 0.95, "cerebellar_cortex": 0.66, "thalamus": 0.84, "caudate": 0.72,
    "putamen": 0.78, "pallidum": 0.93, "brain_stem": 0.9, "hippocampus": 0.68, "amygdala": 0.68,
    "fluid": 0.22, "lesion": 0.75, "ventral_dc": 0.88, "vessel": 0.5, "cartilage": 0.5,
    "eye": 0.28, "soft": 0.55, "eye_muscle": 0.6, "mucosa": 0.65, "skin": 0.85, "cord": 0.8,
    "vein": 0.5, "bone": 0.16, "marrow": 0.8, "optic_nerve": 0.8,
}  # fmt: skip
T1W_SPREAD: dict[str, float] = {
    # factor between head and head: exp(spread * normal)
    "air": 0.6, "white_matter": 0.06, "cortex": 0.09, "ventricle": 0.3, "cerebellar_white": 0.08,
    "cerebellar_cortex": 0.1, "fluid": 0.35, "soft": 0.35, "skin": 0.4, "vein": 0.5, "bone": 0.5,
    "marrow": 0.45, "mucosa": 0.35, "eye": 0.3, "cartilage": 0.4, "vessel": 0.5, "lesion": 0.3,
}  # fmt: skip
_DEFAULT_SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class SynthesisRanges:
    """Everything that is random, in one place. Lengths in mm, angles in degrees."""

    t1w_share: float = 0.62
    rotation_deg: float = 28.0
    scale: Range = (0.8, 1.2)
    axis_scale: Range = (0.93, 1.07)
    shear_sd: float = 0.04
    shift_mm: Triple = (14.0, 18.0, 18.0)
    shift_down_mm: float = 24.0
    elastic: tuple[tuple[int, float], ...] = ((4, 6.0), (7, 4.0), (12, 1.0))
    texture_sd: Range = (0.01, 0.10)
    fat_split: float = 0.75
    dura: float = 0.5
    blob: float = 0.3
    blob_radius_mm: Range = (3.0, 24.0)
    stripped: float = 0.3
    stripped_margin_mm: Range = (-2.0, 2.0)
    face_cut: float = 0.2
    bias_sd: Range = (0.0, 0.45)
    blur_sd_mm: Range = (0.0, 1.6)
    thick_slices: float = 0.35
    slice_mm: Range = (2.5, 7.0)
    noise_sd: Range = (0.0, 0.10)
    zero_air: float = 0.45
    cut: float = 0.6
    cut_crown: float = 0.25
    cut_crown_mm: float = 14.0
    low_percentile: Range = (0.0, 2.0)
    high_percentile: Range = (98.0, 99.95)
    log_gamma: float = 0.45
    windows: tuple[tuple[tuple[int, int, int], float], ...] = (
        ((80, 96, 80), 0.67),
        ((96, 112, 96), 0.24),
        ((112, 128, 112), 0.09),
    )


@dataclass(frozen=True, slots=True)
class SynthesisDraw:
    """One drawn image; with its map, all that `render` needs."""

    map_index: int
    seed: int
    t1w: bool
    shape: tuple[int, int, int]
    means: tuple[float, ...]
    texture_sd: float
    flip: bool
    rotation_deg: Triple
    scale: Triple
    shear: Triple
    shift_mm: Triple
    elastic_mm: tuple[tuple[int, float], ...]
    fat: tuple[float, float] | None
    dura: tuple[float, float, float] | None
    blobs: tuple[tuple[float, float, float, float, float], ...]
    stripped_margin_mm: float | None
    face_cut: tuple[float, float] | None
    bias_sd: float
    bias_cells: int
    blur_sd_mm: float
    slice_axis: int
    slice_mm: float
    noise_sd: float
    zero_air: bool
    cuts_mm: tuple[float, float, float, float, float, float]
    percentiles: tuple[float, float]
    gamma: float


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A rendered window at 2 mm, or several of one shape.

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


def _uniform(rng: np.random.Generator, between: Range) -> float:
    return float(rng.uniform(*between))


def _draw_means(rng: np.random.Generator, t1w: bool) -> tuple[float, ...]:
    """A mean a group; groups of one tissue stay close to each other in random contrast."""
    if t1w:
        contrast = rng.uniform(0.35, 1.25)  # of grey against white matter
        means = {}
        for name, mean in T1W_MEANS.items():
            value = mean * math.exp(T1W_SPREAD.get(name, _DEFAULT_SPREAD) * rng.normal())
            if TISSUE_OF_GROUP[name] == 1:
                value = 1.0 - (1.0 - value) * contrast
            means[name] = max(value, 0.0)
        return tuple(means[name] for name in GROUPS)
    by_tissue = rng.uniform(0.0, 1.0, 6)
    values = []
    for name in GROUPS:
        tissue = TISSUE_OF_GROUP[name]
        spread = 0.04 if tissue in (1, 2, 3) else 0.3
        values.append(float(np.clip(by_tissue[tissue] + spread * rng.normal(), 0.0, 1.3)))
    values[0] = float(
        rng.choice([0.0, rng.uniform(0, 0.1), rng.uniform(0, 0.6)], p=[0.5, 0.35, 0.15])
    )
    return tuple(values)


def _draw_blobs(
    rng: np.random.Generator, ranges: SynthesisRanges
) -> tuple[tuple[float, float, float, float, float], ...]:
    """Spheres inside the brain: centre (fractions of the window), radius in mm, intensity."""
    if rng.random() >= ranges.blob:
        return ()
    blobs = []
    for _ in range(int(rng.integers(1, 4))):
        x, y, z = (float(v) for v in rng.uniform(0.2, 0.8, 3))
        blobs.append((x, y, z, _uniform(rng, ranges.blob_radius_mm), float(rng.uniform(0, 1.4))))
    return tuple(blobs)


def _draw_cuts(
    rng: np.random.Generator, ranges: SynthesisRanges
) -> tuple[float, float, float, float, float, float]:
    """How far each face of the field of view stands from the brain's box, mm, outwards."""
    far = 1e3
    cuts = [far] * 6
    if rng.random() < ranges.cut:
        for face in range(6):
            if rng.random() < 0.45:
                cuts[face] = float(rng.uniform(0.0, 40.0))
        if rng.random() < 0.5:
            cuts[4] = float(rng.uniform(2.0, 60.0))  # the neck is cut most often
    if rng.random() < ranges.cut_crown:
        cuts[5] = -float(rng.uniform(-2.0, ranges.cut_crown_mm))
    return cuts[0], cuts[1], cuts[2], cuts[3], cuts[4], cuts[5]


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
    t1w = bool(rng.random() < ranges.t1w_share)
    common = _uniform(rng, ranges.scale)
    scale = tuple(common * _uniform(rng, ranges.axis_scale) for _ in range(3))
    shift = [float(rng.uniform(-s, s)) for s in ranges.shift_mm]
    shift[2] -= float(rng.uniform(0, ranges.shift_down_mm))
    thick = rng.random() < ranges.thick_slices
    return SynthesisDraw(
        map_index=int(rng.integers(maps)),
        seed=int(rng.integers(2**62)),
        t1w=t1w,
        shape=shapes[int(rng.choice(len(shapes), p=shares))],
        means=_draw_means(rng, t1w),
        texture_sd=_uniform(rng, ranges.texture_sd),
        flip=bool(rng.random() < 0.5),
        rotation_deg=tuple(  # type: ignore[arg-type]
            float(np.clip(rng.normal(), -2, 2) * ranges.rotation_deg / 2) for _ in range(3)
        ),
        scale=scale,  # type: ignore[arg-type]
        shear=tuple(float(ranges.shear_sd * v) for v in rng.normal(size=3)),  # type: ignore[arg-type]
        shift_mm=(shift[0], shift[1], shift[2]),
        elastic_mm=tuple((cells, float(rng.uniform(0, sd))) for cells, sd in ranges.elastic),
        fat=(float(rng.uniform(0.7, 1.9)), float(rng.uniform(-0.6, 0.6)))
        if rng.random() < ranges.fat_split
        else None,
        dura=(
            float(rng.uniform(0.2, 1.3)),
            float(rng.uniform(0.3, 2.5)),
            float(rng.uniform(-0.5, 1.2)),
        )
        if rng.random() < ranges.dura
        else None,
        blobs=_draw_blobs(rng, ranges),
        stripped_margin_mm=_uniform(rng, ranges.stripped_margin_mm)
        if rng.random() < ranges.stripped
        else None,
        face_cut=(float(rng.uniform(25, 60)), float(rng.uniform(4, 40)))
        if rng.random() < ranges.face_cut
        else None,
        bias_sd=_uniform(rng, ranges.bias_sd),
        bias_cells=int(rng.integers(2, 6)),
        blur_sd_mm=_uniform(rng, ranges.blur_sd_mm),
        slice_axis=int(rng.integers(3)),
        slice_mm=_uniform(rng, ranges.slice_mm) if thick else 0.0,
        noise_sd=_uniform(rng, ranges.noise_sd) * float(rng.random()),
        zero_air=bool(rng.random() < ranges.zero_air),
        cuts_mm=_draw_cuts(rng, ranges),
        percentiles=(_uniform(rng, ranges.low_percentile), _uniform(rng, ranges.high_percentile)),
        gamma=math.exp(float(rng.uniform(-ranges.log_gamma, ranges.log_gamma))),
    )


def _smooth_field(
    cells: int, shape: tuple[int, int, int], channels: int, random: torch.Generator
) -> Tensor:
    """(1, channels, *shape) of unit normal values on a coarse lattice, interpolated."""
    field = torch.randn((1, channels, cells, cells, cells), generator=random, device=random.device)
    return F.interpolate(field, size=shape, mode="trilinear", align_corners=True)


def _affine(item: SynthesisDraw) -> Tensor:
    """(3, 3): window mm -> map mm, about the centre."""
    a, b, c = (math.radians(v) for v in item.rotation_deg)
    rx = torch.tensor([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    ry = torch.tensor([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    rz = torch.tensor([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    shear = torch.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = item.shear
    scale = torch.diag(torch.tensor([1.0 / s for s in item.scale]))
    if item.flip:
        scale[0, 0] *= -1
    return rx @ ry @ rz @ shear @ scale


def _coordinates(item: SynthesisDraw, centre: Tensor, random: torch.Generator) -> Tensor:
    """(I, J, K, 3): position of each window voxel in the map, 1 mm voxels."""
    axes = [
        (torch.arange(n, device=random.device) - (n - 1) / 2) * ZOOM_MM - s
        for n, s in zip(item.shape, item.shift_mm, strict=True)
    ]
    mm = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    mm = mm + _elastic(item, random)
    return mm @ _affine(item).to(random.device).T.to(mm.dtype) + centre


def _elastic(item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """(I, J, K, 3) displacement in mm: all lattices brought to the finest, then to the window."""
    finest = max(cells for cells, _ in item.elastic_mm)
    lattice = (finest, finest, finest)
    total = torch.stack([_smooth_field(n, lattice, 3, random) * sd for n, sd in item.elastic_mm])
    field = F.interpolate(total.sum(0), size=item.shape, mode="trilinear", align_corners=True)
    return field[0].permute(1, 2, 3, 0)


def _sample(volume: Tensor, index: Tensor, mode: str, padding: str) -> Tensor:
    """Values of (1, C, I, J, K) at voxel positions (I', J', K', 3)."""
    size = torch.tensor(volume.shape[2:], device=volume.device, dtype=index.dtype)
    unit = (2 * index / (size - 1) - 1).flip(-1)[None]
    return F.grid_sample(volume, unit, mode=mode, padding_mode=padding, align_corners=True)


def _paint(groups: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """(1, 1, I, J, K) intensities at 1 mm, averaged over 2x2x2 voxels (sides one less)."""
    means = torch.tensor(item.means, device=groups.device)
    image = means[groups.long()]
    if item.fat is not None:
        fat, level = item.fat
        third = tuple(-(-n // 3) for n in groups.shape)
        patches = (_smooth_field(14, third, 1, random) > level).float()  # type: ignore[arg-type]
        fatty = F.interpolate(patches, size=tuple(groups.shape), mode="nearest")[0, 0] > 0
        where = (groups == GROUP_INDEX["soft"]) & fatty
        image = torch.where(where, means[GROUP_INDEX["skin"]] * 0.3 + fat * 0.7, image)
    for axis in range(3):
        length = image.shape[axis] - 1
        image = image.narrow(axis, 0, length) + image.narrow(axis, 1, length)
    return image[None, None] / 8


def _texture(image: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """Tissue is not flat: smooth and fine multiplicative variation."""
    shape = tuple(image.shape[2:])
    fine = torch.randn(image.shape, generator=random, device=image.device)
    smooth = _smooth_field(24, shape, 1, random)  # type: ignore[arg-type]
    return image * (1 + item.texture_sd * (0.7 * fine + 1.2 * smooth))


def _add_dura(
    image: Tensor, brain_mm: Tensor, item: SynthesisDraw, random: torch.Generator
) -> Tensor:
    if item.dura is None:
        return image
    value, depth, level = item.dura
    patches = _smooth_field(16, tuple(image.shape[2:]), 1, random)  # type: ignore[arg-type]
    shell = torch.exp(-(((brain_mm - depth) / 1.2) ** 2)) * (patches > level)
    return image + shell * (value - image) * 0.8


def _add_blobs(image: Tensor, brain_mm: Tensor, item: SynthesisDraw) -> Tensor:
    for x, y, z, radius, value in item.blobs:
        axes = [
            (torch.arange(n, device=image.device) - f * n) * ZOOM_MM
            for n, f in zip(item.shape, (x, y, z), strict=True)
        ]
        i, j, k = torch.meshgrid(*axes, indexing="ij")
        inside = torch.sigmoid(radius - (i**2 + j**2 + k**2).sqrt()) * (brain_mm < 0)
        image = image + inside * (value - image) * 0.85
    return image


def _acquire(image: Tensor, item: SynthesisDraw, random: torch.Generator) -> Tensor:
    """Bias field, resolution and noise, in the order a scanner adds them."""
    shape = tuple(image.shape[2:])
    bias = _smooth_field(item.bias_cells, shape, 1, random)  # type: ignore[arg-type]
    image = image * torch.exp(item.bias_sd * bias)
    image = _blur(image, item.blur_sd_mm / ZOOM_MM)
    if item.slice_mm:
        image = _thick_slices(image, item.slice_axis, item.slice_mm)
    noise = (
        torch.randn((2, *image.shape[1:]), generator=random, device=image.device) * item.noise_sd
    )
    return ((image + noise[:1]) ** 2 + noise[1:] ** 2).sqrt()


def _blur(image: Tensor, sd: float) -> Tensor:
    if sd < 0.2:
        return image
    reach = max(1, math.ceil(2.5 * sd))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sd) ** 2)
    taps = taps / taps.sum()
    for axis in range(3):
        kernel_shape = [1, 1, 1, 1, 1]
        kernel_shape[2 + axis] = taps.numel()
        padding = [0, 0, 0]
        padding[axis] = reach
        image = F.conv3d(image, taps.reshape(kernel_shape), padding=padding)
    return image


def _thick_slices(image: Tensor, axis: int, thickness_mm: float) -> Tensor:
    """Average over slices of the given thickness and interpolate back."""
    shape = list(image.shape[2:])
    fewer = list(shape)
    fewer[axis] = max(8, round(shape[axis] * ZOOM_MM / thickness_mm))
    coarse = F.interpolate(image, size=fewer, mode="area")
    return F.interpolate(coarse, size=shape, mode="trilinear", align_corners=False)


def _field_of_view(item: SynthesisDraw, brain: Tensor) -> Tensor:
    """(1, 1, I, J, K) bool: what the scanner saw."""
    seen = torch.ones(item.shape, dtype=torch.bool, device=brain.device)
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        hit = torch.nonzero(brain.amax(dim=other)).flatten()
        if not hit.numel():
            continue
        low = int(hit[0]) - round(item.cuts_mm[2 * axis] / ZOOM_MM)
        high = int(hit[-1]) + round(item.cuts_mm[2 * axis + 1] / ZOOM_MM)
        index = torch.arange(item.shape[axis], device=brain.device)
        view = [1, 1, 1]
        view[axis] = -1
        seen &= ((index >= low) & (index <= high)).reshape(view)
    return seen[None, None]


def _deface(image: Tensor, brain: Tensor, item: SynthesisDraw) -> Tensor:
    """Zero what lies before and below a plane in front of the brain, as defacing tools do."""
    if item.face_cut is None:
        return image
    hit = torch.nonzero(brain)
    if not hit.numel():
        return image
    angle, margin = item.face_cut
    low, high = hit.amin(0), hit.amax(0)
    j = torch.arange(item.shape[1], device=image.device)[:, None] - high[1]
    k = torch.arange(item.shape[2], device=image.device)[None] - (low[2] + high[2]) / 2
    slope = math.tan(math.radians(angle))
    face = (j * slope - k) * ZOOM_MM > margin + 20.0
    clear = ~face[None] | (brain > 0)
    return image * clear


def _scaled(image: Tensor, seen: Tensor, item: SynthesisDraw) -> Tensor:
    """Percentiles to 0..1, clipped at `CLIP`, gamma; zero outside the field of view."""
    values = image[seen][:: max(1, int(seen.sum()) // 60000)]
    low, high = (float(v) for v in np.percentile(values.cpu().numpy(), item.percentiles))
    image = ((image - low) / max(high - low, 1e-3)).clamp(0.0, CLIP)
    return image**item.gamma * seen


CLIP = 1.3


def _groups_tensor(source: TrainingMap, device: torch.device) -> Tensor:
    return torch.from_numpy(source.groups).to(device)


def render(source: TrainingMap, item: SynthesisDraw, device: str = "cpu") -> Sample:
    """Make the image and the targets of a draw.

    Parameters
    ----------
    source
        The map that ``item.map_index`` stands for.
    item
        The draw.
    device
        Where to compute.
    """
    where = torch.device(device)
    random = torch.Generator(device=where)
    random.manual_seed(item.seed)
    sdt_source = torch.from_numpy(source.sdt).to(where)
    inside = torch.nonzero(sdt_source[0] <= 0).float()
    centre = (inside.amin(0) + inside.amax(0)) + 0.5
    index = _coordinates(item, centre, random)
    groups = _groups_tensor(source, where)
    low, high = _needed(index, groups.shape)
    crop = groups[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    origin = torch.tensor(low, device=where)
    image = _sample(_paint(crop, item, random), index - origin - 0.5, "bilinear", "zeros")
    found = _sample(crop[None, None].float(), index - origin, "nearest", "zeros")
    tissue = _tissue_lut(where)[found[0].long()]
    sdt = _sample(sdt_source[None].float(), (index - 0.5) / 2, "bilinear", "border")
    mean_scale = float(np.prod(item.scale) ** (1 / 3))
    beyond = sdt.abs() > SDT_LIMIT_MM / SDT_STEP_MM - 0.5
    sdt = torch.where(beyond, sdt.sign() * FAR_MM, sdt * (SDT_STEP_MM * mean_scale))
    brain = (sdt[0, 0] <= 0).float()
    image = _texture(image, item, random)
    image = _add_dura(_add_blobs(image, sdt[:, :1], item), sdt[:, :1], item, random)
    image = _acquire(image, item, random)
    image = _remove(image, sdt[:, :1], tissue, brain, item)
    seen = _field_of_view(item, brain)
    image = _scaled(image, seen, item)
    return Sample(image, sdt, tissue, 0.05 + 0.95 * seen.float())


def _remove(
    image: Tensor, brain_mm: Tensor, tissue: Tensor, brain: Tensor, item: SynthesisDraw
) -> Tensor:
    """Air set to zero, face removed, head stripped: what software does to an image."""
    if item.zero_air:
        outside = F.avg_pool3d((tissue == 0).float()[:, None], 3, stride=1, padding=1) > 0.95
        image = image * ~(outside & (brain_mm > 2.0))
    image = _deface(image, brain, item)
    if item.stripped_margin_mm is not None:
        image = image * (brain_mm <= item.stripped_margin_mm)
    return image


def _needed(index: Tensor, shape: torch.Size) -> tuple[list[int], list[int]]:
    """The part of the map that the window looks at (at least 8 voxels a side)."""
    flat = index.reshape(-1, 3)
    low = (flat.amin(0).floor().long() - 1).clamp(min=0)
    high = flat.amax(0).ceil().long() + 3
    size = torch.tensor(shape, device=index.device)
    low = torch.minimum(low, size - 8)
    high = torch.minimum(torch.maximum(high, low + 8), size)
    return low.tolist(), high.tolist()


def _tissue_lut(device: torch.device) -> Tensor:
    return torch.tensor([TISSUE_OF_GROUP[name] for name in GROUPS], device=device)
