"""One head, drawn from level sets in its own frame (x right, y anterior, z superior, mm).

The origin lies in the third ventricle's roof, about where a template has its centre. Nothing
here is measured from a person or a label map: shapes are ellipsoids, tubes and sheets, and
the folds are iso-surfaces of band-limited noise.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.example.fields import (
    Float3,
    Frame,
    Point,
    band_noise,
    crop,
    ellipsoid,
    frame,
    lattice_noise,
    mirrored,
    smooth_cut,
    smooth_union,
    tube,
)

STEP_MM = 1.2
CUT_Z_MM = -64.0
"""Level of the foramen magnum: below it the stem is cord, which is not brain."""
LOW, HIGH = (-93.0, -114.0, -138.0), (93.0, 128.0, 100.0)
CRANIUM_LOW, CRANIUM_HIGH = (-90.0, -108.0, -78.0), (90.0, 108.0, 98.0)
BRAIN_LOW, BRAIN_HIGH = (-74.0, -90.0, -68.0), (74.0, 90.0, 80.0)


class Tissue(IntEnum):
    """What a voxel of ``labels`` holds."""

    BACKGROUND = 0
    GREY = 1
    WHITE = 2
    CSF = 3
    DEEP_GREY = 4
    VENTRICLE = 5
    CEREBELLUM_GREY = 6
    CEREBELLUM_WHITE = 7
    STEM = 8
    CORD = 9
    SPINAL_CSF = 10
    BONE = 11
    MARROW = 12
    FAT = 13
    MUSCLE = 14
    SKIN = 15
    EYE = 16
    AIR = 17
    DURA = 18


BRAIN_TISSUES = (
    Tissue.GREY,
    Tissue.WHITE,
    Tissue.DEEP_GREY,
    Tissue.VENTRICLE,
    Tissue.CEREBELLUM_GREY,
    Tissue.CEREBELLUM_WHITE,
    Tissue.STEM,
)


@dataclass(frozen=True)
class Anatomy:
    """The shape of one head.

    Attributes
    ----------
    seed : int
        Of the folds, the thicknesses' variation and the textures.
    semi_mm : (3,) float
        Semi-axes of the cerebrum.
    csf_mm, skull_mm, scalp_mm : float
        Mean thickness of the layers over the convexity.
    cortex_mm, sulcus_mm : float
        Thickness of the ribbon, mean depth of the sulci.
    gap_mm : float
        Half-width of a sulcus.
    fold_mm : float
        Wavelength of the folds: a sulcus every half of it.
    ventricle_mm : float
        Added to the radius of the ventricles.
    dura_mm : float
        Thickness of a bright dura; 0 for none.
    """

    seed: int
    semi_mm: Point
    csf_mm: float
    skull_mm: float
    scalp_mm: float
    cortex_mm: float
    sulcus_mm: float
    gap_mm: float
    fold_mm: float
    ventricle_mm: float
    dura_mm: float


@dataclass(frozen=True)
class Figure:
    """A drawn head in its own frame, a node every ``STEP_MM`` from ``LOW``.

    Attributes
    ----------
    image : (I, J, K) float32
        Without bias and noise; white matter about 1.
    labels : (I, J, K) uint8
        ``Tissue`` of each node.
    """

    image: Float3
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Canvas:
    """A picture in the making: ``image`` (I, J, K) float32, ``labels`` (I, J, K) uint8."""

    at: Frame
    image: Float3
    labels: NDArray[np.uint8]
    means: tuple[float, ...]

    def part(self, low: Point, high: Point) -> "Canvas":
        """Return a view between two corners (mm); painting it paints this one."""
        at, region = crop(self.at, low, high)
        return Canvas(at, self.image[region], self.labels[region], self.means)

    def paint(self, level: Float3, tissue: Tissue, *, gain: Float3 | float = 1.0) -> None:
        """Lay ``tissue`` where ``level`` < 0, its edge mixed over one node (partial volume)."""
        cover = np.clip(np.float32(0.5) - level / np.float32(1.3), 0, 1)
        image = self.image
        image += cover * (np.float32(self.means[tissue]) * gain - image)
        self.labels[level < 0] = tissue


def draw_anatomy(anatomy: Anatomy, means: tuple[float, ...]) -> Figure:
    """Draw a head in its own frame.

    Parameters
    ----------
    anatomy : Anatomy
        The head's shape.
    means : (len(Tissue),) float
        Intensity of each tissue, white matter about 1.

    Returns
    -------
    Figure
        The same bytes each time.
    """
    rng = np.random.default_rng(anatomy.seed)
    at = frame(LOW, HIGH, STEP_MM)
    canvas = Canvas(at, np.zeros(at.shape, np.float32), np.zeros(at.shape, np.uint8), means)
    cranium = cranial_cavity(at, anatomy, rng)
    draw_soft_tissue(canvas, cranium, anatomy, rng)
    draw_spine(canvas)
    draw_face(canvas, rng)
    draw_skull(canvas, cranium, anatomy, rng)
    draw_orbits(canvas)
    draw_cavity(canvas, cranium, anatomy)
    inside = canvas.part(BRAIN_LOW, BRAIN_HIGH)
    hull = cerebrum_hull(inside.at, anatomy)
    draw_cerebrum(inside, hull, anatomy, rng)
    draw_ventricles(inside, anatomy)
    draw_cerebellum(inside, hull, rng)
    draw_stem(canvas)
    return Figure(canvas.image, canvas.labels)


def cerebrum_hull(at: Frame, anatomy: Anatomy) -> Float3:
    """Return the level set of the cerebrum without its folds: convexity and temporal lobes."""
    a, b, c = anatomy.semi_mm
    egg = replace(at, x=at.x * (1 + (at.y + 22) * np.float32(0.0022)))
    convexity = ellipsoid(egg, (0, 0, 13), (a, b, c))
    floor = -(at.z + 15) + np.float32(0.0022) * (at.y - 5) ** 2 - np.float32(6)
    upper = smooth_cut(convexity, np.broadcast_to(floor, convexity.shape), 14.0)
    temporal = ellipsoid(mirrored(at), (0.62 * a, 0.12 * b, -19), (0.35 * a, 0.46 * b, 0.38 * c))
    return smooth_union(upper, temporal, 5.0)


def cerebellum_hull(at: Frame) -> Float3:
    """Return the level set of the two cerebellar lobes and the vermis."""
    lobes = ellipsoid(mirrored(at), (24, -52, -36), (27, 27, 21))
    return smooth_union(lobes, ellipsoid(at, (0, -48, -32), (12, 21, 18)), 8.0)


def stem_path() -> list[tuple[float, float, float, float]]:
    """Return midbrain to cord as (x, y, z, radius), mm."""
    return [
        (0, -14, -4, 15),
        (0, -15, -16, 13),
        (0, -15, -30, 13.5),
        (0, -20, -46, 9.5),
        (0, -28, -64, 7),
        (0, -36, -85, 6),
        (0, -40, -150, 5.5),
    ]


def cranial_cavity(at: Frame, anatomy: Anatomy, rng: np.random.Generator) -> Float3:
    """Return the level set of the inner skull on the whole frame, in mm near the skull.

    Far from the brain's box the distance to an ellipsoid stands in for it.
    """
    brain, region = crop(at, CRANIUM_LOW, CRANIUM_HIGH)
    hull = cerebrum_hull(brain, anatomy)
    wide = lattice_noise(rng, brain.shape, 32 / brain.step)
    layer = anatomy.csf_mm * np.clip(1 + np.float32(0.35) * wide, 0.4, 2.0)
    near = smooth_union(hull - layer, cerebellum_hull(brain) - np.float32(2.5), 12.0)
    near = smooth_union(near, tube(brain, stem_path()[:5]) - np.float32(4), 9.0)
    a, b, c = anatomy.semi_mm
    whole = ellipsoid(at, (0, 0, 5), (a + 4, b + 4, c + 12))
    whole = np.maximum(whole, np.float32(4))
    whole[region] = near
    return whole


def draw_soft_tissue(
    canvas: Canvas, cranium: Float3, anatomy: Anatomy, rng: np.random.Generator
) -> None:
    """Paint skin, fat and muscle of scalp, face and neck."""
    at = canvas.at
    scalp = cranium - np.float32(anatomy.skull_mm + anatomy.scalp_mm)
    head = smooth_union(scalp, _face_and_neck(at), 18.0)
    texture = lattice_noise(rng, at.shape, (9 / at.step, 7 / at.step, 22 / at.step))
    canvas.paint(head, Tissue.SKIN)
    canvas.paint(head + 2, Tissue.FAT, gain=1 + np.float32(0.08) * texture)
    depth = np.float32(4.5) + 2 * lattice_noise(rng, at.shape, 30 / at.step)
    # over the convexity there is no muscle: the fat reaches the bone
    bare = np.minimum(-(scalp + np.float32(1)), at.z + 30)
    muscle = np.maximum(head + np.clip(depth, 3, 9), bare)
    sheets = np.abs(texture) * np.float32(8) - np.float32(0.6)
    muscle = np.maximum(muscle, -sheets)
    canvas.paint(muscle, Tissue.MUSCLE, gain=1 + np.float32(0.06) * texture[::-1])
    low, high = (-84, 0, -54), (84, 64, 26)
    side = canvas.part(low, high)
    temporalis = ellipsoid(mirrored(side.at), (66, 32, -14), (14, 30, 38))
    side.paint(np.maximum(temporalis, head[crop(at, low, high)[1]] + 5), Tissue.MUSCLE)


def _face_and_neck(at: Frame) -> Float3:
    face = ellipsoid(at, (0, 45, -50), (63, 58, 62))
    chin = ellipsoid(at, (0, 62, -100), (44, 42, 32))
    nose = tube(at, [(0, 98, -22, 7), (0, 114, -54, 9)])
    neck = tube(at, [(0, -26, -60, 62), (0, -22, -150, 58)])
    temple = ellipsoid(mirrored(at), (58, 32, -16), (21, 42, 44))
    level = smooth_union(smooth_union(face, chin, 20.0), neck, 20.0)
    return smooth_union(smooth_union(level, temple, 12.0), nose, 12.0)


def draw_spine(canvas: Canvas) -> None:
    """Paint vertebrae, discs, the canal's wall and the neck's great vessels."""
    part = canvas.part((-40, -85, -138), (40, 20, -60))
    at = part.at
    bodies = tube(at, [(0, -14, -74, 10), (0, -19, -150, 11)])
    wave = np.cos((at.z + 74) * np.float32(2 * np.pi / 17))
    discs = np.broadcast_to(np.float32(6) * (-wave - np.float32(0.75)), bodies.shape)
    arch = ellipsoid(at, (0, -44, -108), (21, 19, 48))
    spinous = np.maximum(tube(at, [(0, -60, -80, 4), (0, -68, -138, 5)]), discs)
    part.paint(np.minimum(np.minimum(bodies, arch), spinous), Tissue.BONE)
    part.paint(np.maximum(bodies + np.float32(1.8), discs + np.float32(1.5)), Tissue.MARROW)
    part.paint(spinous + 2, Tissue.MARROW)
    vessels = tube(mirrored(at), [(25, 2, -68, 3), (29, 8, -150, 3.5)])
    part.paint(vessels, Tissue.CSF)


def draw_face(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint jaw, teeth, tongue, and the air of nose, sinuses, mouth and throat."""
    part = canvas.part((-70, -10, -138), (70, 122, 12))
    at, both = part.at, mirrored(part.at)
    jaw = np.abs(ellipsoid(at, (0, 38, -104), (44, 52, 60))) - np.float32(5)
    jaw = np.maximum(jaw, np.abs(at.z + 108 - np.float32(0.25) * (at.y - 40)) - np.float32(10))
    jaw = np.maximum(jaw, 15 - at.y)
    ramus = tube(both, [(47, 22, -50, 5), (45, 26, -106, 7)])
    part.paint(smooth_union(jaw, ramus, 6.0), Tissue.BONE)
    part.paint(smooth_union(jaw, ramus, 6.0) + np.float32(2.2), Tissue.MARROW, gain=0.8)
    palate = np.maximum(ellipsoid(at, (0, 62, -74), (27, 30, 8)), -80 - at.z)
    part.paint(palate, Tissue.BONE)
    teeth = np.abs(ellipsoid(at, (0, 52, -88), (27, 38, 60))) - np.float32(4)
    teeth = np.maximum(np.maximum(teeth, np.abs(at.z + 87) - 10), 35 - at.y)
    part.paint(teeth, Tissue.BONE)
    part.paint(ellipsoid(at, (0, 48, -94), (22, 31, 15)), Tissue.MUSCLE, gain=1.15)
    part.paint(_bony_face(both), Tissue.BONE)
    cells = lattice_noise(rng, at.shape, 5 / at.step)
    part.paint(_face_air(at, both, cells), Tissue.AIR)
    mastoid = canvas.part((-75, -45, -70), (75, 10, -20))
    cells = lattice_noise(rng, mastoid.at.shape, 4 / at.step)
    bump = ellipsoid(mirrored(mastoid.at), (55, -18, -46), (13, 16, 20))
    mastoid.paint(bump, Tissue.BONE)
    mastoid.paint(np.maximum(bump + 2, 3 * cells - 1), Tissue.AIR)


