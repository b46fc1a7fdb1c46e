"""Values that pass between stages: frozen, no I/O.

Words, each defined once:

grid
    Shape and affine together.
affine
    (4, 4) float64, maps voxel indices to RAS+ millimetres.
zooms
    Voxel sizes in mm along the three voxel axes.
native, conformed
    The run's own grid, and the network's.
sdt
    Signed distance transform in mm, negative inside the brain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bids_strip.space import Space

if TYPE_CHECKING:
    import nibabel as nib

Float3 = NDArray[np.float32]
Float4 = NDArray[np.float32]
Bool3 = NDArray[np.bool_]
Affine = NDArray[np.float64]
Shape3 = tuple[int, int, int]
Zooms = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice in the scanner's space.

    Attributes
    ----------
    shape
        Voxels along the axes i, j, k.
    affine
        (4, 4) float64, voxel -> RAS+ mm.
    """

    shape: Shape3
    affine: Affine

    @cached_property
    def zooms(self) -> Zooms:
        """Voxel sizes in mm: the lengths of the affine's columns."""
        i, j, k = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(i), float(j), float(k)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, eq=False)
class Volume:
    """An image on a grid.

    Attributes
    ----------
    data
        (I, J, K) float32.
    grid
        Where the voxels lie.
    """

    data: Float3
    grid: Grid


@dataclass(frozen=True, slots=True)
class Run:
    """One image of the raw dataset.

    Attributes
    ----------
    path
        Absolute path of the image.
    relative
        The same below BIDS_DIR, with forward slashes.
    entities
        Pairs of BIDS entity key and label in the order of the file name, for example
        ``(("sub", "01"), ("ses", "1"), ("run", "02"))``; zero padding kept.
    suffix
        For example ``T1w``.
    """

    path: Path
    relative: str
    entities: tuple[tuple[str, str], ...]
    suffix: str

    @property
    def stem(self) -> str:
        """File name without suffix and extension, for example ``sub-01_ses-1``."""
        return "_".join(f"{key}-{label}" for key, label in self.entities)

    @property
    def folder(self) -> str:
        """Where BIDS has such a file, for example ``sub-01/ses-1/anat``."""
        pairs = ((key, self.label(key)) for key in ("sub", "ses"))
        return "/".join([*(f"{key}-{label}" for key, label in pairs if label is not None), "anat"])

    @property
    def name(self) -> str:
        """File name without extension: the ``bids_name`` of tables."""
        return f"{self.stem}_{self.suffix}"

    def label(self, key: str) -> str | None:
        """Label of an entity, None where the name lacks it."""
        for known, label in self.entities:
            if known == key:
                return label
        return None


@dataclass(frozen=True, eq=False)
class Source:
    """A run's image as it was read.

    Attributes
    ----------
    volume
        Intensities as float32, with 0 in place of what is not finite, on the native grid.
    header
        The NIfTI header (a copy), for what outputs keep: affines, codes, zooms, units.
    nonfinite_voxels
        How many voxels were NaN or infinite.
    fill_voxels
        How many had a fill value far below all others; they lie a little below these.
    form_mismatch
        True if sform and qform are both set and differ; the sform is followed.
    no_orientation
        True if neither is set: nibabel's guess of left and right is followed.
    sheared
        True if the voxel axes are not at right angles; they are taken to be.
    """

    volume: Volume
    header: nib.Nifti1Header
    nonfinite_voxels: int
    fill_voxels: int
    form_mismatch: bool
    no_orientation: bool
    sheared: bool


