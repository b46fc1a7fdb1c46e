"""Atrophy: tissue draws back whole, its cortex with it; fluid takes the room.

The cortex thins a little and stays: what lies at some depth below the new surface comes from not
quite that depth below the old one. White matter that lies bare in the fluid, and a cortex of any
thickness down to none, is no head's. Fluid that is farther than R from the new surface is outside
the brain, as in any map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.maps import REACH_MM
from training.synthesis.draws import SynthesisDraw
from training.synthesis.ranges import FAR_MM
from training.synthesis.space import Shape, smooth_field

FADE_MM = 6.0
"""Depth below the new surface at which tissue stays where it was."""
KNOWN_MM = 9.0
"""Distances are known this far at all scales."""


@dataclass(frozen=True, slots=True, eq=False)
class Retreat:
    """How far the tissue's surface draws back.

    Attributes
    ----------
    old_mm, new_mm : (1, 1, I, J, K)
        Distance to the tissue's surface, before and after; negative inside.
    """

    old_mm: Tensor
    new_mm: Tensor

    @property
    def emptied(self) -> Tensor:
        """(1, 1, I, J, K) bool: was tissue and is fluid."""
        return (self.old_mm <= 0) & (self.new_mm > 0)

    @property
    def from_mm(self) -> Tensor:
        """(1, 1, I, J, K): how much nearer the old surface its tissue was."""
        back = (self.new_mm - self.old_mm) * (1 + self.new_mm / FADE_MM).clamp(0, 1)
        return back * (self.new_mm <= 0)

    def brain_mm(self, brain_mm: Tensor, scale: float) -> Tensor:
        """The brain's surface: no fluid beyond R, which grows with the head's `scale`."""
        reach = torch.where(self.new_mm < FAR_MM, self.new_mm - REACH_MM * scale, -FAR_MM)
        return torch.maximum(brain_mm, reach)


def retreat(sdt: Tensor, item: SynthesisDraw, random: torch.Generator) -> Retreat | None:
    """Draw the surface back, more in some places.

    Parameters
    ----------
    sdt : (1, 2, I, J, K), mm
        Distances as the map has them.
    item, random
        The draw, and what is random in it.

    Returns
    -------
    Retreat or None
        None where the draw has no atrophy.
    """
    if not item.anatomy.atrophy_mm:
        return None
    surface = sdt[:, 1:]
    i, j, k = surface.shape[2:]
    shape: Shape = (i, j, k)
    field = smooth_field(5, shape, 1, random).sigmoid() * 2
    moved = surface + item.anatomy.atrophy_mm * field
    return Retreat(surface, torch.where(surface.abs() < FAR_MM, moved, surface))


def origin(index: Tensor, moved: Retreat, zoom_mm: float) -> Tensor:
    """Where in the map a window's tissue comes from: outwards of where it is.

    Parameters
    ----------
    index : (I, J, K, 3)
        Where each window voxel looks without atrophy.
    moved
        The retreat.
    zoom_mm
        Of the window.
    """
    surface = moved.old_mm[0, 0].clamp(-KNOWN_MM, KNOWN_MM)
    outwards = torch.gradient(surface, spacing=zoom_mm)
    steps = moved.from_mm[0, 0] / zoom_mm
    found = index
    for axis, part in enumerate(outwards):
        (along,) = torch.gradient(index, dim=axis)
        found = found + along * (steps * part)[..., None]
    return found
