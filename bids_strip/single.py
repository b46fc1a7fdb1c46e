"""One image in, mask and distances out: the library's front door."""

from __future__ import annotations

import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from bids_strip.card import find_card
from bids_strip.domain import Source
from bids_strip.errors import RunError
from bids_strip.geometry import STORED_STEP_MM
from bids_strip.machine.resources import available_cpus
from bids_strip.nifti import native_header
from bids_strip.participant.clean import clean
from bids_strip.participant.derive import derive
from bids_strip.participant.job import Clock
from bids_strip.participant.load import from_image, load
from bids_strip.participant.pipeline import predicted
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.participant.restore import restore
from bids_strip.settings import check_border


@dataclass(frozen=True, slots=True, eq=False)
class Stripped:
    """What `bids_strip.strip` gives.

    Attributes
    ----------
    mask
        uint8, 1 inside the brain.
    sdt
        float32, mm, negative inside; the mask is where it is at most the border.
    """

    mask: nib.Nifti1Image
    sdt: nib.Nifti1Image


def strip_image(
    image: str | PathLike[str] | SpatialImage,
    *,
    border_mm: float = 0.0,
    predictor: Predictor | None = None,
) -> Stripped:
    """Find the brain in one image; see `bids_strip.strip`.

    Parameters
    ----------
    image
        Path or image.
    border_mm
        Shift of the surface, mm.
    predictor
        The network; None opens the embedded one.
    """
    check_border(border_mm)
    network = predictor or load_predictor(find_card(None), device="auto", threads=available_cpus())
    if not isinstance(image, (str, os.PathLike)):
        return _stripped(from_image(image), network, border_mm)
    path = Path(image)
    try:
        return _stripped(load(path), network, border_mm)
    except RunError as error:
        if path.name in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _stripped(source: Source, network: Predictor, border_mm: float) -> Stripped:
    conformed, prediction = predicted(source.volume, network, Clock())
    surface = clean(prediction, conformed.zooms)
    distance = restore(surface, conformed.frame)
    brain = derive(source.volume, distance, border_mm=border_mm)
    mask = brain.mask.astype(np.uint8)
    sdt = (brain.sdt_steps * STORED_STEP_MM).astype(np.float32)
    return Stripped(mask=_image(mask, source), sdt=_image(sdt, source))


def _image(data: NDArray[np.generic], source: Source) -> nib.Nifti1Image:
    return nib.Nifti1Image(data, source.volume.grid.affine, native_header(data, source))
