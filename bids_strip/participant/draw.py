"""Pictures of a run, by which a person judges its mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_strip.domain import (
    SDT_LIMIT_MM,
    SDT_STEP_MM,
    WHITE_MATTER,
    Match,
    Products,
    Registration,
    Run,
)
from bids_strip.drawing.pictures import (
    CONTOUR,
    FAR,
    MOSAIC,
    SECOND,
    TILE,
    Extent,
    Layer,
    Region,
    as_webp,
    curtain,
    cut,
    extent_of,
    grey,
    outlined,
    overlay,
    upright_to_voxels,
    whole,
    window,
)
from bids_strip.drawing.surface_views import (
    DIVERGING,
    SEQUENTIAL,
    Painting,
    Points,
    at,
    sampled,
    six_sides,
)
from bids_strip.drawing.svg import Look, histograms
from bids_strip.geometry import every_nth
from bids_strip.metrics import TISSUES
from bids_strip.naming import figure_in, figures_of

_QUALITY = 68
_FAR_QUALITY = 45
_FAR_WHITE = 0.12
"""White of the picture of air, as a share of what is white elsewhere."""
_BEYOND_STEPS = SDT_LIMIT_MM / SDT_STEP_MM
_SHIFT_MM = 6.0
"""Distances to the reference beyond this have the last colour."""
_OUTSIDE_MM = 2.0
_LOOKS = {"gm": Look("#0072b2"), "wm": Look("#d55e00", "7 3"), "csf": Look("#009e73", "2 3")}
_BINS = 64
_SMOOTH_BINS = 1.2
_SAMPLES_MM = 2.0


@dataclass(frozen=True, eq=False)
class Scene:
    """A run as it is looked at.

    Attributes
    ----------
    head, distances
        Brightness as it is stored, and distances in steps.
    border_steps
        Where the surface is.
    brain, all_shown
        Of the mask, and of the field of view.
    black, white
        See `bids_strip.drawing.pictures.window`.
    unit
        Brightness of a step of `head`.
    """

    head: Layer
    distances: Layer
    border_steps: float
    brain: Extent
    all_shown: Extent
    black: float
    white: float
    unit: float

    @cached_property
    def outline(self) -> Region:
        """The mask in the mosaic's slices."""
        return cut(self.distances, MOSAIC, self.brain) <= self.border_steps


def draw(run: Run, products: Products) -> Mapping[str, bytes]:
    """Draw a run.

    Parameters
    ----------
    run
        Which one.
    products
        What was made of it; without a match how far its surface lies from the coarse reference
        is left out, without tissues their histograms.

    Returns
    -------
    mapping
        Name below OUTPUT_DIR -> content, of `bids_strip.naming.figures_of` and, for each template
        space, `figure_in`.
    """
    scene, names = scene_of(products), figures_of(run)
    drawn = {names[kind]: content for kind, content in _native(scene, products)}
    for registration in products.registrations:
        if registration.plausible and registration.outline is not None:
            drawn[figure_in(run, registration.space)] = in_template(scene, products, registration)
    return drawn


def _native(scene: Scene, products: Products) -> Iterator[tuple[str, bytes]]:
    """What shows the run on its own grid, by kind."""
    head = grey(cut(scene.head, MOSAIC, scene.brain), scene.black, scene.white)
    yield "tile", tile(scene)
    yield "head", as_webp(head, quality=_QUALITY)
    yield "contour", as_webp(overlay(scene.outline), quality=None)
    yield "curtain", as_webp(curtain(scene.outline), quality=None)
    yield "air", air(scene)
    yield "surface", surface(scene, products)
    if products.segmented is not None and products.preproc is not None:
        yield "tissue", tissue(products)


def scene_of(products: Products) -> Scene:
    """Set a run up: its corrected brightness where that is at hand, else as it was read."""
    grid, brain, preproc = products.source.volume.grid, products.brain, products.preproc
    data: NDArray[Any] = products.source.volume.data if preproc is None else preproc.steps
    to_voxels = upright_to_voxels(grid)
    black, white = window(data, brain.mask, grid.zooms)
    return Scene(
        head=Layer(data, to_voxels, outside=black),
        distances=Layer(brain.sdt_steps, to_voxels, outside=_BEYOND_STEPS),
        border_steps=brain.border_mm / SDT_STEP_MM,
        brain=extent_of(brain.mask, to_voxels, grid.zooms),
        all_shown=whole(grid),
        black=black,
        white=white,
        unit=1.0 if preproc is None else preproc.step,
    )


def tile(scene: Scene) -> bytes:
    """A row of slices with the mask's outline: what the group page shows of a run."""
    inside = cut(scene.distances, TILE, scene.brain) <= scene.border_steps
    head = grey(cut(scene.head, TILE, scene.brain), scene.black, scene.white)
    return as_webp(outlined(head, inside), quality=_QUALITY)


