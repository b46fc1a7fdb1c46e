"""Metrics of a surface beside image and tissues: balls, in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_strip.participant.qc import surface
from bids_strip.participant.qc.around import Around, Profiles, profiles
from bids_strip.participant.qc.tissues import Brightness
from tests.fakes import sphere_sdt, world_of

RADIUS_MM = 40.0
SHAPE, ZOOMS = (64, 66, 62), (2.0, 2.0, 2.0)
WHITE, BONE, SCALP, GREY = 1000.0, 100.0, 800.0, 700.0
SURFACE_CM2 = 4 * np.pi * RADIUS_MM**2 / 100


def ball(radius_mm: float, *, shift_mm: float = 0.0) -> np.ndarray:
    """Distance to a ball in the middle of the box, moved along its last axis."""
    affine = np.diag([*ZOOMS, 1.0])
    centre = (np.array(SHAPE) - 1) / 2 * ZOOMS + [0, 0, shift_mm]
    return sphere_sdt(world_of(SHAPE, affine), tuple(centre), radius_mm)


def seen(radius_mm: float = RADIUS_MM, *, shift_mm: float = 0.0) -> Around:
    """A surface of some radius about a brain of 40 mm: 37 of tissue, 3 of fluid, bone, scalp."""
    true = ball(RADIUS_MM)
    image = np.select([true <= -3, true <= 0, true <= 8, true <= 15], [WHITE, 300.0, BONE, SCALP])
    tissue = np.clip(0.5 - (true + 3) / 2, 0, 1)
    within = np.clip(0.5 - true / 2, 0, 1)
    return Around(
        ball(radius_mm, shift_mm=shift_mm), image.astype(np.float32), tissue.astype(np.float32),
        (within - tissue).astype(np.float32), ZOOMS,
    )  # fmt: skip


def met(around: Around) -> Profiles:
    found = profiles(around)
    assert found is not None
    return found


@pytest.mark.parametrize("radius", [30.0, 40.0, 50.0])
def test_roughness_of_a_ball(radius: float) -> None:
    """A Gaussian of s lifts the distance by s^2 / r, half of s^2 times its Laplacian 2 / r."""
    found = surface.roughness_mm(replace(seen(), sdt_mm=ball(radius)))
    assert found == pytest.approx(16 / radius, rel=0.1)


def test_bumps_are_rough() -> None:
    x = np.arange(SHAPE[0])[:, None, None] * 2.0
    bumpy = (ball(RADIUS_MM) + 2 * np.sin(x * 2 * np.pi / 12)).astype(np.float32)
    found = surface.roughness_mm(replace(seen(), sdt_mm=bumpy))
    assert found is not None
    assert found > 1.5 * 16 / RADIUS_MM


@pytest.mark.parametrize(
    ("offset", "margin"), [(0.0, 3.0), (4.0, 7.0), (-4.0, -1.0), (-10.0, -7.0), (-16.0, -12.0)]
)
def test_margin_of_a_fat_and_a_thin_mask(offset: float, margin: float) -> None:
    """Tissue ends 3 mm below the brain's surface, all around."""
    found = surface.tissue_margins(met(seen(RADIUS_MM + offset)))
    assert list(found.values()) == pytest.approx([margin] * 3, abs=0.35)


def test_margin_of_a_mask_that_is_shifted() -> None:
    """By 6 mm along z: a point at polar angle a has 3 + 6 cos a between it and the tissue, about;
    cos a is spread evenly over a ball."""
    found = surface.tissue_margins(met(seen(shift_mm=6.0)))
    assert found["tissue_margin_mm"] == pytest.approx(3, abs=0.6)
    assert found["tissue_margin_low_mm"] == pytest.approx(3 - 6 * 0.9, abs=0.7)
    assert found["tissue_margin_high_mm"] == pytest.approx(3 + 6 * 0.9, abs=0.7)


