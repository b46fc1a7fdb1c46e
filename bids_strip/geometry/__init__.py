"""Grids, resampling, masks and signed distances; pure functions of arrays.

`boxes`
    Boxes and lattices of voxels.
`affines`
    What an affine makes of points, and of a part of a grid.
`resampling`
    From one regular grid to another.
`distance`
    Masks and level sets -> signed distances.
`stored`
    Distances as they are stored.
`masks`
    Sets of voxels.
"""

from bids_strip.geometry.affines import mapped, windowed
from bids_strip.geometry.boxes import (
    Box,
    bounding_box,
    corners_apart_mm,
    every_nth,
    shape_multiple,
)
from bids_strip.geometry.distance import (
    distance_within,
    gradient_at,
    redistanced,
    signed_distance,
)
from bids_strip.geometry.masks import (
    CLOSING_MM,
    Rest,
    brain_region,
    closed,
    dice,
    dilated,
    filled,
    largest_component,
)
from bids_strip.geometry.resampling import (
    affine_resampled,
    native_box,
    resampled,
    resampling_matrix,
    to_native,
)
from bids_strip.geometry.stored import STORED_STEP_MM, off_threshold, quantised, within

__all__ = [
    "CLOSING_MM", "STORED_STEP_MM", "Box", "Rest", "affine_resampled", "bounding_box",
    "brain_region", "closed", "corners_apart_mm", "dice", "dilated", "distance_within",
    "every_nth", "filled", "gradient_at", "largest_component", "mapped", "native_box",
    "off_threshold", "quantised", "redistanced", "resampled", "resampling_matrix",
    "shape_multiple", "signed_distance", "to_native", "windowed", "within",
]  # fmt: skip
