"""The table of cases: each a file made from a drawn head, and what has to come of it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_strip.example.anatomy import Tissue, draw_anatomy
from bids_strip.example.heads import DrawnHead, HeadDraw, draw_head, take_scan

ZOOM_MM = 2.5
WHITE_MATTER = 400
EPI_MEANS = {
    Tissue.CSF: 1.6, Tissue.VENTRICLE: 1.7, Tissue.SPINAL_CSF: 1.4, Tissue.GREY: 1.15,
    Tissue.CEREBELLUM_GREY: 1.15, Tissue.DEEP_GREY: 1.05, Tissue.MARROW: 0.1, Tissue.FAT: 0.15,
    Tissue.SKIN: 0.15, Tissue.MUSCLE: 0.15, Tissue.DURA: 0.1, Tissue.EYE: 1.5,
}  # fmt: skip
"""Brightness in an echo-planar image with fat suppression, white matter 1."""


@dataclass(frozen=True, slots=True)
class Same:
    """The network sees what it sees of the plain head.

    Attributes
    ----------
    flag
        What is told of the input beside; "" if nothing is.
    """

    flag: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A right mask.

    Attributes
    ----------
    dice
        Least Dice with the plain head's mask; with the truth where the voxels are others.
    reason
        What quality control has to say beside what it says of the plain head; "" where it may say
        nothing more, None where it may say anything.
    """

    dice: float
    reason: str | None = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A mask that is wrong: quality control says so by this reason, or no brain is found."""

    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A failure; its line names the file and holds these words."""

    words: str


Expected = Same | Result | Check | Line


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A file whose voxels are not the plain head's.

    Attributes
    ----------
    content
        Its bytes.
    truth : (I, J, K) bool
        Its brain; None where there is none, or where it is the plain one.
    mirrored
        True where the plain head's voxels run backwards along the first axis.
    """

    content: bytes
    truth: NDArray[np.bool_] | None = None
    mirrored: bool = False


Maker = Callable[["Heads"], "bytes | Made"]


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """The drawn head that the cases are made from.

    Attributes
    ----------
    draw
        Its parameters.
    plain
        As scanned at 2.5 mm.
    counts : (I, J, K) int16
        The plain head's intensities, white matter about 400.
    scanned
        The same head by another scan: takes changes of `Scan`.
    as_epi
        The same anatomy in the contrast of an echo-planar image, on a coarser grid.
    """

    draw: HeadDraw
    plain: DrawnHead
    counts: NDArray[np.int16]
    scanned: Callable[..., DrawnHead]
    as_epi: Callable[[], DrawnHead]

    @property
    def affine(self) -> NDArray[np.float64]:
        """Of the plain head."""
        return self.plain.affine


def drawn_heads() -> Heads:
    """Draw the head once; its scans are made as they are asked for."""
    draw = draw_head(np.random.default_rng(101))
    figure = draw_anatomy(draw.anatomy, draw.means)
    scan = replace(draw.scan, shape=(76, 92, 84), zooms=(ZOOM_MM,) * 3)
    plain = take_scan(figure, scan)
    means = tuple(EPI_MEANS.get(t, m) for t, m in zip(Tissue, draw.means, strict=True))

    def as_epi() -> DrawnHead:
        epi = draw_anatomy(draw.anatomy, means)
        return take_scan(epi, replace(scan, shape=(64, 64, 38), zooms=(3.4, 3.4, 4.0), blur_mm=2.5))

    return Heads(draw, plain, counted(plain.image),
                 lambda **changes: take_scan(figure, replace(scan, **changes)), as_epi)  # fmt: skip


def counted(image: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Intensities as a scanner stores them."""
    return np.rint(image * WHITE_MATTER).clip(0, 32767).astype(np.int16)


# how files are made --------------------------------------------------------------------------


def nifti(data: NDArray[Any], affine: NDArray[np.float64] | None, **header: Any) -> bytes:
    """A NIfTI-1 file; header fields are set last, as they stand."""
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    if affine is not None:
        image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    content = bytearray(image.to_bytes())
    return bytes(patched(content, **header))