@pytest.mark.parametrize("radius", [32.0, 36.0, 40.0])
def test_tissue_outside(radius: float) -> None:
    """A shell between the mask and 37 mm; its part farther than 2 mm out is one piece."""
    outside, lump = surface.tissue_outside_ml(seen(radius)) or (np.nan, np.nan)
    shell = [max(4 / 3 * np.pi * (37**3 - inner**3) / 1000, 0) for inner in (radius, radius + 2)]
    assert (outside, lump) == pytest.approx(shell, abs=3)


@pytest.mark.parametrize("radius", [40.0, 44.0, 50.0])
def test_other_inside(radius: float) -> None:
    """A shell between 40 mm and the mask."""
    inside, lump = surface.other_inside_ml(seen(radius)) or (np.nan, np.nan)
    shell = [max(4 / 3 * np.pi * (outer**3 - 40**3) / 1000, 0) for outer in (radius, radius - 2)]
    assert (inside, lump) == pytest.approx(shell, abs=4)


def test_contrast_of_the_edge() -> None:
    """300 beside 100; interpolation over 2 mm lets an eighth of the other in at 1 mm from the edge,
    so that 1 to 3 mm in the mean are 292 and 108. Nothing within one tissue."""
    step = np.where(ball(RADIUS_MM) <= 0, 300, 100).astype(np.float32)
    found = surface.edge_contrast(met(replace(seen(), brightness=step)))
    assert found == pytest.approx((291.7 - 108.3) / 400, abs=0.02)
    assert surface.edge_contrast(met(seen(25.0))) == pytest.approx(0, abs=0.01)


def test_brightness_outside() -> None:
    """Bone is dark; 4 mm farther in lies white matter, 10 mm farther out scalp."""
    grey = Brightness(GREY, 60.0, 60.0, 1e4)
    shares = [surface.surface_on_bright(met(seen(RADIUS_MM + out)), grey) for out in (0, -8, 10)]
    assert shares == [0.0, 1.0, 1.0]


def test_air_beyond_the_head() -> None:
    """A brain whose scalp lies 15 mm out all around; half of the head empty; all of it."""
    head = seen()
    assert surface.surface_on_air(met(head)) == 0
    half = head.brightness.copy()
    half[: SHAPE[0] // 2] = 0
    found = surface.surface_on_air(met(replace(head, brightness=half)))
    assert found == pytest.approx(0.5, abs=0.05)
    stripped = np.where(head.sdt_mm <= 0, head.brightness, 0).astype(np.float32)
    assert surface.surface_on_air(met(replace(head, brightness=stripped))) == 1


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_certainty_is_the_largest_share(share: float) -> None:
    sdt = ball(RADIUS_MM)
    tissue = np.where(sdt <= 0, share, (1 - share) / 2).astype(np.float32)
    fluid = np.full(SHAPE, (1 - share) / 2, np.float32)
    around = replace(seen(), tissue=tissue, fluid=fluid)
    assert surface.certainty(around) == pytest.approx(share, abs=1e-3)


def test_profiles_run_along_the_normals() -> None:
    """Of a ball whose brightness is its radius: 40 mm plus the way out, wherever it is followed."""
    radius = ball(0.0)
    found = met(replace(seen(), brightness=radius))
    near = np.abs(found.out_mm) <= 12
    expected = RADIUS_MM + found.out_mm[near]
    assert np.abs(found.brightness[:, near] - expected).max() < 0.7
    assert np.abs((found.brightness[:, near] - expected).mean()) < 0.05


def test_points_are_spread_over_the_surface_evenly() -> None:
    """Each octant holds an eighth."""
    around = seen()
    octant = np.indices(SHAPE)[2] > (SHAPE[2] - 1) / 2
    marked = replace(around, brightness=octant.astype(np.float32))
    upper = met(marked).between(0, 0)[:, 0] > 0.5
    assert upper.mean() == pytest.approx(0.5, abs=0.02)


def test_a_network_without_tissues_tells_none() -> None:
    blind = replace(seen(), tissue=None, fluid=None)
    assert surface.tissue_outside_ml(blind) is None
    assert surface.other_inside_ml(blind) is None
    assert surface.certainty(blind) is None
    assert surface.tissue_margins(met(blind)) == {}
