"""The coarse reference brain: where the surface of a brain is expected, and how sure that is.

The mean signed distance and the tissue frequencies of the label maps that the network was trained
on, brought together by affines, on a 4 mm grid (``python -m training.reference``). A surface is
brought onto it by an affine of its own; what is left between them says where a brain is missing or
too large, without a template of anybody else's.

Words:

pose
    (4, 4) float64, an affine from the reference's RAS+ mm to a head's own mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import Affine, Float3, Grid
from bids_strip.geometry import dice

FILE = Path(__file__).parent / "models" / "reference-4mm.npz"
LIMIT_MM = 12.0
SDT_STEP_MM = 0.1
SPREAD_STEP_MM = 0.05
TISSUES = ("GM", "WM", "CSF")
"""Of the stored frequencies, in order."""
_BAND_MM = 8.0
_ROUNDS = 12
_OUTLYING_MM = 3.0
_DONE_MM = 0.02


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference brain.

    Attributes
    ----------
    sdt_mm : (I, J, K) float32
        Mean signed distance to the surface, negative inside, clipped to +-12 mm.
    spread_mm : (I, J, K) float32
        Its standard deviation between heads.
    tissue : (3, I, J, K) float32
        How often each of `TISSUES` lies there, 0 to 1.
    grid
        4 mm, RAS, the origin in the middle of the brain.
    """

    sdt_mm: Float3
    spread_mm: Float3
    tissue: NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True, eq=False)
class Fit:
    """A head on the reference.

    Attributes
    ----------
    pose
        Reference mm -> head mm.
    sdt_mm : (I, J, K) float32
        The head's distances on the reference's grid, in the reference's mm.
    """

    pose: Affine
    sdt_mm: Float3


def load_reference(path: Path = FILE) -> Reference:
    """Read the reference that ships with the network."""
    with np.load(path) as stored:
        sdt = stored["sdt"].astype(np.float32) * SDT_STEP_MM
        spread = stored["spread"].astype(np.float32) * SPREAD_STEP_MM
        tissue = stored["tissue"].astype(np.float32) / 255.0
        grid = Grid((sdt.shape[0], sdt.shape[1], sdt.shape[2]), stored["affine"])
    return Reference(sdt, spread, tissue, grid)


def fit(sdt_mm: Float3, affine: Affine, reference: Reference) -> Fit:
    """Bring a surface onto the reference by the affine that leaves least between them.

    Parameters
    ----------
    sdt_mm : (I, J, K) float32
        Signed distance to the head's surface, negative inside; 2 mm or coarser is enough.
    affine : (4, 4) float64
        Voxels of `sdt_mm` -> mm, axes roughly R, A, S.
    reference
        What to fit to.

    Notes
    -----
    Gauss-Newton on the distances within 8 mm of the reference's surface, with Cauchy's weights, so
    that a part that is missing does not drag the rest; started from the centre and the size of the
    two, level and nodded by 25 degrees to either side.
    """
    starts = [_start(sdt_mm, affine, reference, nod_deg) for nod_deg in (0.0, -25.0, 25.0)]
    fits = [_fitted(sdt_mm, affine, reference, start) for start in starts[:1]]
    if _misfit(fits[0], reference) > _OUTLYING_MM:
        fits += [_fitted(sdt_mm, affine, reference, start) for start in starts[1:]]
    return min(fits, key=lambda one: _misfit(one, reference))


def agreement(found: Fit, reference: Reference) -> float:
    """Dice's coefficient of the fitted brain with the reference's, on its grid."""
    return dice(found.sdt_mm <= 0, reference.sdt_mm <= 0)


def shift_mm(found: Fit, reference: Reference, *, radius_mm: float = 10.0) -> Float3:
    """How far the fitted surface lies outside the reference's, around each point of the latter.

    Returns
    -------
    (I, J, K) float32, mm
        Beyond what heads differ by (twice `Reference.spread_mm`), outwards positive; the mean over
        the surface within `radius_mm`; 0 away from the surface.
    """
    band = np.abs(reference.sdt_mm) <= reference.grid.zooms[0] / 2
    beyond = reference.sdt_mm - found.sdt_mm
    beyond = np.sign(beyond) * np.maximum(np.abs(beyond) - 2 * reference.spread_mm, 0)
    sd = [radius_mm / 2 / zoom for zoom in reference.grid.zooms]
    weight = ndimage.gaussian_filter(band.astype(np.float32), sd)
    mean = ndimage.gaussian_filter(np.where(band, beyond, 0).astype(np.float32), sd)
    return np.where(band, mean / np.maximum(weight, 1e-6), 0).astype(np.float32)