def patched(content: bytearray, **fields: Any) -> bytearray:
    """Overwrite header fields of a NIfTI-1 file, little-endian."""
    layout = nib.Nifti1Header.template_dtype.newbyteorder("<")
    header = np.frombuffer(bytes(content[:348]), layout).copy()
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.tobytes()
    return content


def plain(heads: Heads, **header: Any) -> bytes:
    """The plain head; fields of its header changed."""
    return nifti(heads.counts, heads.affine, **header)


def valued(change: Callable[[NDArray[np.float64]], NDArray[Any]]) -> Maker:
    """The plain head with other values."""
    return lambda heads: nifti(change(heads.counts.astype(np.float64)), heads.affine)


def with_nonfinite(value: float) -> Maker:
    """One voxel in fifty is not a number."""

    def change(data: NDArray[np.float64]) -> NDArray[np.float32]:
        hit = np.random.default_rng(3).random(data.shape) < 0.02
        return np.where(hit, value, data).astype(np.float32)

    return valued(change)


def placed(affine: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Maker:
    """The plain head with another affine, in the sform alone."""

    def make(heads: Heads) -> bytes:
        rows = affine(heads.affine.copy())
        return plain(heads, qform_code=0, sform_code=1, srow_x=rows[0], srow_y=rows[1],
                     srow_z=rows[2])  # fmt: skip

    return make


def turned(degrees: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """An affine that turns the head about the left-right axis."""
    a = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return lambda affine: turn @ affine


def sheared(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The third axis leans by 15 degrees."""
    affine[1, 2] += np.tan(np.deg2rad(15)) * affine[2, 2]
    return affine


def with_column(column: int, values: Any) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """One axis of the affine is replaced."""

    def change(affine: NDArray[np.float64]) -> NDArray[np.float64]:
        affine[:3, column] = values
        return affine

    return change


def resized(factor: float, units: int = 2) -> Maker:
    """Voxel sizes times a factor, with a code of units."""

    def make(heads: Heads) -> bytes:
        content = bytearray(nifti(heads.counts, np.diag([factor, factor, factor, 1])
                                  @ heads.affine))  # fmt: skip
        return bytes(patched(content, xyzt_units=units))

    return make


def scanned(**changes: Any) -> Maker:
    """Another scan of the head."""
    return lambda heads: made(heads.scanned(**changes))


def epi(heads: Heads) -> Made:
    """One frame of an echo-planar series."""
    return made(heads.as_epi())


def made(head: DrawnHead) -> Made:
    """A drawn head as a file with its truth."""
    return Made(nifti(counted(head.image), head.affine), head.truth)


def left_handed(heads: Heads) -> Made:
    """The same head with i from right to left: negative determinant."""
    affine = heads.affine @ np.diag([-1, 1, 1, 1])
    affine[:3, 3] = heads.affine[:3, 3] + heads.affine[:3, 0] * (heads.counts.shape[0] - 1)
    return Made(nifti(heads.counts[::-1], affine), mirrored=True)


def big_endian(heads: Heads) -> bytes:
    """Header and voxels with the high byte first."""
    header = nib.Nifti1Header(endianness=">")
    return nib.Nifti1Image(heads.counts, heads.affine, header).to_bytes()


def scaled_bytes(heads: Heads) -> bytes:
    """uint8 with slope and intercept; the values are those of the plain head to half a step."""
    step = float(heads.counts.max()) / 255
    stored = np.rint(heads.counts / step).astype(np.uint8)
    return nifti(stored, heads.affine, scl_slope=step, scl_inter=-50.0)


def contradictory(heads: Heads) -> bytes:
    """The qform lies 40 mm from the sform, which is right."""
    return plain(heads, qoffset_x=heads.affine[0, 3] + 40)


def series(volumes: int) -> Maker:
    """A 4-D file, each frame a corner of the head."""
    return lambda heads: nifti(
        np.repeat(heads.counts[:20, :20, :20, None], volumes, axis=3), heads.affine
    )


def promise(heads: Heads) -> bytes:
    """A header of 10^12 voxels before the few that are there."""
    return plain(heads, dim=[3, 10_000, 10_000, 10_000, 1, 1, 1, 1])


def grid_of(shape: tuple[int, ...], zoom: float) -> tuple[NDArray[np.float64], Any]:
    """Affine of a grid centred on the origin, and positions in mm."""
    affine = np.diag([zoom, zoom, zoom, 1.0])
    affine[:3, 3] = -zoom * (np.array(shape) - 1) / 2
    return affine, np.ix_(*(zoom * (np.arange(n) - (n - 1) / 2) for n in shape))


def phantom(shape_of: Callable[..., Any]) -> Maker:
    """Water in air, with noise."""

    def make(_heads: Heads) -> bytes:
        affine, (x, y, z) = grid_of((90, 90, 90), ZOOM_MM)
        water = np.broadcast_to(shape_of(x, y, z), (90, 90, 90))
        noise = np.random.default_rng(4).normal(0, 8, (2, 90, 90, 90))
        return nifti(counted(np.hypot(400 * water + noise[0], noise[1]) / WHITE_MATTER), affine)

    return make


def noise(_heads: Heads) -> bytes:
    """Noise alone."""
    affine, _ = grid_of((80, 80, 80), ZOOM_MM)
    values = np.random.default_rng(5).rayleigh(30, (80, 80, 80))
    return nifti(values.astype(np.int16), affine)


def shrunk(brain_ml: float) -> Maker:
    """The whole head shrunk until its brain has this volume: an animal's field of view."""

    def make(heads: Heads) -> bytes:
        own_ml = heads.plain.truth.sum() * ZOOM_MM**3 / 1000
        return resized((brain_ml / own_ml) ** (1 / 3))(heads)

    return make


def packed_cut(heads: Heads) -> bytes:
    """Half of a gzip file."""
    content = gzip.compress(plain(heads), 1)
    return content[: len(content) // 2]


def packed_damaged(heads: Heads) -> bytes:
    """A byte in the middle of a gzip file turned over."""
    content = bytearray(gzip.compress(plain(heads), 1))
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


# the table -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A file and what has to come of it.

    Attributes
    ----------
    name
        Its participant's label.
    make
        Draws it.
    expected
        What has to come of it.
    packed
        False writes the bytes as they are under the name ``.nii``.
    zipped
        True where the bytes are a gzip file already.
    """

    name: str
    make: Maker
    expected: Expected
    packed: bool = True
    zipped: bool = False


SAME = Same()
LIKE = Result(0.99)
NAN, INF = float("nan"), float("inf")

CASES: tuple[Case, ...] = (
    # values
    Case("plain", plain, Result(0.9999)),
    Case("nan", with_nonfinite(NAN), Result(0.95, None)),
    Case("inf", with_nonfinite(INF), Result(0.95, None)),
    Case("negative", valued(lambda v: (v - 1000).astype(np.int16)), SAME),
    Case("huge", valued(lambda v: (v * 1e30).astype(np.float32)), Result(0.9999)),
    Case("huge64", valued(lambda v: v * 1e300), Line("not finite in single precision")),
    Case("tiny", valued(lambda v: (v * 1e-30).astype(np.float32)), Result(0.9999)),
    Case("constant", valued(lambda v: np.full_like(v, 7, np.int16)), Line("all voxels are equal")),
    Case("empty", valued(lambda v: np.zeros_like(v, np.int16)), Line("all voxels are equal")),
    Case("allnan", valued(lambda v: np.full_like(v, NAN, np.float32)), Line("are not finite")),
    Case("noise", noise, Check("unlike_a_brain")),
    # types
    Case("int64", valued(lambda v: v.astype(np.int64)), SAME),
    Case("uint16", valued(lambda v: v.astype(np.uint16)), SAME),
    Case("float64", valued(lambda v: v), SAME),
    Case("scaled", scaled_bytes, LIKE),
    Case("bigendian", big_endian, SAME),
    Case("nifti2", lambda h: nib.Nifti2Image(h.counts, h.affine).to_bytes(), SAME),
    Case("complex", valued(lambda v: v.astype(np.complex64)), Line("give a magnitude image")),
    Case("rgb", lambda h: nifti(
        np.zeros(h.counts.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), h.affine
    ), Line("give a magnitude image")),
    Case("unknowntype", lambda h: plain(h, datatype=4711), Line("cannot be read")),
    # shapes
    Case("2d", lambda h: nifti(h.counts[:, :, 40], h.affine), Line("76x92 is not a volume")),
    Case("oneslice", lambda h: nifti(h.counts[:, :, 40:41], h.affine), Line("76x92x1 is not")),
    Case("4d1", lambda h: nifti(h.counts[..., None], h.affine), SAME),
    Case("5d1", lambda h: nifti(h.counts[..., None, None], h.affine), SAME),
    Case("4d200", series(200), Line("200 volumes")),
    # files
    Case("zero", lambda _: b"", Line("0 bytes"), packed=False),
    Case("zerogz", lambda _: b"", Line("0 bytes"), zipped=True),
    Case("text", lambda _: b"no image" * 100, Line("cannot be read"), packed=False),
    Case("textgz", lambda _: b"no image" * 100, Line("it is not compressed"), zipped=True),
    Case("cut", lambda h: plain(h)[:200_000], Line("cannot be read"), packed=False),
    Case("cutgz", packed_cut, Line("cannot be read"), zipped=True),
    Case("damagedgz", packed_damaged, Line("cannot be read"), zipped=True),
    Case("notgz", plain, Line("has to end in .nii)"), zipped=True),
    Case("gzasnii", lambda h: gzip.compress(plain(h), 1), Line("to end in .nii.gz"), packed=False),
    Case("promise", promise, Line("promises 10000x10000x10000 voxels"), packed=False),
    Case("promisegz", promise, Line("promises 10000x10000x10000 voxels")),
    # where the voxels lie
    Case("noforms", lambda h: plain(h, sform_code=0, qform_code=0),
         Result(0.95, "no_orientation")),
    Case("sformalone", lambda h: plain(h, qform_code=0), SAME),
    Case("qformalone", lambda h: plain(h, sform_code=0), LIKE),
    Case("contradictory", contradictory, Same("form_mismatch")),
    Case("badquaternion", lambda h: plain(h, quatern_b=5.0), Same("form_mismatch")),
    Case("singular", placed(with_column(2, 0)), Line("its affine has no volume")),
    Case("parallel", placed(lambda a: with_column(2, a[:3, 1] * 1.01)(a)),
         Line("its affine has no volume")),
    Case("nanaffine", placed(with_column(1, NAN)), Line("its affine has no volume")),
    Case("sheared", placed(sheared), Result(0.9, "sheared")),
    Case("lefthanded", left_handed, LIKE),
    Case("turned", placed(turned(180)), Check("turned")),
    Case("oblique", scanned(oblique_deg=(20.0, -15.0, 10.0)), Result(0.93)),
    Case("far", placed(with_column(3, (3000.0, -4000.0, 5000.0))), SAME),
    Case("corner", scanned(shift_mm=(60.0, -60.0, 30.0), shape=(128, 128, 128)), Result(0.93)),
    # sizes
    Case("metres", resized(1e-3, units=1), Line("metres")),
    Case("micrometres", resized(1e3, units=3), Line("micrometres")),
    Case("metresunsaid", resized(1e-3, units=0), Line("are the voxel sizes in mm?")),
    Case("saidmetres", lambda h: plain(h, xyzt_units=1), SAME),
    Case("unitless", lambda h: plain(h, xyzt_units=0), SAME),
    Case("thick", scanned(shape=(180, 220, 26), zooms=(1.0, 1.0, 8.0)), Result(0.9, None)),
    Case("eight", scanned(shape=(24, 29, 27), zooms=(8.0, 8.0, 8.0)), Result(0.85, None)),
    Case("tenth", scanned(shape=(200, 200, 200), zooms=(0.1, 0.1, 0.1)), Check("unlike_a_brain")),
    Case("wide", scanned(shape=(190, 190, 190), zooms=(4.0, 4.0, 4.0)), Line("field of view")),
    # not the head of a person, or not its T1w image
    Case("ball", phantom(lambda x, y, z: x**2 + y**2 + z**2 < 85**2), Check("unlike_a_brain")),
    Case("bottle", phantom(lambda x, y, z: (x**2 + y**2 < 60**2) & (abs(z) < 90)),
         Check("unlike_a_brain")),
    Case("epi", epi, Result(0.85, None)),
    Case("mouse", shrunk(0.45), Line("no brain found")),
    Case("macaque", shrunk(90), Check("unlike_a_brain")),
)  # fmt: skip
