"""Values that pass between stages: frozen, no I/O.

Words, each defined once:

grid
    Shape and affine together.
affine
    (4, 4) float64, maps voxel indices to RAS+ millimetres.
zooms
    Voxel sizes in mm along the three voxel axes.
native, conformed
    The run's own grid, and the network's.
sdt
    Signed distance transform in mm, negative inside the brain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float3 = NDArray[np.float32]
Bool3 = NDArray[np.bool_]
Affine = NDArray[np.float64]
Shape3 = tuple[int, int, int]
Zooms = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice in the scanner's space.

    Attributes
    ----------
    shape
        Voxels along the axes i, j, k.
    affine
        (4, 4) float64, voxel -> RAS+ mm.
    """

    shape: Shape3
    affine: Affine

    @cached_property
    def zooms(self) -> Zooms:
        """Voxel sizes in mm: the lengths of the affine's columns."""
        i, j, k = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(i), float(j), float(k)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, eq=False)
class Volume:
    """An image on a grid.

    Attributes
    ----------
    data
        (I, J, K) float32.
    grid
        Where the voxels lie.
    """

    data: Float3
    grid: Grid


@dataclass(frozen=True, eq=False)
class DistanceMap:
    """A signed distance to the brain's surface.

    Attributes
    ----------
    mm
        (I, J, K) float32, mm, negative inside the brain.
    grid
        Where the voxels lie.
    """

    mm: Float3
    grid: Grid


@dataclass(frozen=True, slots=True)
class Run:
    """One image of the raw dataset.

    Attributes
    ----------
    path
        Absolute path of the image.
    relative
        The same below BIDS_DIR, with forward slashes.
    entities
        Pairs of BIDS entity key and label in the order of the file name, for example
        ``(("sub", "01"), ("ses", "1"), ("run", "02"))``; zero padding kept.
    suffix
        For example ``T1w``.
    """

    path: Path
    relative: str
    entities: tuple[tuple[str, str], ...]
    suffix: str

    @property
    def stem(self) -> str:
        """File name without suffix and extension, for example ``sub-01_ses-1``."""
        return "_".join(f"{key}-{label}" for key, label in self.entities)

    @property
    def name(self) -> str:
        """File name without extension: the ``bids_name`` of tables."""
        return f"{self.stem}_{self.suffix}"

    def label(self, key: str) -> str | None:
        """Label of an entity, None where the name lacks it."""
        return dict(self.entities).get(key)
