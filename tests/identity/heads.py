"""Brains of the reference's shape with a texture in closed form: people who can be seen again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import SDT_STEP_MM, Affine, Grid
from bids_strip.identity.brain import Descriptor, described
from bids_strip.registration.reference import load_reference
from tests.fakes import grid_affine, rotation, world_of

SHAPE, ZOOM_MM = (70, 84, 70), 3.0


@dataclass(frozen=True)
class Person:
    """A sum of waves of 14 to 50 mm, drawn from a seed."""

    seed: int

    def brightness(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """At places (..., 3) of the reference's mm."""
        rng = np.random.default_rng(self.seed)
        ways = rng.normal(size=(60, 3))
        ways *= (2 * np.pi / rng.uniform(14, 50, 60) / np.linalg.norm(ways, axis=1))[:, None]
        phases = rng.uniform(0, 2 * np.pi, 60)
        waves = sum(np.cos(places @ way + phase) for way, phase in zip(ways, phases, strict=True))
        return 1000 + 60 * waves


def pose_of(
    turn_deg: tuple[float, float, float], shift_mm: tuple[float, ...], scale: float
) -> Affine:
    pose = np.eye(4)
    pose[:3, :3] = scale * rotation(*turn_deg)
    pose[:3, 3] = shift_mm
    return pose


@dataclass(frozen=True, eq=False)
class Seen:
    """A person's scan."""

    image: NDArray[np.float32]
    sdt_steps: NDArray[np.int16]
    grid: Grid

    @property
    def descriptor(self) -> Descriptor:
        found = described(self.image, self.sdt_steps, self.grid, load_reference())
        assert found is not None
        return found


def seen(
    person: Person,
    pose: Affine | None = None,
    *,
    directions: str = "RAS",
    shape: tuple[int, int, int] = SHAPE,
    zooms: tuple[float, float, float] = (ZOOM_MM,) * 3,
    noise: float = 0.0,
) -> Seen:
    """Scan a person who lies at a pose (reference mm -> scanner mm)."""
    reference = load_reference()
    pose = np.eye(4) if pose is None else pose
    affine = grid_affine(directions, shape, zooms, tuple(pose[:3, 3]))
    places = (world_of(shape, affine) - pose[:3, 3]) @ np.linalg.inv(pose[:3, :3]).T
    index = (places - reference.grid.affine[:3, 3]) / reference.grid.zooms
    sdt = ndimage.map_coordinates(
        reference.sdt_mm, np.moveaxis(index, -1, 0), order=1, mode="nearest"
    )
    steps = np.rint(sdt * np.cbrt(np.linalg.det(pose[:3, :3])) / SDT_STEP_MM).astype(np.int16)
    drawn = np.random.default_rng((person.seed, *shape)).normal(0, 1, shape)
    bright = person.brightness(places) + noise * drawn
    image = np.where(steps <= 0, bright, 0).astype(np.float32)
    return Seen(image, steps, Grid(shape, affine))
