"""NIfTI files: what damaged ones raise, and arrays as the bytes of compressed ones."""

from __future__ import annotations

import gzip
import zlib

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from bids_strip.domain import Grid, Source

DAMAGED = (
    ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error, OSError, ValueError,
    OverflowError,
)  # fmt: skip
"""What reading a damaged image raises, whichever part of it is."""
_COMPRESSION = 3
_TEMPLATE_CODE = 4
"""NIfTI's code of template coordinates, as in TemplateFlow's own files."""
_GEOMETRY = (
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip


def on_source(data: NDArray[np.generic], source: Source, *, slope: float | None = None) -> bytes:
    """A file on a run's own grid.

    Parameters
    ----------
    data : (I, J, K)
        As stored.
    source
        Its header's geometry is kept, field by field.
    slope
        What stored values are multiplied by; None for none.
    """
    return _packed(data, native_header(data, source), slope)


def on_template(data: NDArray[np.generic], grid: Grid, *, slope: float | None = None) -> bytes:
    """A file on a template's grid; the rest as in `on_source`."""
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_xyzt_units("mm")
    header.set_sform(grid.affine, _TEMPLATE_CODE)
    header.set_qform(grid.affine, _TEMPLATE_CODE)
    header["descrip"] = b"bids_strip"
    return _packed(data, header, slope)


def native_header(data: NDArray[np.generic], source: Source) -> nib.Nifti1Header:
    """A header for an array on the source's grid: its geometry, field by field."""
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    for name in _GEOMETRY:
        header[name] = source.header[name]
    header["pixdim"][4:] = 0
    header["descrip"] = b"bids_strip"
    return header


def _packed(data: NDArray[np.generic], header: nib.Nifti1Header, slope: float | None) -> bytes:
    header["scl_slope"] = slope if slope is not None else np.nan
    header["scl_inter"] = 0 if slope is not None else np.nan
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    body = header.binaryblock + b"\0" * 4 + np.asarray(data).tobytes(order="F")
    return gzip.compress(body, _COMPRESSION, mtime=0)
