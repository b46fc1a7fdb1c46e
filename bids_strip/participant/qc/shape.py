"""Metrics of a surface on the coarse reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Bool3, Grid, Match
from bids_strip.geometry import dice, mapped
from bids_strip.registration.pose import turn_deg
from bids_strip.registration.reference import LIMIT_MM, scale_of

_NEAR_MM = 4.0
_FAR_MM = 8.0


def reference_dice(match: Match) -> float:
    """Dice of the fitted surface with the reference's."""
    return dice(match.sdt_mm <= 0, match.expected_mm <= 0)


def reference_misfit_mm(match: Match) -> float:
    """Mean distance left between the two."""
    apart = np.clip(match.sdt_mm, -LIMIT_MM, LIMIT_MM) - match.expected_mm
    return float(np.abs(apart[_near(match)]).mean())


def reference_shift_mm(match: Match) -> tuple[float, float]:
    """How far the surface lies outside and inside the reference's where it does most."""
    return max(float(match.shift_mm.max()), 0.0), max(-float(match.shift_mm.min()), 0.0)


def reference_size(match: Match) -> float:
    """Length factor from the reference to the head."""
    return scale_of(match.pose)


def reference_stretch(match: Match) -> float:
    """Largest over least length factor."""
    factors = np.linalg.svd(match.pose[:3, :3], compute_uv=False)
    return float(factors[0] / factors[-1])


def reference_in_view(match: Match, grid: Grid) -> float:
    """Share of the reference brain that lies within a grid."""
    return float(_in_view(match, grid, match.expected_mm <= 0).mean())


def reference_beyond_ml(match: Match, grid: Grid) -> float:
    """Volume within the surface that lies far outside the reference's, in the field of view."""
    return _volume_ml(match, grid, (match.sdt_mm <= 0) & (match.expected_mm >= _FAR_MM))


def reference_missing_ml(match: Match, grid: Grid) -> float:
    """Volume outside the surface that lies deep inside the reference's, in the field of view."""
    return _volume_ml(match, grid, (match.sdt_mm > 0) & (match.expected_mm <= -_FAR_MM))


def asymmetry_mm(match: Match) -> float:
    """Mean distance between the surface and its mirror image in the reference's middle plane."""
    apart = np.abs(match.sdt_mm - match.sdt_mm[::-1])
    return float(np.minimum(apart, LIMIT_MM)[_near(match)].mean())


def rotation_deg(match: Match) -> dict[str, float]:
    """Turn of the head against the scanner's axes, by axis."""
    x, y, z = turn_deg(match.pose)
    return {"x": float(x), "y": float(y), "z": float(z)}


def _volume_ml(match: Match, grid: Grid, where: Bool3) -> float:
    """Of points of the reference's grid that lie in view, as they are in the head."""
    point_ml = match.grid.voxel_volume_ml * scale_of(match.pose) ** 3
    return float(np.count_nonzero(_in_view(match, grid, where))) * point_ml


def _in_view(match: Match, grid: Grid, where: Bool3) -> NDArray[np.bool_]:
    """(N,): which of the points of the reference's grid lie within a grid."""
    to_voxel = np.linalg.inv(grid.affine) @ match.pose @ match.grid.affine
    index = mapped(to_voxel, np.argwhere(where))
    seen = (index >= -0.5) & (index <= np.array(grid.shape) - 0.5)
    return np.asarray(seen.all(axis=1))


def _near(match: Match) -> Bool3:
    return np.asarray(np.abs(match.expected_mm) <= _NEAR_MM)
