"""Turns as vectors and as matrices, against scipy's class for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bids_strip.registration.affine import rotation, rotation_vector_deg

ANGLES_DEG = (0.0, 1e-9, 1e-4, 0.1, 30.0, 89.99, 90.01, 120.0, 179.0, 179.999)


@pytest.mark.parametrize("angle", [*ANGLES_DEG, 180.0])
def test_a_rotation_vector_gives_scipys_matrix(angle: float, rng) -> None:
    for way in rng.standard_normal((20, 3)):
        turn = angle * way / np.linalg.norm(way)
        expected = Rotation.from_rotvec(turn, degrees=True).as_matrix()
        assert rotation(turn) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("angle", ANGLES_DEG)
def test_a_matrix_gives_its_rotation_vector(angle: float, rng) -> None:
    for way in rng.standard_normal((20, 3)):
        turn = angle * way / np.linalg.norm(way)
        matrix = Rotation.from_rotvec(turn, degrees=True).as_matrix()
        assert rotation_vector_deg(matrix) == pytest.approx(turn, abs=1e-8)


def test_half_a_turn_has_either_sign(rng) -> None:
    for way in rng.standard_normal((20, 3)):
        turn = 180 * way / np.linalg.norm(way)
        matrix = Rotation.from_rotvec(turn, degrees=True).as_matrix()
        found = rotation_vector_deg(matrix)
        assert min(np.abs(found - turn).max(), np.abs(found + turn).max()) < 1e-5


def test_a_mirror_is_no_turn() -> None:
    with pytest.raises(ValueError, match="mirror"):
        rotation_vector_deg(np.diag([1.0, 1.0, -1.0]))