def _bony_face(both: Frame) -> Float3:
    maxilla = ellipsoid(both, (24, 66, -60), (19, 22, 20))
    cheek = tube(both, [(46, 72, -46, 6), (64, 30, -46, 3.5)])
    base = ellipsoid(both, (0, 34, -34), (24, 26, 13))
    level: Float3 = np.minimum(np.minimum(maxilla, cheek), base)
    return level


def _face_air(at: Frame, both: Frame, cells: Float3) -> Float3:
    nasal = ellipsoid(both, (5, 74, -56), (9, 33, 17))
    nasal = np.maximum(nasal, np.float32(1.1) - both.x)
    shells = np.abs(ellipsoid(both, (12, 70, -56), (6, 26, 8))) - np.float32(1.8)
    nasal = np.maximum(nasal, -shells)
    maxillary = ellipsoid(both, (27, 64, -58), (13, 17, 15))
    sphenoid = ellipsoid(both, (6, 34, -33), (8, 12, 9))
    ethmoid = np.maximum(ellipsoid(both, (6, 60, -33), (8, 19, 9)), 3 * cells - 2)
    frontal = ellipsoid(both, (8, 92, -2), (12, 5, 11))
    throat = tube(at, [(0, 30, -56, 8), (0, 14, -76, 8), (0, 14, -100, 6), (0, 20, -150, 9)])
    level: Float3 = nasal
    for cavity in (maxillary, sphenoid, ethmoid, frontal, throat):
        level = np.asarray(np.minimum(level, cavity), dtype=np.float32)
    return level


