"""Heads drawn by code: draw the parameters, render them, know the truth.

``draw_head`` takes the parameters from a generator; ``render`` turns them into an image, and
gives the same bytes each time. An anatomy can be scanned again with ``dataclasses.replace``.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.example.anatomy import (
    BRAIN_TISSUES,
    LOW,
    STEP_MM,
    Anatomy,
    Figure,
    Tissue,
    draw_anatomy,
)
from bids_strip.example.fields import Float3, Point, lattice_noise
from bids_strip.geometry import brain_region

Scalar = TypeVar("Scalar", bound=np.generic)

T1W_MEANS = {
    Tissue.BACKGROUND: 0.0,
    Tissue.GREY: 0.68,
    Tissue.WHITE: 1.0,
    Tissue.CSF: 0.2,
    Tissue.DEEP_GREY: 0.8,
    Tissue.VENTRICLE: 0.17,
    Tissue.CEREBELLUM_GREY: 0.68,
    Tissue.CEREBELLUM_WHITE: 0.97,
    Tissue.STEM: 0.95,
    Tissue.CORD: 0.9,
    Tissue.SPINAL_CSF: 0.2,
    Tissue.BONE: 0.09,
    Tissue.MARROW: 0.55,
    Tissue.FAT: 1.12,
    Tissue.MUSCLE: 0.52,
    Tissue.SKIN: 0.6,
    Tissue.EYE: 0.18,
    Tissue.AIR: 0.02,
    Tissue.DURA: 0.6,
}
"""Mean intensity of each tissue in a T1w image, white matter 1; a draw varies them."""

_CENTRE_MM = (0.0, 7.0, -10.0)


@dataclass(frozen=True)
class Scan:
    """How a head is scanned.

    Attributes
    ----------
    seed : int
        Of noise and bias.
    shape : (3,) int
        Voxels along i, j, k.
    zooms : (3,) float
        Voxel sizes along i, j, k, mm.
    axcodes : str
        Where i, j, k point, such as ``LAS``, before the obliquity.
    oblique_deg : (3,) float
        Rotation of the grid about the world's x, y, z.
    tilt_deg : (3,) float
        Rotation of the head about x, y, z.
    shift_mm : (3,) float
        Translation of the head.
    bias : float
        Largest departure of the bias field from 1, about.
    noise : float
        Standard deviation of the Rician noise's parts, white matter 1.
    blur_mm : float
        Standard deviation of the point spread.
    """

    seed: int
    shape: tuple[int, int, int]
    zooms: Point
    axcodes: str
    oblique_deg: Point
    tilt_deg: Point
    shift_mm: Point
    bias: float
    noise: float
    blur_mm: float


@dataclass(frozen=True)
class HeadDraw:
    """All parameters of one image: the anatomy, the contrast, the scan.

    Attributes
    ----------
    anatomy : Anatomy
    means : (len(Tissue),) float
        Mean intensity of each ``Tissue``, white matter about 1.
    scan : Scan
    """

    anatomy: Anatomy
    means: tuple[float, ...]
    scan: Scan


@dataclass(frozen=True)
class DrawnHead:
    """An image and what is known of it.

    Attributes
    ----------
    image : (I, J, K) float32
        White matter about 1.
    labels : (I, J, K) uint8
        ``Tissue`` of each voxel.
    affine : (4, 4) float64
        Voxel -> RAS+ mm.
    truth : (I, J, K) bool
        The brain, by the one definition of ``bids_strip.geometry.brain_region``.
    """

    image: Float3
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    truth: NDArray[np.bool_]


def draw_head(rng: np.random.Generator) -> HeadDraw:
    """Draw a head's parameters from their ranges; isotropic 1.1 mm, RAS, slightly turned."""
    return HeadDraw(draw_shape(rng), draw_means(rng), draw_scan(rng))


def draw_shape(rng: np.random.Generator) -> Anatomy:
    """Draw an anatomy: adults, from young to slightly atrophied."""
    size = rng.uniform(0.97, 1.03)
    a, b, c = (round(size * s * rng.uniform(0.985, 1.015), 2) for s in (64.5, 81.0, 58.0))
    return Anatomy(
        seed=int(rng.integers(2**31)),
        semi_mm=(a, b, c),
        csf_mm=rng.uniform(1.8, 3.2),
        skull_mm=rng.uniform(5.5, 7.5),
        scalp_mm=rng.uniform(5.0, 7.5),
        cortex_mm=rng.uniform(2.6, 3.1),
        sulcus_mm=rng.uniform(12.0, 15.0),
        gap_mm=rng.uniform(0.5, 0.9),
        fold_mm=rng.uniform(19.5, 23.0),
        ventricle_mm=rng.uniform(0.0, 2.5),
        dura_mm=float(rng.choice([0.0, 0.9])),
    )


def draw_means(rng: np.random.Generator) -> tuple[float, ...]:
    """Draw the contrast: each tissue's mean within 6 % of ``T1W_MEANS``."""
    return tuple(T1W_MEANS[tissue] * rng.uniform(0.94, 1.06) for tissue in Tissue)


