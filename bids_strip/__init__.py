"""Skull stripping for BIDS datasets; ``strip`` for a single image.

Nothing heavy is imported until it is used, so that the command line answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from nibabel.spatialimages import SpatialImage

    from bids_strip.single import Stripped

__version__ = "0.1.0"
__all__ = ["__version__", "strip"]


def strip(image: str | PathLike[str] | SpatialImage, *, border_mm: float = 0.0) -> Stripped:
    """Find the brain in one image.

    Parameters
    ----------
    image
        A head scan: a path, or an image as nibabel gives it; three dimensions (a last one of
        length 1 is dropped), any orientation and voxel size.
    border_mm : float
        Shift of the surface, mm, outwards if positive.

    Returns
    -------
    Stripped
        ``mask`` (uint8) and ``sdt`` (float32, mm, negative inside), images on the input's grid.

    Raises
    ------
    bids_strip.errors.RunError
        If the image cannot be read or no brain is found; the message says what to do.
    bids_strip.errors.UsageError
        If the border is not within -15 to 15 mm.
    """
    from bids_strip.single import strip_image

    return strip_image(image, border_mm=border_mm)