def draw_skull(canvas: Canvas, cranium: Float3, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Paint the skull's two tables and the marrow between them."""
    at = canvas.at
    varied = lattice_noise(rng, at.shape, 24 / at.step)
    thick = anatomy.skull_mm * np.clip(1 + np.float32(0.22) * varied, 0.5, 1.5)
    outer = cranium - thick
    keep_air = np.where(canvas.labels == Tissue.AIR, 3 - cranium, np.float32(-99))
    canvas.paint(np.maximum(outer, keep_air), Tissue.BONE)
    marrow = np.maximum(outer + np.float32(1.7), np.float32(1.5) - cranium)
    marrow = np.maximum(marrow, keep_air)
    canvas.paint(marrow, Tissue.MARROW, gain=1 + np.float32(0.25) * varied[:, ::-1])


def draw_orbits(canvas: Canvas) -> None:
    """Paint orbital fat, eye muscles, optic nerves and the eyeballs with their lenses."""
    part = canvas.part((-56, 20, -62), (56, 112, -2))
    both = mirrored(part.at)
    cone = tube(both, [(12, 42, -28, 4), (31, 76, -32, 18)])
    part.paint(cone - 2, Tissue.BONE)
    part.paint(np.maximum(cone, both.y - 88), Tissue.FAT)
    tissue = tube(both, [(12, 40, -28, 2), (30, 72, -32, 2.2)])
    for side, rise in ((9, 0), (-9, 0), (0, 9), (0, -10)):
        belly = (21 + side * 0.7, 60, -30 + rise * 0.7, 2.3)
        rim = (32 + side * 1.3, 78, -32 + rise * 1.3, 1.2)
        tissue = np.minimum(tissue, tube(both, [(13, 44, -28, 1.2), belly, rim]))
    part.paint(tissue, Tissue.MUSCLE)
    part.paint(ellipsoid(both, (32, 83, -32), (13, 13, 13)), Tissue.MUSCLE)
    part.paint(ellipsoid(both, (32, 83, -32), (11.7, 11.7, 11.7)), Tissue.EYE)
    part.paint(ellipsoid(both, (32, 91.5, -32), (4.5, 2.2, 4.5)), Tissue.MUSCLE, gain=1.1)


def draw_cavity(canvas: Canvas, cranium: Float3, anatomy: Anatomy) -> None:
    """Paint dura, subarachnoid CSF, falx and tentorium, and the spinal canal."""
    if anatomy.dura_mm > 0:
        canvas.paint(cranium, Tissue.DURA)
    canvas.paint(cranium + np.float32(anatomy.dura_mm), Tissue.CSF)
    part = canvas.part((-30, -75, -138), (30, 20, CUT_Z_MM + 4))
    canal = tube(part.at, stem_path()[3:]) - np.float32(4)
    below = np.maximum(canal, part.at.z - np.float32(CUT_Z_MM))
    part.paint(below, Tissue.SPINAL_CSF)
    low = canvas.labels[:, :, : int((CUT_Z_MM - LOW[2]) / STEP_MM) + 1]
    low[low == Tissue.CSF] = Tissue.SPINAL_CSF
    sinus = canvas.part((-12, -112, -40), (12, 60, 98))
    inner = cranium[crop(canvas.at, (-12, -112, -40), (12, 60, 98))[1]]
    wedge = np.abs(sinus.at.x) * np.float32(1.2) + np.abs(inner) - np.float32(5.5)
    behind = np.maximum(wedge, 5 - sinus.at.z - np.float32(0.3) * sinus.at.y)
    sinus.paint(np.maximum(behind, inner), Tissue.DURA, gain=0.8)


def draw_cerebrum(part: Canvas, hull: Float3, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Paint the cortical ribbon, white matter and deep grey matter of the cerebrum."""
    at, both = part.at, mirrored(part.at)
    callosum = ellipsoid(at, (0, -4, 3), (30, 40, 25))
    bend = np.float32(0.8) * np.sin(at.y / 19) + np.float32(0.6) * np.sin(at.z / 14)
    fissure = np.maximum(np.abs(at.x - bend) - np.float32(0.9), -callosum)
    lips = hull - np.float32(1.0)
    sylvian = np.abs(at.z + 12 + np.float32(0.4) * (at.y - 30)) * np.float32(0.93)
    sylvian = np.maximum(sylvian - np.float32(1.4), np.maximum(at.y - 40, -30 - at.y))
    sylvian = np.maximum(sylvian, 33 - both.x)
    grooves = np.minimum(fissure, sylvian)
    smooth = smooth_cut(hull, -grooves, 4.0)
    sheet, floor = sulci(at, smooth, anatomy, rng)
    gap = np.float32(anatomy.gap_mm) * np.clip(1 + (smooth + 4) / 10, 0.6, 1.8)
    ribbon = np.float32(anatomy.cortex_mm)
    pial = smooth_cut(smooth, -np.maximum(sheet - gap, floor), 2.5)
    white = smooth_cut(smooth + ribbon, -np.maximum(sheet - gap - ribbon, floor - ribbon), 1.5)
    core = np.maximum(callosum, np.abs(at.x) - 9)
    part.paint(np.minimum(pial, np.maximum(core, lips)), Tissue.GREY)
    mottle = lattice_noise(rng, at.shape, 9 / at.step)
    part.paint(np.minimum(white, callosum + 3), Tissue.WHITE, gain=1 + np.float32(0.015) * mottle)
    deep = ellipsoid(both, (11.5, -9, 3), (10, 16, 11))
    for centre, semi in (((14, 20, 7), (6, 15, 9)), ((27, 7, 0), (7.5, 20, 13))):
        deep = np.minimum(deep, ellipsoid(both, centre, semi))
    part.paint(deep, Tissue.DEEP_GREY)


def sulci(
    at: Frame, smooth: Float3, anatomy: Anatomy, rng: np.random.Generator
) -> tuple[Float3, Float3]:
    """Return the folds as sheets that stand upright on the surface ``smooth``.

    The sheets are the zero surfaces of noise, read where a point falls onto the surface, so
    that they go straight down; a share of the depth lets them bend.

    Returns
    -------
    sheet : (I, J, K) float32, mm
        Distance to the middle of the nearest sulcus.
    floor : (I, J, K) float32, mm
        Negative above the sulcus' own floor.
    """
    lattice, size = 2.0, 112
    noise = band_noise(rng, size, wavelength=anatomy.fold_mm / lattice, octaves=0.28)
    slope = np.sqrt(sum(g**2 for g in np.gradient(noise))) / np.float32(lattice)
    drop = np.clip(smooth, -25, 5) * np.float32(0.8 / at.step)
    places = [
        (axis - drop * np.gradient(smooth, axis=n)) / np.float32(lattice) + size / 2
        for n, axis in enumerate((at.x, at.y, at.z))
    ]
    places[0] = places[0] + np.where(at.x > 0, np.float32(size / 3), np.float32(0))
    value = ndimage.map_coordinates(noise, places, order=1, mode="grid-wrap")
    rate = ndimage.map_coordinates(slope, places, order=1, mode="grid-wrap")
    sheet = np.abs(value) / np.maximum(rate, np.float32(0.12))
    varied = lattice_noise(rng, at.shape, 16 / at.step)
    depth = anatomy.sulcus_mm * np.clip(1 + np.float32(0.3) * varied, 0.5, 1.4)
    floor: Float3 = -smooth - depth.astype(np.float32)
    return sheet, floor


def draw_ventricles(part: Canvas, anatomy: Anatomy) -> None:
    """Paint the lateral and the third ventricles."""
    more = anatomy.ventricle_mm
    middle = part.part((-45, -70, -35), (45, 50, 35))
    both = mirrored(middle.at)
    body = [(6, 35, 8, 3), (7, 20, 16, 4), (9, -8, 20, 4), (15, -28, 17, 5), (24, -38, 4, 5.5)]
    horn = [(24, -38, 4, 5), (33, -22, -12, 2.5), (32, 0, -22, 1.8)]
    back = [(24, -38, 4, 4.5), (22, -58, 2, 1.5)]
    level = smooth_union(tube(both, body), tube(both, horn), 4.0)
    level = smooth_union(level, tube(both, back), 4.0) - np.float32(more)
    level = np.maximum(level, np.float32(0.9) - both.x)
    third = ellipsoid(both, (0, -2, -4), (1.6 + 0.4 * more, 15, 10))
    middle.paint(np.minimum(level, third), Tissue.VENTRICLE)


def draw_cerebellum(part: Canvas, cerebrum: Float3, rng: np.random.Generator) -> None:
    """Paint the foliated cerebellum: leaves fan out from the fourth ventricle's roof."""
    low, high = (-58, -88, -68), (58, -15, -8)
    leaf = part.part(low, high)
    at = leaf.at
    above = cerebrum[crop(part.at, low, high)[1]]
    hull = smooth_cut(cerebellum_hull(at), np.float32(1.5) - above, 2.0)
    wobble = lattice_noise(rng, at.shape, 14 / at.step)
    dy, dz = -(at.y + 24), at.z + 38
    turn = np.arctan2(dz + np.float32(0.05) * np.abs(at.x) * 2, dy) + np.float32(0.05) * wobble
    reach = np.sqrt(dy**2 + dz**2)
    phase = np.sin(turn * 20)
    sheet = np.abs(phase) * reach / 20
    fissures = np.maximum(sheet - np.float32(0.55), -hull - np.float32(7))
    leaf.paint(smooth_cut(hull, -fissures, 1.0), Tissue.CEREBELLUM_GREY)
    ridges = np.maximum(np.float32(1.9) - sheet, hull + np.float32(2.5))
    core = hull + np.float32(11) + 5 * np.cos(turn * 6)
    white = np.minimum(ridges, np.maximum(core, hull + np.float32(5)))
    leaf.paint(white, Tissue.CEREBELLUM_WHITE)


def draw_stem(canvas: Canvas) -> None:
    """Paint midbrain, pons, medulla and cord; the cut between them lies at ``CUT_Z_MM``."""
    part = canvas.part((-32, -60, -138), (32, 14, 2))
    at = part.at
    path = tube(at, stem_path())
    pons = ellipsoid(at, (0, -13, -31), (17, 13, 13))
    peduncle = tube(mirrored(at), [(12, -22, -33, 7), (20, -40, -38, 6)])
    level = smooth_union(smooth_union(path, pons, 6.0), peduncle, 5.0)
    cut = at.z - np.float32(CUT_Z_MM)
    outside = np.float32(-1.5) - at.z  # the midbrain ends below the thalamus
    part.paint(np.maximum(level, np.maximum(-cut, -outside)), Tissue.STEM)
    part.paint(np.maximum(path, cut), Tissue.CORD)
    fourth = ellipsoid(at, (0, -29, -36), (6, 4, 10))
    aqueduct = tube(at, [(0, -26, -12, 0.9), (0, -28, -30, 1.2)])
    part.paint(smooth_union(fourth, aqueduct, 2.0), Tissue.VENTRICLE)