def draw_scan(rng: np.random.Generator) -> Scan:
    """Draw a scan at 1.1 mm with a slight tilt and shift of the head."""
    tilt, shift = rng.uniform(-6, 6, 3), rng.uniform(-4, 4, 3)
    return Scan(
        seed=int(rng.integers(2**31)),
        shape=(176, 208, 192),
        zooms=(1.1, 1.1, 1.1),
        axcodes="RAS",
        oblique_deg=(0.0, 0.0, 0.0),
        tilt_deg=(float(tilt[0]), float(tilt[1]), float(tilt[2])),
        shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
        bias=rng.uniform(0.2, 0.35),
        noise=rng.uniform(0.02, 0.035),
        blur_mm=rng.uniform(0.3, 0.5),
    )


def render(draw: HeadDraw) -> DrawnHead:
    """Render a draw: the same bytes each time."""
    return take_scan(draw_anatomy(draw.anatomy, draw.means), draw.scan)


def take_scan(figure: Figure, scan: Scan) -> DrawnHead:
    """Scan a drawn head.

    Parameters
    ----------
    figure : Figure
        In the head's own frame; one figure serves any number of scans.
    scan : Scan
        Grid, pose and artefacts.

    Returns
    -------
    DrawnHead
        On the grid of ``scan``; what lies beyond the figure is air.
    """
    affine = scan_affine(scan)
    to_node = _world_to_node(scan) @ affine
    labels = _sample(figure.labels, to_node, scan.shape, order=0)
    image = _expose(_sample_slabs(figure.image, to_node, scan), scan)
    brain = np.isin(labels, [int(tissue) for tissue in BRAIN_TISSUES])
    truth = brain_region(brain, labels == Tissue.CSF, zooms=scan.zooms)
    return DrawnHead(image, labels, affine, truth)


def scan_affine(scan: Scan) -> NDArray[np.float64]:
    """Return the scan's affine, voxel -> RAS+ mm; the grid is centred on the head at rest."""
    linear = np.zeros((3, 3))
    for voxel_axis, code in enumerate(scan.axcodes):
        world_axis = next(n for n, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        sign = 1 if code in "RAS" else -1
        linear[world_axis, voxel_axis] = sign * scan.zooms[voxel_axis]
    affine = np.eye(4)
    affine[:3, :3] = _rotation(scan.oblique_deg) @ linear
    middle = (np.array(scan.shape) - 1) / 2
    affine[:3, 3] = np.array(_CENTRE_MM) - affine[:3, :3] @ middle
    return affine


def _rotation(degrees: Point) -> NDArray[np.float64]:
    turned: NDArray[np.float64] = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, two = (n for n in range(3) if n != axis)
        plane = np.eye(3)
        plane[one, one] = plane[two, two] = np.cos(angle)
        plane[one, two], plane[two, one] = -np.sin(angle), np.sin(angle)
        turned = (plane @ turned).astype(np.float64)
    return turned


def _world_to_node(scan: Scan) -> NDArray[np.float64]:
    head_to_world = np.eye(4)
    head_to_world[:3, :3] = _rotation(scan.tilt_deg)
    head_to_world[:3, 3] = scan.shift_mm
    node_to_head = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    node_to_head[:3, 3] = LOW
    return np.asarray(np.linalg.inv(head_to_world @ node_to_head), dtype=np.float64)


def _sample(
    picture: NDArray[Scalar], to_node: NDArray[np.float64], shape: tuple[int, ...], *, order: int
) -> NDArray[Scalar]:
    sampled: NDArray[Scalar] = ndimage.affine_transform(
        picture, to_node[:3, :3], to_node[:3, 3], shape, order=order, mode="constant"
    )
    return sampled


def _sample_slabs(picture: Float3, to_node: NDArray[np.float64], scan: Scan) -> Float3:
    """Average over each voxel: thick slices take more than one sample across."""
    counts = [max(1, round(zoom / 1.2)) for zoom in scan.zooms]
    total = np.zeros(scan.shape, np.float32)
    for index in np.ndindex(*counts):
        within = [(n + 0.5) / count - 0.5 for n, count in zip(index, counts, strict=True)]
        moved = to_node.copy()
        moved[:3, 3] += to_node[:3, :3] @ np.array(within)
        total += _sample(picture, moved, scan.shape, order=1)
    return total / np.float32(np.prod(counts))


def _expose(clean: Float3, scan: Scan) -> Float3:
    """Return the image with point spread, bias field and Rician noise."""
    rng = np.random.default_rng(scan.seed)
    sigma = [scan.blur_mm / zoom for zoom in scan.zooms]
    signal = ndimage.gaussian_filter(clean, sigma, truncate=3.0)
    relative = 95 / float(np.mean(scan.zooms))
    field = lattice_noise(rng, scan.shape, relative)
    field -= field.mean()
    signal *= np.exp(np.float32(scan.bias) * field / np.abs(field).max())
    real = rng.standard_normal(scan.shape, np.float32) * np.float32(scan.noise)
    imaginary = rng.standard_normal(scan.shape, np.float32) * np.float32(scan.noise)
    image: Float3 = np.hypot(signal + real, imaginary)
    return image
