"""Read what an earlier run stored, in place of making it anew."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from bids_strip.domain import Affine, Quantised, Shape3
from bids_strip.itk import read_itk_affine

_DAMAGED = (
    ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error, OSError, ValueError,
)  # fmt: skip


def read_stored(path: Path, shape: Shape3, *, step: float | None = None) -> Quantised | None:
    """Read a stored image.

    Parameters
    ----------
    path
        Of a run's ``desc-brain_sdt`` or ``desc-preproc``; read to its end, so that its checksum is
        checked.
    shape
        Of the run's own grid.
    step
        What stored values have to be multiplied by; None takes any.

    Returns
    -------
    Quantised or None
        None where the file is damaged or not what we store: it is to be made anew then.
    """
    try:
        stored: Any = nib.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes())).dataobj
        steps = stored.get_unscaled()
        slope = float(stored.slope)
    except _DAMAGED:
        return None
    known = step is None or slope == float(np.float32(step))
    if not known or steps.shape != shape or steps.dtype != np.int16:
        return None
    return Quantised(np.asarray(steps), slope)


def read_affine(path: Path) -> Affine | None:
    """Read a stored transform; None where it is damaged."""
    try:
        return read_itk_affine(path.read_bytes())
    except (OSError, ValueError):
        return None
