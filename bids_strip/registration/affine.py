"""Small changes of an affine: what they are, and what they do to a value at a point; pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Affine
from bids_strip.geometry import mapped
from bids_strip.spread import robust_sd

Points = NDArray[np.float64]

_RADIUS_MM = 70.0
"""Of a brain, about: turns and stretches are told by how far they move a point there."""


def generators(dof: int) -> Points:
    """(12, dof): shifts, turns, growth; then stretches and shears. Entries: shift, rows of 3x3."""
    columns = []
    for axis in range(3):
        shift = np.zeros((4, 3))
        shift[0, axis] = 1
        columns.append(shift)
    for one, other in ((1, 2), (2, 0), (0, 1)):
        turn = np.zeros((4, 3))
        turn[1 + one, other], turn[1 + other, one] = -1, 1
        columns.append(turn)
    growth = np.zeros((4, 3))
    growth[1:] = np.eye(3)
    columns.append(growth)
    for axis in (0, 1):
        stretch = np.zeros((4, 3))
        stretch[1 + axis, axis] = 1
        columns.append(stretch)
    for one, other in ((1, 2), (2, 0), (0, 1)):
        shear = np.zeros((4, 3))
        shear[1 + one, other] = shear[1 + other, one] = 1
        columns.append(shear)
    return np.stack([c.ravel() for c in columns[:dof]], axis=1)


def away(points: Points, centre: Points) -> Points:
    """(N, 3): where points lie about a centre, in radii of a brain."""
    return (points - centre) / _RADIUS_MM


def rows(slope: Points, away: Points, dof: int) -> Points:
    """(N, dof): change of a value when its point moves along each of `generators`.

    Parameters
    ----------
    slope : (N, 3) float64
        Of the value, per mm.
    away : (N, 3) float64
        From `away`.
    dof : int
        Seven (turn, shift, one scale) or twelve.
    """
    entries = np.column_stack([slope, *(slope[:, [a]] * away for a in range(3))])
    return np.asarray(entries @ generators(dof))


def moved(to_native: Affine, step: Points, centre: Points) -> Affine:
    """Apply a step in the run's space, about the template's centre as it lies there."""
    shift, *change_rows = (generators(len(step)) @ step).reshape(4, 3)
    change = np.eye(4)
    change[:3, :3] += np.array(change_rows) / _RADIUS_MM
    middle = mapped(to_native, centre)
    change[:3, 3] = middle + shift - change[:3, :3] @ middle
    return np.asarray(change @ to_native)


def length(step: Points) -> float:
    """How far a step moves a point at most, about, mm."""
    return float(np.abs(generators(len(step)) @ step).sum())


def normal_equations(
    columns: Points, values: Points, weight: Points | None = None
) -> tuple[Points, Points]:
    """What the sum of columns that comes nearest to some values solves: least squares.

    Parameters
    ----------
    columns : (N, A) float64
        One a coefficient, one row a point.
    values : (N,) float64
    weight : (N,) float64
        How much each point counts; None counts each as 1.

    Returns
    -------
    normal : (A, A) float64
    right : (A,) float64
        ``normal @ coefficients == right``: see `solved`.
    """
    if weight is None:
        return columns.T @ columns, columns.T @ values
    return (columns * weight[:, None]).T @ columns, columns.T @ (weight * values)


def solved(normal: Points, right: Points) -> Points:
    """The solution of normal equations, the shortest where they leave a choice."""
    return np.asarray(np.linalg.lstsq(normal, right, rcond=None)[0])


def robust(residual: Points) -> tuple[Points, float]:
    """Weights of Geman and McClure, and the scale of the residuals in whose units they are."""
    scale = max(robust_sd(residual), 1e-6)
    return 1.0 / (1.0 + (residual / (3 * scale)) ** 2) ** 2 / scale**2, scale


def rotation(turn_deg: Points) -> Points:
    """Rotation matrix of a rotation vector.

    Parameters
    ----------
    turn_deg : (3,) float64
        Degrees about its own direction, right-handed.

    Returns
    -------
    (3, 3) float64

    Notes
    -----
    The formula of Rodrigues; scipy's class for it brings a package that nothing else here needs.
    """
    x, y, z = np.deg2rad(turn_deg)
    angle = np.hypot(np.hypot(x, y), z)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine, rest = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi)) ** 2 / 2
    return np.asarray(np.eye(3) + sine * cross + rest * (cross @ cross))


def rotation_vector_deg(matrix: Points) -> Points:
    """Rotation vector of a rotation matrix, (3,) degrees; undoes `rotation` below a half turn.

    Raises
    ------
    ValueError
        If the matrix is a mirror's.
    """
    if np.linalg.det(matrix) < 0:
        raise ValueError("a mirror image is no rotation")
    skew = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0],
                     matrix[1, 0] - matrix[0, 1]])  # fmt: skip
    sine = np.linalg.norm(skew)
    angle = np.arctan2(sine, np.trace(matrix) - 1)
    # the axis is what the matrix leaves alone; the skew part tells its sign, but near a half turn
    # is too short to tell the axis itself
    _, vectors = np.linalg.eigh(matrix + matrix.T)
    axis = vectors[:, 2] if angle > np.pi / 2 else skew / max(sine, 1e-300)
    return np.asarray(np.rad2deg(angle) * axis * (-1 if axis @ skew < 0 else 1))