@dataclass(frozen=True, eq=False)
class Conformed:
    """A run on the network's grid.

    Attributes
    ----------
    data
        (I, J, K) float32, scaled as the card says; axes and zooms of the card.
    zooms
        Voxel sizes in mm, the card's.
    frame
        How this grid lies in the native one.
    """

    data: Float3
    zooms: Zooms
    frame: Frame


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a conformed grid lies in a native grid whose axes it shares.

    Attributes
    ----------
    axes
        Native voxel axis behind each conformed axis.
    flips
        True where the conformed axis runs against the native one.
    native_shape
        Native shape, in native order.
    firsts
        Position of the first conformed voxel along each conformed axis, in native voxels counted
        from that axis' own start.
    steps
        Distance between conformed voxels, in native voxels.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    native_shape: Shape3
    firsts: tuple[float, float, float]
    steps: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says, on the conformed grid.

    Attributes
    ----------
    brain_mm : (I, J, K) float32, mm
        Signed distance to the brain surface.
    shares : (6, I, J, K) float32
        Of each label in a voxel, their sum 1: 0 BG, 1 GM, 2 WM, 3 CSF, 4 bone, 5 soft tissue; None
        if the network gives none.
    no_csf_mm : (I, J, K) float32, mm
        Signed distance to the surface of the tissue; None if the network gives none.
    """

    brain_mm: Float3
    shares: Float4 | None = None
    no_csf_mm: Float3 | None = None


@dataclass(frozen=True, eq=False)
class NetworkTissues:
    """What the network says of tissues, and where its grid lies in the native one.

    Attributes
    ----------
    shares : (6, I, J, K) float32
        As of a `Prediction`, on the conformed grid; None if the network gives none.
    frame
        Of that grid.
    """

    shares: Float4 | None
    frame: Frame


@dataclass(frozen=True, eq=False)
class Surface:
    """The cleaned surface on the conformed grid.

    Attributes
    ----------
    mm : (I, J, K) float32
        True distances to the surface: one component, no holes.
    components_removed, component_ml_removed
        Separate pieces that were dropped, and their volume.
    holes_filled_ml
        Volume of enclosed holes that were filled.
    slope
        Mean length of the network's own SDT gradient within 2 mm of the surface; 1 is ideal.
    deviation
        Mean of what that length differs from 1 by, there.
    """

    mm: Float3
    components_removed: int
    component_ml_removed: float
    holes_filled_ml: float
    slope: float
    deviation: float = 0.0


@dataclass(frozen=True, eq=False)
class BrainMask:
    """A run's mask and distances on its native grid.

    Attributes
    ----------
    mask : (I, J, K) bool
        ``mask == (sdt <= border_mm)``, voxel for voxel, of the distances as stored.
    sdt_steps : (I, J, K) int16
        Signed distance in steps of `SDT_STEP_MM`, negative inside.
    border_mm
        Shift of the surface.
    already_stripped
        True if the input had no head around the brain: the mask is its closed non-zero set.
    network_dice
        Dice of the network's surface with this one, neither of them shifted.
    edited
        True if a rater drew the mask.
    """

    mask: Bool3
    sdt_steps: NDArray[np.int16]
    border_mm: float
    already_stripped: bool
    network_dice: float
    edited: bool = False


@dataclass(frozen=True, eq=False)
class Template:
    """A template's image and the mask of its brain.

    Attributes
    ----------
    space
        Which one.
    image
        T1w intensities.
    mask : (I, J, K) bool
        On the image's grid.
    source
        The image's file, below TEMPLATEFLOW_HOME.
    """

    space: Space
    image: Volume
    mask: Bool3
    source: str = ""


@dataclass(frozen=True, eq=False)
class Registration:
    """Where a run lies in a template space.

    Attributes
    ----------
    space
        Which one.
    grid
        The template's.
    to_template : (4, 4) float64
        RAS+ mm of the run -> RAS+ mm of the template.
    mask : (I, J, K) bool
        The run's mask on that grid.
    dice
        Of the run's surface, without the border, with the template's mask.
    stretch
        Least and most factor of length over all directions.
    plausible
        False where a head cannot differ so much from the template.
    source
        The template's file, below TEMPLATEFLOW_HOME.
    outline : (I, J, K) bool
        The template's own mask, to be drawn beside the run's.
    """

    space: Space
    grid: Grid
    to_template: Affine
    mask: Bool3
    dice: float
    stretch: tuple[float, float]
    plausible: bool
    source: str = ""
    outline: Bool3 | None = None


@dataclass(frozen=True, eq=False)
class Normalised:
    """A run's brightness, corrected.

    Attributes
    ----------
    volume
        ``(source - floor) * scale / exp(log_field)`` on the native grid.
    log_field : (I, J, K) float32
        Natural logarithm of the field; its mean within the surface is 0.
    floor
        What brightness is counted from: 0 unless the brain lies below it.
    scale
        What brings the median of white matter to its value.
    """

    volume: Volume
    log_field: Float3
    floor: float
    scale: float


@dataclass(frozen=True, eq=False)
class Quantised:
    """An image as it is stored.

    Attributes
    ----------
    steps : (I, J, K) int16
        On the native grid.
    step
        What they are multiplied by.
    """

    steps: NDArray[np.int16]
    step: float


@dataclass(frozen=True, eq=False)
class Segmented:
    """A run's tissues on its native grid.

    Attributes
    ----------
    labels : (I, J, K) uint8
        0 BG, 1 GM, 2 WM, 3 CSF, 4 bone, 5 soft tissue; 1 to 3 within the surface, nowhere else.
    steps : (3, I, J, K) uint8
        Shares of GM, WM, CSF in steps of 1/255; their sum is 255 within the surface, 0 outside.
    """

    labels: NDArray[np.uint8]
    steps: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Match:
    """A run's surface, without the border, on the coarse reference brain.

    Attributes
    ----------
    pose : (4, 4) float64
        RAS+ mm of the reference -> RAS+ mm of the run.
    grid
        The reference's: 4 mm, RAS, mirrored in its middle plane.
    sdt_mm : (I, J, K) float32
        The run's distances there, in the reference's mm.
    expected_mm : (I, J, K) float32
        The reference's own, clipped to +-12 mm.
    shift_mm : (I, J, K) float32
        How far the run's surface lies outside the reference's around each point of the latter,
        beyond what heads differ by; 0 away from it.
    """

    pose: Affine
    grid: Grid
    sdt_mm: Float3
    expected_mm: Float3
    shift_mm: Float3


@dataclass(frozen=True, eq=False)
class Products:
    """All that was made of a run, for the stages that look at it as a whole.

    Attributes
    ----------
    source
        As it was read.
    brain
        Its mask and distances.
    preproc
        Its brightness, corrected, as it is stored; None where only masks are made anew.
    segmented
        Its tissues; None where only the border changes.
    registrations
        One a template space.
    match
        Its surface on the coarse reference; None where only the border changes, or where the
        surface holds too little to be matched.
    """

    source: Source
    brain: BrainMask
    preproc: Quantised | None = None
    segmented: Segmented | None = None
    registrations: tuple[Registration, ...] = ()
    match: Match | None = None


WHITE_MATTER = 1000.0
"""What the median of white matter is brought to."""
SDT_STEP_MM = 0.02
"""``scl_slope`` of stored distances."""
SDT_LIMIT_MM = 20.0
"""Stored distances lie within +- this."""
