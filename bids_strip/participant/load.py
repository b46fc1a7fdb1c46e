"""Read a run's image: the first stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from bids_strip.dataset.content import describe_missing, describe_refusal
from bids_strip.domain import Affine, Float3, Grid, Shape3, Source, Volume
from bids_strip.errors import LoadError
from bids_strip.geometry import corners_apart_mm
from bids_strip.nifti import (
    DAMAGED,
    are_intensities,
    in_rows,
    is_nifti,
    promise_of,
    quiet_headers,
    read_header,
    read_nifti,
    stored_type,
    volume_shape,
)
from bids_strip.printable import first_line

_FORM_TOLERANCE_MM = 0.5
_LEAST_MM3 = 1e-18
"""A voxel of a micrometre given in metres; what is smaller has no volume."""
_UNIT_CODES = {1: "meter", 3: "micron"}
"""NIfTI's, of ``xyzt_units``' lowest three bits; codes that mean nothing pass, as mm do."""
_UNITS_MM = {"meter": 1000.0, "micron": 0.001}
_FILL_SHARE = 0.001
"""Least share of the voxels that one value below 0 holds to be a fill value, and"""
_FILL_GAP = 0.5
"""least distance to the others, as a share of their range."""
_FILL_BELOW = 0.1
"""So far below the darkest it is taken then, as a share of that range."""
_BRIGHT, _NTH = 99.9, 16
_FIELD_MM = (10.0, 700.0)
"""Longest side of a field of view, from a small animal's to all that is scanned of people."""


def load(path: Path) -> Source:
    """Read an image file.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file.

    Raises
    ------
    LoadError
        If the file is absent, forbidden, cut short, not an image, not three-dimensional, empty or
        constant.
    """
    try:
        _check_content(path)
        with quiet_headers():  # nibabel prints what it mends in a header
            if is_nifti(path):  # what is no volume is not unpacked
                header = read_header(path)
                _shape(promise_of(header).shape, str(path))
                _check_values(stored_type(header), str(path))
            image = read_nifti(path)
            if not isinstance(image, SpatialImage):
                raise LoadError(f"{path}: holds no volume; give a NIfTI image")
            return from_image(image, name=str(path))
    except DAMAGED as error:
        raise _unreadable(str(path), error) from error


def _unreadable(name: str, error: Exception) -> LoadError:
    """What one of `DAMAGED` means."""
    damaged = (
        f"cannot be read ({first_line(error)}); the file is damaged or incomplete: copy or "
        "convert it again"
    )
    return LoadError(f"{name}: {describe_refusal(error) or damaged}")


def _check_content(path: Path) -> None:
    """Refuse a name without a file.

    Raises
    ------
    LoadError
        Then.
    """
    missing = describe_missing(path)
    if missing:
        raise LoadError(f"{path}: {missing}")
    if path.is_file():
        return
    if path.exists():
        raise LoadError(f"{path}: not a plain file; put the image itself there")
    raise LoadError(f"{path}: no such file; was it moved while this ran?")


def from_image(image: SpatialImage, *, name: str = "image") -> Source:
    """Take an image that is open already; its voxels may still lie in its file.

    Parameters
    ----------
    image
        As nibabel gives it.
    name
        What messages call it.

    Raises
    ------
    LoadError
        As `load`.
    """
    if not isinstance(image, SpatialImage):
        raise LoadError(f"{name}: a {type(image).__name__}; give a path or an image of nibabel's")
    i, j, k = _shape(image.shape, name)
    _check_values(image.get_data_dtype(), name)
    header = image.header if isinstance(image.header, nib.Nifti1Header) else _nifti_header(image)
    affine = _affine(image, name)
    _check_units(header, Grid((i, j, k), affine), name)
    try:
        data = np.asanyarray(image.dataobj).reshape((i, j, k), order="F")
    except DAMAGED as error:
        raise _unreadable(name, error) from error
    finite, nonfinite = _finite(data)
    intensities, filled = _unfilled(finite)
    if intensities.size == 0 or intensities.min() == intensities.max():
        lost = f" ({nonfinite} are not finite in single precision)" if nonfinite else ""
        raise LoadError(f"{name}: all voxels are equal{lost}; there is no image in this file")
    return Source(
        volume=Volume(intensities, Grid((i, j, k), affine)),
        header=header.copy(),
        nonfinite_voxels=nonfinite,
        fill_voxels=filled,
        form_mismatch=_form_mismatch(header, (i, j, k)),
        no_orientation=int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0,
        sheared=_sheared(affine),
    )


