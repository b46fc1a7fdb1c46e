"""What a surface holds far outside the reference's, and lacks deep inside: spheres."""

from __future__ import annotations

import numpy as np
import pytest

from bids_strip.domain import Grid, Match
from bids_strip.participant.qc.shape import reference_beyond_ml, reference_missing_ml

SHAPE = (41, 41, 41)
RADIUS = 55.0
SCALE = 1.1


def grid_of(zoom: float, shape=SHAPE) -> Grid:
    affine = np.diag([zoom, zoom, zoom, 1.0])
    affine[:3, 3] = [-zoom * (n - 1) / 2 for n in SHAPE]
    return Grid(shape, affine)


def matched(radius: float) -> Match:
    """A sphere on a smaller one, in a head that is larger by a tenth."""
    grid = grid_of(4.0)
    index = np.moveaxis(np.indices(SHAPE), 0, -1)
    away = np.linalg.norm(index * 4.0 + grid.affine[:3, 3], axis=-1).astype(np.float32)
    pose = np.diag([SCALE] * 3 + [1.0])
    expected = np.clip(away - RADIUS, -12, 12)
    return Match(pose, grid, away - radius, expected, np.zeros(SHAPE, np.float32))


def ball_ml(radius: float) -> float:
    return 4 / 3 * np.pi * (radius * SCALE) ** 3 / 1000


HEAD = grid_of(4.0 * SCALE)


@pytest.mark.parametrize(("radius", "beyond", "missing"), [
    (RADIUS, 0.0, 0.0),
    (RADIUS + 7, 0.0, 0.0),
    (RADIUS - 7, 0.0, 0.0),
    (RADIUS + 20, ball_ml(RADIUS + 20) - ball_ml(RADIUS + 8), 0.0),
    (RADIUS - 20, 0.0, ball_ml(RADIUS - 8) - ball_ml(RADIUS - 20)),
])  # fmt: skip
def test_shells_farther_than_8_mm(radius: float, beyond: float, missing: float) -> None:
    match = matched(radius)
    assert reference_beyond_ml(match, HEAD) == pytest.approx(beyond, rel=0.03)
    assert reference_missing_ml(match, HEAD) == pytest.approx(missing, rel=0.03)


def test_what_is_out_of_view_does_not_count() -> None:
    half = grid_of(4.0 * SCALE, (20, 41, 41))
    for measure, radius in ((reference_beyond_ml, RADIUS + 20), (reference_missing_ml, 35.0)):
        match = matched(radius)
        assert measure(match, half) == pytest.approx(measure(match, HEAD) / 2, rel=0.06)
