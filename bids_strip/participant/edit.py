"""Read the mask that a rater edited, and notice one that was saved over ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image
from nibabel.orientations import io_orientation, ornt_transform
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from bids_strip.dataset.content import describe_missing, describe_refusal
from bids_strip.domain import Affine, Bool3, Grid, Run
from bids_strip.errors import EditError
from bids_strip.geometry import corners_apart_mm
from bids_strip.manual import same_manual
from bids_strip.naming import manual_name, names_of
from bids_strip.nifti import (
    DAMAGED,
    NotCompressedError,
    are_intensities,
    quiet_headers,
    read_nifti,
)
from bids_strip.printable import first_line
from bids_strip.record import Record

_TOLERANCE_MM = 0.5
"""How far a corner may lie off: editors round what they write into the header."""
_LEAST_ML = 10.0


def check_untouched(run: Run, record: Record | None, output_dir: Path) -> None:
    """Refuse to write over our mask where a rater has saved a correction onto it.

    Raises
    ------
    EditError
        Then: as `saved_over`.
    """
    path = saved_over(run, record, output_dir)
    if path:
        name = manual_name(run).rpartition("/")[2]
        raise EditError(
            f"{path}: was changed after it was written; save it as {name} to have it followed, or "
            "remove it (--force overwrites it)"
        )


def saved_over(run: Run, record: Record | None, output_dir: Path) -> Path | None:
    """Our mask where it is a whole image of another size than recorded; None if it is not.

    An edited mask beside it that the record does not know is what its rater wants, and one that
    was removed says that ours is to be made again.
    """
    name = names_of(run)["mask"]
    size = next((one.size for one in record.outputs if one.name == name), None) if record else None
    if record is None or size is None or not same_manual(run, output_dir, record.manual):
        return None
    path = output_dir / name
    return path if _is_another(path, size) else None


def _is_another(path: Path, size: int) -> bool:
    """True if a file has another size and is no torn image; where nobody may look it is none."""
    try:
        if path.stat().st_size == size:
            return False
        with quiet_headers():
            np.asanyarray(read_nifti(path).dataobj)
    except NotCompressedError:
        return _is_whole(path.read_bytes())
    except DAMAGED as error:
        return describe_refusal(error) is not None
    return True


def _is_whole(content: bytes) -> bool:
    """True if bytes are an uncompressed image in full."""
    for kind in (Nifti1Image, Nifti2Image):
        try:
            with quiet_headers():
                np.asanyarray(kind.from_bytes(content).dataobj)
        except DAMAGED:
            continue
        return True
    return False


def read_edit(path: Path, grid: Grid) -> Bool3:
    """Read an edited mask onto the run's own grid.

    Parameters
    ----------
    path
        A ``.nii.gz`` file: 0 outside, one other value inside, of any type. Axes may run in another
        order or direction than the run's; pieces and holes are the rater's to leave.
    grid
        The run's own.

    Returns
    -------
    (I, J, K) bool

    Raises
    ------
    EditError
        If the file's content is away or cannot be read, if it lies on another grid (over half a mm
        at a corner), or if it holds no mask.
    """
    if not path.name.endswith(".nii.gz"):
        raise EditError(
            f"{path}: an edited mask has to be compressed; save it as {path.name}.gz and remove "
            "this file"
        )
    try:
        missing = describe_missing(path)
        if missing:
            raise EditError(f"{path}: {missing}")
        with quiet_headers():
            image = _turned(read_nifti(path), grid.affine)
            if not are_intensities(image.get_data_dtype()):
                raise EditError(
                    f"{path}: holds colours or complex numbers, not a mask; save it with 0 outside "
                    "and one other value inside"
                )
            data = np.asanyarray(image.dataobj)
    except NotCompressedError as error:  # its name is right: the content has to follow
        raise EditError(
            f"{path}: it is not compressed; save it compressed under this name, or remove it"
        ) from error
    except DAMAGED as error:
        damaged = f"cannot be read ({first_line(error)}); save the edited mask again, or remove it"
        raise EditError(f"{path}: {describe_refusal(error) or damaged}") from error
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    _check_grid(path, data.shape, np.asarray(image.affine), grid)
    drawn = _inside(path, data)
    volume_ml = np.count_nonzero(drawn) * grid.voxel_volume_ml
    if volume_ml < _LEAST_ML:
        raise EditError(
            f"{path}: holds {volume_ml:.1f} ml, which is no brain; draw the whole of it"
        )
    return drawn


def _turned(image: SpatialImage, affine: Affine) -> SpatialImage:
    """The image with its axes in the order and directions of an affine's."""
    turn = ornt_transform(io_orientation(image.affine), io_orientation(affine))
    return image.as_reoriented(turn)


def _check_grid(path: Path, shape: tuple[int, ...], affine: Affine, grid: Grid) -> None:
    """Refuse another grid.

    Raises
    ------
    EditError
        With what differs.
    """
    if shape != grid.shape:
        given, wanted = ("x".join(map(str, one)) for one in (shape, grid.shape))
        raise EditError(
            f"{path}: its grid is {given}, the image's {wanted}; edit a copy of "
            "desc-brain_mask, or resample the edit onto the image"
        )
    off_mm = corners_apart_mm(affine, grid.affine, grid.shape)
    if not off_mm <= _TOLERANCE_MM:
        raise EditError(
            f"{path}: its affine places a corner {off_mm:.1f} mm off the image's; copy the header "
            "of desc-brain_mask to it"
        )


def _inside(path: Path, data: NDArray[np.generic]) -> Bool3:
    """What a mask of two values holds.

    Raises
    ------
    EditError
        If it is empty, full, or of more values than two.
    """
    values = np.unique(data)
    if values.size == 1:
        what = "empty" if values[0] == 0 else "without a voxel outside"
        raise EditError(f"{path}: the mask is {what}; draw the brain in it, or remove the file")
    if values.size != 2 or values[0] != 0 or not np.isfinite(values[1]):
        shown = ", ".join(f"{v:g}" for v in values[:3].astype(float))
        more = ", ..." if values.size > 3 else ""
        raise EditError(
            f"{path}: not a mask, its values are {shown}{more}; save it with 0 outside and one "
            "other value inside"
        )
    return np.asarray(data != 0)