def _shape(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    """The shape of one volume.

    Raises
    ------
    LoadError
        If it is not that of one.
    """
    found = volume_shape(shape)
    if found is not None:
        return found
    volumes = math.prod(shape[3:])
    series = f"holds {volumes} volumes ({_by(shape)} voxels)"
    flat = f"shape {_by(shape)} is not a volume"
    raise LoadError(
        f"{name}: {series if volumes != 1 else flat}; give a 3-D image (extract one frame of a "
        "series)"
    )


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "0"


def _check_values(kind: np.dtype[Any], name: str) -> None:
    """Refuse colours and complex numbers, before they are read.

    Raises
    ------
    LoadError
        Then.
    """
    if not are_intensities(kind):
        what = "colours (" + ", ".join(kind.fields) + ")" if kind.fields else f"{kind} values"
        raise LoadError(f"{name}: holds {what}, not intensities; give a magnitude image")


def _affine(image: SpatialImage, name: str) -> Affine:
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < _LEAST_MM3:
        raise LoadError(
            f"{name}: its affine has no volume (voxel sizes of zero or not finite); convert it "
            "again from the scanner's files"
        )
    if np.isnan(nib.orientations.io_orientation(affine)).any():
        raise LoadError(
            f"{name}: the axes of its affine do not point in three directions; convert it again "
            "from the scanner's files"
        )
    return affine


def _check_units(header: nib.Nifti1Header, grid: Grid, name: str) -> None:
    """Refuse sizes in metres or micrometres: readers of the outputs would take them as mm.

    The units of many headers are wrong: they count where the sizes make sense in them alone.

    Raises
    ------
    LoadError
        Then.
    """
    unit = _UNIT_CODES.get(int(header["xyzt_units"]) & 7, "")
    longest = max(n * zoom for n, zoom in zip(grid.shape, grid.zooms, strict=True))
    low, high = _FIELD_MM
    if low <= longest <= high or not low <= longest * _UNITS_MM.get(unit, 0.0) <= high:
        return
    words = {"meter": "metres", "micron": "micrometres"}[unit]
    raise LoadError(
        f"{name}: its voxel sizes are in {words} ({' x '.join(f'{z:.4g}' for z in grid.zooms)}), "
        f"tools take them as mm; multiply its affine by {_UNITS_MM[unit]:g}, or convert it again"
    )


def _finite(data: NDArray[np.generic]) -> tuple[Float3, int]:
    """Float32 with zeros for NaN and infinity, and how many there were."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = in_rows(data, np.float32)
    finite = np.isfinite(values)
    count = int(values.size - np.count_nonzero(finite))
    if count:
        values = np.where(finite, values, np.float32(0))
    return values, count


def _unfilled(values: Float3) -> tuple[Float3, int]:
    """A little below the darkest for a fill value far below it, and how many voxels had that.

    What was not scanned is filled with -32768 or -3024, say (DICOM's pixel padding value): taken
    as brightness it would leave the head a few per cent of the range. 0 is no such value. It stays
    apart from the others: it may be what lies around a stripped brain.
    """
    least = values.min(initial=0)
    if least == 0:
        return values, 0
    holds = values == least
    count = int(np.count_nonzero(holds))
    if not _FILL_SHARE * values.size <= count < values.size:
        return values, 0
    rest = values[~holds]
    darkest, brightest = rest.min(), np.percentile(rest[::_NTH], _BRIGHT)
    if darkest == brightest or darkest - least < _FILL_GAP * (brightest - darkest):
        return values, 0
    below = darkest - np.float32(_FILL_BELOW * (brightest - darkest))
    return np.where(holds, below, values), count


def _sheared(affine: Affine) -> bool:
    """True if two voxel axes are over a degree from a right angle."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > np.sin(np.deg2rad(1.0)))


def _form_mismatch(header: nib.Nifti1Header, shape: Shape3) -> bool:
    """True if sform and qform are both set and place a corner over half a mm apart."""
    if int(header["sform_code"]) == 0 or int(header["qform_code"]) == 0:
        return False
    try:
        apart_mm = corners_apart_mm(header.get_sform(), header.get_qform(), shape)
    except ValueError:  # a quaternion that is none
        return True
    return apart_mm > _FORM_TOLERANCE_MM


def _nifti_header(image: SpatialImage) -> nib.Nifti1Header:
    """A NIfTI header for an image of another format."""
    return nib.Nifti1Image(np.empty(image.shape[:3], np.uint8), image.affine).header
