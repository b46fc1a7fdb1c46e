"""Read what an earlier run stored, in place of making it anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import SDT_STEP_MM, Affine, Quantised, Run, Shape3
from bids_strip.itk import read_itk_affine
from bids_strip.naming import names_of, transform_names
from bids_strip.nifti import DAMAGED, read_nifti


@dataclass(frozen=True, eq=False)
class Stored:
    """What a run with another border is made from.

    Attributes
    ----------
    sdt_steps : (I, J, K) int16
        Steps of `bids_strip.domain.SDT_STEP_MM`, negative inside.
    preproc
        The corrected image; None if no brain is cut from it.
    affines
        Of each template's anatomy: RAS mm of the run -> RAS mm of the template.
    """

    sdt_steps: NDArray[np.int16]
    preproc: Quantised | None
    affines: Mapping[str, Affine]


def read_stored(
    run: Run, output_dir: Path, shape: Shape3, *, brain: bool, anatomies: Iterable[str]
) -> Stored | None:
    """Read what a new border needs.

    Parameters
    ----------
    run
        Which one.
    output_dir
        OUTPUT_DIR.
    shape
        Of the run's own grid.
    brain
        True if the stripped image is made anew.
    anatomies
        Of the template spaces.

    Returns
    -------
    Stored or None
        None where a file is damaged or not what we store: all is to be made anew then. Images are
        read to their end, so that their checksums are checked.
    """
    names = names_of(run)
    try:
        sdt = _image(output_dir / names["sdt"], shape)
        preproc = _image(output_dir / names["preproc"], shape) if brain else None
        affines = {
            anatomy: read_itk_affine((output_dir / transform_names(run, anatomy)[1]).read_bytes())
            for anatomy in set(anatomies)
        }
    except DAMAGED:
        return None
    if sdt.step != float(np.float32(SDT_STEP_MM)):
        return None
    return Stored(sdt.steps, preproc, affines)


def _image(path: Path, shape: Shape3) -> Quantised:
    """An image as it was stored.

    Raises
    ------
    ValueError
        If it is not int16 on the run's own grid.
    """
    stored: Any = read_nifti(path).dataobj
    steps = np.asarray(stored.get_unscaled())
    if steps.shape != shape or steps.dtype != np.int16:
        raise ValueError(f"{path}: not on the run's own grid")
    return Quantised(steps, float(stored.slope))
