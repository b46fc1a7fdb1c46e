"""Read the distances that an earlier run stored, in place of predicting them."""

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
from numpy.typing import NDArray

from bids_strip.domain import SDT_STEP_MM, Shape3

_DAMAGED = (
    ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error, OSError, ValueError,
)  # fmt: skip


def read_stored(path: Path, shape: Shape3) -> NDArray[np.int16] | None:
    """Read stored distances.

    Parameters
    ----------
    path
        The ``desc-brain_sdt`` of a run; read to its end, so that its checksum is checked.
    shape
        Of the run's own grid.

    Returns
    -------
    (I, J, K) int16
        Steps of `bids_strip.domain.SDT_STEP_MM`, negative inside; None where the file is damaged or
        not what we store: it is to be made anew then.
    """
    try:
        stored: Any = nib.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes())).dataobj
        steps = stored.get_unscaled()
        known = float(stored.slope) == float(np.float32(SDT_STEP_MM))
    except _DAMAGED:
        return None
    if not known or steps.shape != shape or steps.dtype != np.int16:
        return None
    return np.asarray(steps)