def moved(sdt_mm: Float3, affine: Affine, pose: Affine, grid: Grid) -> Float3:
    """Distances of a head on another grid, in that grid's mm.

    Parameters
    ----------
    sdt_mm : (I, J, K) float32
        On the head's grid.
    affine : (4, 4) float64
        Voxels of `sdt_mm` -> head mm.
    pose : (4, 4) float64
        mm of `grid` -> head mm.
    grid
        Where to.
    """
    to_voxels = np.linalg.inv(affine) @ pose @ grid.affine
    found = ndimage.affine_transform(
        np.clip(sdt_mm, -20, 20), to_voxels[:3, :3], to_voxels[:3, 3], grid.shape, order=1,
        mode="nearest",
    )  # fmt: skip
    return np.asarray(found / _scale(pose), dtype=np.float32)


def _scale(pose: Affine) -> float:
    return float(abs(np.linalg.det(pose[:3, :3])) ** (1 / 3))


def _start(sdt_mm: Float3, affine: Affine, reference: Reference, nod_deg: float) -> Affine:
    """Same centre and volume; turned about the left-right axis."""
    own, volume = _middle(sdt_mm <= 0, affine)
    centre, other = _middle(reference.sdt_mm <= 0, reference.grid.affine)
    scale = (volume / max(other, 1e-6)) ** (1 / 3)
    c, s = np.cos(np.deg2rad(nod_deg)), np.sin(np.deg2rad(nod_deg))
    pose = np.eye(4)
    pose[:3, :3] = scale * np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    pose[:3, 3] = own - pose[:3, :3] @ centre
    return pose


def _middle(inside: NDArray[np.bool_], affine: Affine) -> tuple[NDArray[np.float64], float]:
    """Centre, mm, and volume, mm3."""
    indices = np.argwhere(inside)
    centre = affine[:3, :3] @ indices.mean(axis=0) + affine[:3, 3]
    return centre, len(indices) * float(abs(np.linalg.det(affine[:3, :3])))


def _fitted(sdt_mm: Float3, affine: Affine, reference: Reference, pose: Affine) -> Fit:
    band = np.abs(reference.sdt_mm) <= _BAND_MM
    points = np.argwhere(band) @ reference.grid.affine[:3, :3].T + reference.grid.affine[:3, 3]
    ones = np.hstack([points, np.ones((len(points), 1))])
    target = np.clip(reference.sdt_mm, -_BAND_MM, _BAND_MM)[band]
    for _ in range(_ROUNDS):
        here = moved(sdt_mm, affine, pose, reference.grid)
        slopes = np.gradient(here, *reference.grid.zooms)
        gradient = np.stack([np.asarray(g)[band] for g in slopes], axis=1)
        left = target - np.clip(here[band], -_BAND_MM, _BAND_MM)
        weight = 1 / (1 + (left / _OUTLYING_MM) ** 2)
        # a step D of the 3x4 matrix moves point x by D x: the distance there changes by g . D x
        jacobian = (gradient[:, :, None] * ones[:, None, :]).reshape(len(points), 12)
        weighted = jacobian * weight[:, None]
        normal = weighted.T @ jacobian
        ridge = 1e-6 * np.trace(normal) / 12 * np.eye(12)
        step = np.linalg.solve(normal + ridge, weighted.T @ left).reshape(3, 4)
        change = np.eye(4)
        change[:3] += step
        pose = pose @ change
        if np.abs(ones @ step.T).max() < _DONE_MM:
            break
    return Fit(pose, moved(sdt_mm, affine, pose, reference.grid))


def _misfit(found: Fit, reference: Reference) -> float:
    """Mean distance between the two near the reference's surface, mm."""
    band = np.abs(reference.sdt_mm) <= _BAND_MM / 2
    return float(np.abs(found.sdt_mm - reference.sdt_mm)[band].mean())
