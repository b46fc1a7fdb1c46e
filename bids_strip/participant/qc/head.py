"""The head in its air: background, noise, face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_strip.domain import WHITE_MATTER, Affine, Bool3, Float3, Match, Normalised
from bids_strip.geometry import every_nth, filled, largest_component, mapped, windowed
from bids_strip.participant.qc.tissues import Brightness, brightness

_APART_MM = 4.0
_LEAST = 0.15 * WHITE_MATTER
_BROW_MM = -10.0
"""Air above this height of the reference is free of what moves and flows."""
_FACE_MM = ((-44.0, 44.0), (82.0, 106.0), (-75.0, -20.0))
"""Eyes, nose and cheeks in the reference's mm: half and more of it is head in the training maps."""
_IN_VIEW = 0.5
_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Head:
    """A head on every n-th voxel, about 4 mm apart.

    Attributes
    ----------
    brightness : (I, J, K) float32
        Corrected, 0 where negative.
    mask : (I, J, K) bool
        The head, closed.
    air : (I, J, K) bool
        What is clear of it by a voxel.
    affine : (4, 4) float64
        Voxel -> RAS+ mm.
    """

    brightness: Float3
    mask: Bool3
    air: Bool3
    affine: Affine


def head_of(normalised: Normalised) -> Head:
    """Find the head: the largest piece brighter than 15 % of white matter, closed and filled."""
    grid = normalised.volume.grid
    window = every_nth(grid.zooms, _APART_MM)
    values = np.maximum(normalised.volume.data[window], 0)
    piece, _ = largest_component(ndimage.binary_opening(values > _LEAST))
    padded = np.pad(piece, _ROUNDS)
    closed = ndimage.binary_closing(padded, iterations=_ROUNDS)
    inner = (slice(_ROUNDS, -_ROUNDS),) * 3
    mask = filled(np.asarray(closed[inner]))
    air = ~ndimage.binary_dilation(mask)
    return Head(values, mask, air, windowed(grid.affine, window))


def background_share(head: Head) -> float:
    """Share of the field of view outside the head."""
    return 1.0 - float(head.mask.mean())


def fber(head: Head) -> float | None:
    """Median energy of the head over that of the air around it."""
    if not head.mask.any() or not head.air.any():
        return None
    air = float(np.median(head.brightness[head.air] ** 2))
    return float(np.median(head.brightness[head.mask] ** 2)) / air if air >= 1e-3 else None


def air_brightness(head: Head, match: Match | None) -> Brightness | None:
    """Brightness of the air above the brow; of all air where the pose is not known."""
    air = head.air
    if match is not None:
        to_reference = np.linalg.inv(match.pose) @ head.affine
        a, b, c, d = to_reference[2]
        i, j, k = np.ogrid[tuple(slice(0, n) for n in air.shape)]
        air = air & (a * i + b * j + c * k + d >= _BROW_MM)
    return brightness(head.brightness[air])


def face_share(head: Head, match: Match) -> float | None:
    """Share of the face's place that holds head; None where too little of it is in view."""
    sides = [np.arange(low, high, _APART_MM) for low, high in _FACE_MM]
    places = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    to_voxel = np.linalg.inv(head.affine) @ match.pose
    index = np.rint(mapped(to_voxel, places)).astype(int)
    seen = ((index >= 0) & (index < head.mask.shape)).all(axis=1)
    if seen.mean() < _IN_VIEW:
        return None
    return float(head.mask[tuple(index[seen].T)].mean())
