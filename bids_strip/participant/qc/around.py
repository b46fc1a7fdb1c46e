"""A run around its surface, and what is met on the way through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_STEP_MM, BrainMask, Float3, NetworkTissues, Normalised, Zooms
from bids_strip.geometry import Box, bounding_box, every_nth, gradient_at, to_native, within

APART_MM = 2.0
REACH_MM = 20.0
INWARD_MM = 12
_MOST_POINTS = 5000


@dataclass(frozen=True, eq=False)
class Around:
    """A box about the surface, every n-th voxel of it, about 2 mm apart.

    Attributes
    ----------
    sdt_mm : (I, J, K) float32
        Distance to the surface that no border has shifted.
    brightness : (I, J, K) float32
        Corrected.
    tissue, fluid : (I, J, K) float32
        The network's share of grey and white matter, and of fluid; None if it tells no tissues.
    zooms
        mm from one to the next.
    """

    sdt_mm: Float3
    brightness: Float3
    tissue: Float3 | None
    fluid: Float3 | None
    zooms: Zooms

    @property
    def voxel_ml(self) -> float:
        """What one of the voxels stands for."""
        return float(np.prod(self.zooms)) / 1000.0


@dataclass(frozen=True, eq=False)
class Profiles:
    """What lies on the normals of the surface at N of its points, evenly spread.

    Attributes
    ----------
    out_mm : (T,) float64
        Where on a normal: from 12 mm inside to 20 mm outside, 1 mm apart.
    brightness : (N, T) float32
        Corrected; 0 beyond the image.
    tissue : (N, T) float32
        The network's share of grey and white matter, 0 beyond the image; None as above.
    """

    out_mm: NDArray[np.float64]
    brightness: NDArray[np.float32]
    tissue: NDArray[np.float32] | None

    def between(self, low_mm: float, high_mm: float) -> NDArray[np.float32]:
        """Brightness between two places of the normals, both ends included."""
        return self.brightness[:, (self.out_mm >= low_mm) & (self.out_mm <= high_mm)]


def around(normalised: Normalised, brain: BrainMask, network: NetworkTissues) -> Around | None:
    """Look at a run around its surface; None if nothing lies within it."""
    zooms = normalised.volume.grid.zooms
    inside = within(brain.sdt_steps, 0.0)
    if not inside.any():
        return None
    box = bounding_box(inside, margin_mm=REACH_MM, zooms=zooms)
    i, j, k = (slice(side.start, side.stop, few.step)
               for side, few in zip(box, every_nth(zooms, APART_MM), strict=True))  # fmt: skip
    window = i, j, k
    x, y, z = (zoom * side.step for zoom, side in zip(zooms, window, strict=True))
    return Around(
        sdt_mm=brain.sdt_steps[window] * np.float32(SDT_STEP_MM),
        brightness=np.ascontiguousarray(normalised.volume.data[window]),
        tissue=_share(network, window, 1, 2),
        fluid=_share(network, window, 3),
        zooms=(x, y, z),
    )


def _share(network: NetworkTissues, window: Box, *labels: int) -> Float3 | None:
    """Sum of the network's shares of some labels; None if it tells no tissues."""
    if network.shares is None:
        return None
    first, *others = (network.shares[label] for label in labels)
    return to_native(sum(others, first), network.frame, window)


def profiles(seen: Around) -> Profiles | None:
    """Follow the normals of the surface; None where it has none."""
    thick = max(min(seen.zooms) / 2, 1.0)
    points = np.argwhere(np.abs(seen.sdt_mm) <= thick)
    points = points[:: max(1, -(-len(points) // _MOST_POINTS))]
    if not len(points) or min(seen.sdt_mm.shape) < 2:
        return None
    here = tuple(points.T)
    normal = np.stack(gradient_at(seen.sdt_mm, here, seen.zooms), axis=1).astype(np.float64)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = normal / np.maximum(length, 1e-6)
    out_mm = np.arange(-INWARD_MM, REACH_MM + 1)
    depth = seen.sdt_mm[here]
    along = (out_mm[None, :] - depth[:, None])[..., None] * normal[:, None, :]
    index = np.moveaxis(points[:, None, :] + along / seen.zooms, -1, 0)
    tissue = None if seen.tissue is None else _at(seen.tissue, index)
    return Profiles(out_mm, _at(seen.brightness, index), tissue)


def _at(values: Float3, index: NDArray[np.float64]) -> NDArray[np.float32]:
    found = ndimage.map_coordinates(values, index, order=1, cval=0.0, output=np.float32)
    return np.asarray(found)
