"""Turns as vectors and as matrices, and least squares, against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bids_strip.registration.affine import (
    normal_equations,
    rotation,
    rotation_vector_deg,
    solved,
)

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


def test_normal_equations_are_solved_by_what_lies_nearest(rng) -> None:
    columns, values = rng.standard_normal((200, 7)), rng.standard_normal(200)
    weight = rng.uniform(0, 3, 200)
    root = np.sqrt(weight)
    expected = np.linalg.lstsq(columns * root[:, None], values * root, rcond=None)[0]
    found = solved(*normal_equations(columns, values, weight))
    assert found == pytest.approx(expected, abs=1e-10)
    plain = np.linalg.lstsq(columns, values, rcond=None)[0]
    assert solved(*normal_equations(columns, values)) == pytest.approx(plain, abs=1e-10)


def test_of_columns_that_say_the_same_the_shortest_solution_is_taken(rng) -> None:
    once, values = rng.standard_normal((50, 1)), rng.standard_normal(50)
    columns = np.column_stack([once, once])
    expected = np.linalg.lstsq(columns, values, rcond=None)[0]
    assert solved(*normal_equations(columns, values)) == pytest.approx(expected, abs=1e-10)
