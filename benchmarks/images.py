"""Read masks, and say in words where in a head a point lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.outputs import BenchmarkError
from bids_strip.domain import Affine, Bool3, Grid

Point = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask on its grid."""

    data: Bool3
    grid: Grid


def load_image(path: Path) -> Any:
    """Open an image, as nibabel gives it."""
    return nib.load(path)


def read_mask(path: Path, *, like: Grid | None = None) -> Mask:
    """Read a mask; not zero is inside.

    Parameters
    ----------
    path : Path
        A NIfTI of three dimensions.
    like : Grid or None
        The grid that it has to lie on, to a tenth of a mm.

    Raises
    ------
    BenchmarkError
        If the mask is empty or lies on another grid.
    """
    image = load_image(path)
    data = np.asarray(image.dataobj) > 0
    if not data.any():
        raise BenchmarkError(f"{path}: the mask is empty")
    affine = np.asarray(image.affine, dtype=np.float64)
    shape = data.shape
    if len(shape) != 3:
        raise BenchmarkError(f"{path}: a mask has three dimensions, this one {len(shape)}")
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    if like is not None and not _same_grid(grid, like):
        raise BenchmarkError(f"{path}: not on the grid of our mask, so nothing can be compared")
    return Mask(data, grid)


def _same_grid(a: Grid, b: Grid) -> bool:
    return a.shape == b.shape and bool(np.allclose(a.affine, b.affine, atol=0.1))


def to_world(affine: Affine, index: tuple[int, int, int]) -> Point:
    """RAS+ mm of a voxel's centre."""
    return np.asarray(affine[:3, :3] @ np.asarray(index, dtype=np.float64) + affine[:3, 3])


def place_word(point: Point, mask: Mask) -> str:
    """Where a point lies in the mask's box, for example ``left anterior inferior``.

    The outer thirds of the box have a name along each world axis, the middle third is left out.
    """
    index = np.argwhere(mask.data.any(axis=2))
    depth = np.flatnonzero(mask.data.any(axis=(0, 1)))
    low = np.array([*index.min(axis=0), depth[0]], dtype=np.float64)
    high = np.array([*index.max(axis=0), depth[-1]], dtype=np.float64)
    corners = np.array([np.where(pick, high, low) for pick in np.ndindex(2, 2, 2)])
    world = corners @ mask.grid.affine[:3, :3].T + mask.grid.affine[:3, 3]
    share = (point - world.min(axis=0)) / np.ptp(world, axis=0)
    names = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
    words = [n[0] if s < 1 / 3 else n[1] for n, s in zip(names, share, strict=True) if _outer(s)]
    return " ".join(words) or "central"


def _outer(share: float) -> bool:
    return not 1 / 3 <= share <= 2 / 3
