"""Read a run's image: the first stage."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from bids_strip.dataset.content import describe_missing
from bids_strip.domain import Affine, Float3, Grid, Source, Volume
from bids_strip.errors import LoadError
from bids_strip.nifti import DAMAGED, in_rows, quiet_headers, read_nifti

_FORM_TOLERANCE_MM = 0.5


def load(path: Path) -> Source:
    """Read an image file.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file.

    Raises
    ------
    LoadError
        If the file is absent, cut short, not an image, not three-dimensional, empty or constant.
    """
    missing = describe_missing(path)
    if missing:
        raise LoadError(f"{path}: {missing}")
    if not path.is_file():
        raise LoadError(f"{path}: no such file; was it moved while this ran?")
    try:
        with quiet_headers():  # nibabel prints what it mends in a header
            image = read_nifti(path)
            if not isinstance(image, SpatialImage):
                raise LoadError(f"{path}: holds no volume; give a NIfTI image")
            return from_image(image, name=str(path))
    except DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LoadError(
            f"{path}: cannot be read ({reason}); the file is damaged or incomplete: copy or "
            "convert it again"
        ) from error


def from_image(image: SpatialImage, *, name: str = "image") -> Source:
    """Take an image that is already in memory.

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
    data = np.asanyarray(image.dataobj)
    if data.dtype.fields is not None or np.iscomplexobj(data):
        raise LoadError(
            f"{name}: holds {data.dtype} values, not intensities; give a magnitude image"
        )
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3 or min(data.shape) < 2:
        raise LoadError(
            f"{name}: shape {'x'.join(map(str, data.shape))} is not a volume; give a 3-D image "
            "(extract one frame of a series)"
        )
    i, j, k = (int(n) for n in data.shape)
    affine = _affine(image, name)
    intensities, nonfinite = _finite(data)
    if intensities.size == 0 or intensities.min() == intensities.max():
        lost = f" ({nonfinite} are not finite in single precision)" if nonfinite else ""
        raise LoadError(f"{name}: all voxels are equal{lost}; there is no image in this file")
    header = image.header if isinstance(image.header, nib.Nifti1Header) else _nifti_header(image)
    return Source(
        volume=Volume(intensities, Grid((i, j, k), affine)),
        header=header.copy(),
        nonfinite_voxels=nonfinite,
        form_mismatch=_form_mismatch(header),
        no_orientation=int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0,
        sheared=_sheared(affine),
    )


def _affine(image: SpatialImage, name: str) -> Affine:
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
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


def _finite(data: NDArray[np.generic]) -> tuple[Float3, int]:
    """Float32 with zeros for NaN and infinity, and how many there were."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = in_rows(data, np.float32)
    finite = np.isfinite(values)
    count = int(values.size - np.count_nonzero(finite))
    if count:
        values = np.where(finite, values, np.float32(0))
    return values, count


def _sheared(affine: Affine) -> bool:
    """True if two voxel axes are over a degree from a right angle."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > np.sin(np.deg2rad(1.0)))


def _form_mismatch(header: nib.Nifti1Header) -> bool:
    """True if sform and qform are both set and place a corner over half a mm apart."""
    if int(header["sform_code"]) == 0 or int(header["qform_code"]) == 0:
        return False
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners[:, :3] *= np.array(header.get_data_shape()[:3]) - 1
    try:
        difference = corners @ (header.get_sform() - header.get_qform()).T
    except ValueError:  # a quaternion that is none
        return True
    return bool(np.abs(difference).max() > _FORM_TOLERANCE_MM)


def _nifti_header(image: SpatialImage) -> nib.Nifti1Header:
    """A NIfTI header for an image of another format."""
    return nib.Nifti1Image(np.empty(image.shape[:3], np.uint8), image.affine).header