def air(scene: Scene) -> bytes:
    """The whole field of view, so bright that noise, ghosts and clipped air show."""
    white = scene.black + _FAR_WHITE * (scene.white - scene.black)
    slices = cut(scene.head, FAR, scene.brain, scene.all_shown)
    return as_webp(grey(slices, scene.black, white), quality=_FAR_QUALITY)


def in_template(scene: Scene, products: Products, registration: Registration) -> bytes:
    """The run in a template space: its mask's outline, and that of the template's brain."""
    assert registration.outline is not None
    grid = registration.grid
    own = upright_to_voxels(grid)
    world = grid.affine @ own
    native = np.linalg.inv(products.source.volume.grid.affine)
    pull = native @ np.linalg.inv(registration.to_template) @ world
    brain = extent_of(registration.outline, own, grid.zooms)
    head = grey(cut(Layer(scene.head.data, pull, scene.black), MOSAIC, brain),
                scene.black, scene.white)  # fmt: skip
    for mask, colour in ((registration.outline, SECOND), (registration.mask, CONTOUR)):
        inside = cut(Layer(mask.view(np.uint8), own), MOSAIC, brain) > 0.5
        head = outlined(head, inside, colour, width=2)  # one pixel's colour does not survive
    return as_webp(head, quality=_QUALITY)


def surface(scene: Scene, products: Products) -> bytes:
    """The surface from six sides: how far from the reference, how bright just outside it."""
    shape = sampled(scene.distances, scene.brain, mm_per_step=SDT_STEP_MM,
                    border_mm=products.brain.border_mm)  # fmt: skip
    corrected = products.preproc is not None
    white = WHITE_MATTER if corrected else scene.white * scene.unit

    def outside(points: Points, normals: Points) -> NDArray[np.floating]:
        return np.asarray(at(scene.head, points + _OUTSIDE_MM * normals) * scene.unit)

    bright = Painting(
        outside, SEQUENTIAL, 0.0, white, tuple(f"{part * white:.4g}" for part in (0, 0.5, 1)),
        f"brightness {_OUTSIDE_MM:g} mm outside the surface"
        + (f" (white matter: {WHITE_MATTER:g})" if corrected else ""),
    )  # fmt: skip
    match = products.match
    return six_sides(shape, [bright] if match is None else [shift(match, scene, products), bright])


def shift(match: Match, scene: Scene, products: Products) -> Painting:
    """How far the surface lies outside the coarse reference's, in mm of the head."""
    to_reference = np.linalg.inv(match.grid.affine) @ np.linalg.inv(match.pose)
    to_world = products.source.volume.grid.affine @ scene.head.to_voxels
    expected = Layer(match.expected_mm, to_reference @ to_world)
    stretch = float(abs(np.linalg.det(match.pose[:3, :3]))) ** (1 / 3)

    def beyond(points: Points, _: Points) -> NDArray[np.floating]:
        return np.asarray(at(expected, points) * stretch)

    marks = [f"{mm:+g}" for mm in np.linspace(-_SHIFT_MM, _SHIFT_MM, 5)]
    return Painting(
        beyond, DIVERGING, -_SHIFT_MM, _SHIFT_MM, (*marks[:2], "0 mm", *marks[3:]),
        "surface inside (\u2212) or outside (+) the coarse reference",
    )  # fmt: skip


def tissue(products: Products) -> bytes:
    """How bright each tissue is, in the corrected image within the mask."""
    assert products.preproc is not None
    assert products.segmented is not None
    grid = products.source.volume.grid
    some = every_nth(grid.zooms, _SAMPLES_MM)
    labels = np.where(products.brain.mask[some], products.segmented.labels[some], 0)
    values = products.preproc.steps[some] * np.float32(products.preproc.step)
    inside = values[labels > 0]
    low, high = np.percentile(inside, (0.2, 99.8)) if inside.size else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-3), _BINS + 1)
    ml = grid.voxel_volume_ml * float(np.prod([side.step for side in some]))
    curves = {
        key.upper(): (_LOOKS[key], _smooth(np.histogram(values[labels == label], edges)[0]) * ml)
        for label, key in enumerate(TISSUES, start=1)
    }
    return histograms(curves, edges, below="corrected brightness (white matter: 1000)",
                      beside="ml a bin",
                      label="brightness of grey matter, white matter, fluid")  # fmt: skip


def _smooth(counts: NDArray[np.int_]) -> NDArray[np.floating]:
    """Counts over a bin's neighbours: scanners store whole numbers, which leaves a comb."""
    return np.asarray(ndimage.gaussian_filter1d(counts.astype(np.float64), _SMOOTH_BINS))
