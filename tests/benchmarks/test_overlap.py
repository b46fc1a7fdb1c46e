"""Overlap and surface distances against spheres, whose answers are known in closed form."""

import numpy as np
import pytest

from benchmarks.overlap import (
    agreement,
    common_box,
    missed_ml,
    stray_places,
    surface_distances,
    surface_of,
    volume_ml,
)
from bids_strip.domain import Bool3, Zooms

ISO: Zooms = (1.0, 1.0, 1.0)
THICK: Zooms = (0.9, 1.1, 2.5)


def sphere(radius_mm: float, zooms: Zooms, centre_mm: float = 0.0, half_mm: float = 45.0) -> Bool3:
    axes = [np.arange(-half_mm, half_mm + z / 2, z) for z in zooms]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray((x - centre_mm) ** 2 + y**2 + z**2 <= radius_mm**2)


def shell_dice(inner: float, outer: float) -> float:
    return 2 * inner**3 / (inner**3 + outer**3)


def test_an_agreement_of_concentric_spheres() -> None:
    """Each number from the radii: 27 mm against 30 mm."""
    ours, reference = (surface_of(sphere(radius, ISO), zooms=ISO) for radius in (27, 30))
    found = agreement("head", "network", ours, reference)
    assert (found.run, found.reference) == ("head", "network")
    assert found.dice == pytest.approx(shell_dice(27, 30), abs=2e-3)
    assert (found.signed_mm, found.mean_mm, found.p95_mm) == pytest.approx((-3, 3, 3), abs=0.3)
    assert found.ours_ml == pytest.approx(4 / 3 * np.pi * 27**3 / 1000, rel=0.01)
    assert found.reference_ml == pytest.approx(4 / 3 * np.pi * 30**3 / 1000, rel=0.01)
    deep_ml = 4 / 3 * np.pi * (28**3 - 27**3) / 1000  # missed, and deeper than 2 mm
    assert found.missed_ml == pytest.approx(deep_ml, rel=0.1)
    back = agreement("head", "network", reference, ours)
    assert (back.signed_mm, back.missed_ml) == (pytest.approx(-found.signed_mm), 0.0)


@pytest.mark.parametrize(("zooms", "tolerance"), [(ISO, 0.1), (THICK, 0.2)])
@pytest.mark.parametrize("step_mm", [3.0, -3.0])
def test_concentric_spheres_lie_their_step_apart(
    zooms: Zooms, tolerance: float, step_mm: float
) -> None:
    ours = surface_of(sphere(32 + step_mm, zooms), zooms=zooms)
    reference = surface_of(sphere(32, zooms), zooms=zooms)
    found = surface_distances(ours, reference)
    assert found.signed_mm == pytest.approx(step_mm, abs=tolerance)
    assert found.mean_mm == pytest.approx(3.0, abs=tolerance)
    assert 3.0 <= found.p95_mm < 3.0 + 0.6 * max(zooms)


def test_a_shifted_sphere_is_no_offset() -> None:
    # distance to the other surface is 4 cos(angle), to first order: mean of the size 2, signed 0
    ours = surface_of(sphere(30, ISO, centre_mm=4.0), zooms=ISO)
    reference = surface_of(sphere(30, ISO), zooms=ISO)
    found = surface_distances(ours, reference)
    assert found.signed_mm == pytest.approx(0.0, abs=0.15)
    assert found.mean_mm == pytest.approx(2.0, abs=0.25)
    assert found.p95_mm == pytest.approx(3.8, abs=0.35)


def test_a_mask_does_not_differ_from_itself() -> None:
    surface = surface_of(sphere(30, THICK), zooms=THICK)
    found = surface_distances(surface, surface)
    assert found.signed_mm == 0.0
    assert found.p95_mm == 0.0


def test_missed_volume_is_what_lies_deep() -> None:
    reference = surface_of(sphere(30, ISO), zooms=ISO)
    ours = sphere(25, ISO)
    expected = 4 / 3 * np.pi * (28**3 - 25**3) / 1000
    assert missed_ml(ours, reference) == pytest.approx(expected, rel=0.06)
    assert missed_ml(sphere(29, ISO), reference) == 0.0


def test_volume() -> None:
    assert volume_ml(sphere(30, THICK), zooms=THICK) == pytest.approx(113.1, rel=0.01)


def test_places_lie_beyond_every_reference() -> None:
    ball = sphere(25, ISO)
    ours = ball.copy()
    ours[70:77, 41:50, 41:50] = True  # a knob of about 5 mm on the right
    ours[45, 45, 65:71] = False  # and a thin pit at the top
    narrow = surface_of(sphere(24, ISO), zooms=ISO)
    wide = surface_of(ball, zooms=ISO)
    largest, *others = stray_places(ours, [narrow, wide])
    assert largest.kind == "extra"
    assert largest.index[0] == 76
    assert largest.depth_mm == pytest.approx(5.8, abs=0.8)
    assert [place.kind for place in others] == ["missed"]
    assert others[0].index[2] == 65


def test_nothing_strays_between_two_references() -> None:
    references = [surface_of(sphere(r, ISO), zooms=ISO) for r in (24, 30)]
    assert stray_places(sphere(27, ISO), references) == []


def test_the_box_holds_both_masks() -> None:
    small, large = sphere(10, THICK), sphere(20, THICK, centre_mm=5)
    box = common_box([small, large], zooms=THICK)
    assert small[box].sum() == small.sum()
    assert large[box].sum() == large.sum()
    assert large[box].size < large.size / 4
