"""The coarse reference brain: where the surface of a brain is expected, and how sure that is.

The mean signed distance and the tissue frequencies of the label maps that the network was trained
on, brought together by affines, on a 4 mm grid (``python -m training.reference``). A surface is
brought onto it by an affine of its own (`bids_strip.registration.pose`); what is left between them
says where a brain is missing or too large, without a template of anybody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_LIMIT_MM, Affine, Float3, Grid

FILE = Path(__file__).parents[1] / "models" / "reference-4mm.npz"
LIMIT_MM = 12.0
REFERENCE_STEP_MM = 0.1
SPREAD_STEP_MM = 0.05
TISSUES = ("GM", "WM", "CSF")
"""Of the stored frequencies, in order."""
_AROUND_MM = 5.0
"""Standard deviation of the window that shifts are averaged in."""


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


def load_reference(path: Path = FILE) -> Reference:
    """Read the reference that ships with the network."""
    with np.load(path) as stored:
        sdt = stored["sdt"].astype(np.float32) * REFERENCE_STEP_MM
        spread = stored["spread"].astype(np.float32) * SPREAD_STEP_MM
        tissue = stored["tissue"].astype(np.float32) / 255.0
        grid = Grid((sdt.shape[0], sdt.shape[1], sdt.shape[2]), stored["affine"])
    return Reference(sdt, spread, tissue, grid)


def moved(sdt_mm: Float3, affine: Affine, pose: Affine, grid: Grid) -> Float3:
    """Distances of a head on the reference's grid, in the reference's mm.

    Parameters
    ----------
    sdt_mm : (I, J, K) float32
        On the head's grid.
    affine : (4, 4) float64
        Voxels of `sdt_mm` -> head mm.
    pose : (4, 4) float64
        mm of `grid` -> head mm.
    grid
        The reference's.

    Returns
    -------
    float32 array of the grid's shape
        The nearest known distance beyond the head's grid.
    """
    to_voxels = np.linalg.inv(affine) @ pose @ grid.affine
    found = ndimage.affine_transform(
        np.clip(sdt_mm, -SDT_LIMIT_MM, SDT_LIMIT_MM), to_voxels[:3, :3], to_voxels[:3, 3],
        grid.shape, order=1, mode="nearest",
    )  # fmt: skip
    return np.asarray(found / scale_of(pose), dtype=np.float32)


def scale_of(pose: Affine) -> float:
    """Length factor of a pose: the cube root of its determinant."""
    return float(abs(np.linalg.det(pose[:3, :3])) ** (1 / 3))


def shift_of(sdt_mm: Float3, reference: Reference) -> Float3:
    """How far a fitted surface lies outside the reference's, around each point of the latter.

    Parameters
    ----------
    sdt_mm : (I, J, K) float32
        From `moved`.
    reference
        What it was fitted to.

    Returns
    -------
    (I, J, K) float32, mm
        Beyond what heads differ by (twice `Reference.spread_mm`), outwards positive: the mean over
        the surface in a Gaussian window about 1 cm wide; 0 away from the surface.
    """
    zooms = reference.grid.zooms
    band = np.abs(reference.sdt_mm) <= zooms[0] / 2
    apart = reference.sdt_mm - sdt_mm
    beyond = np.sign(apart) * np.maximum(np.abs(apart) - 2 * reference.spread_mm, 0)
    sd = [_AROUND_MM / zoom for zoom in zooms]
    weight = ndimage.gaussian_filter(band.astype(np.float32), sd)
    mean = ndimage.gaussian_filter(np.where(band, beyond, 0).astype(np.float32), sd)
    return np.where(band, mean / np.maximum(weight, 1e-6), 0).astype(np.float32)
