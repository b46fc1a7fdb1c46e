"""How alike brains are: correlation of their descriptors without what all brains share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bids_strip.domain import Float3
from bids_strip.identity.brain import against_surroundings, points
from bids_strip.registration.reference import Reference

Similarity = NDArray[np.float32]

LEAST_PEOPLE = 8
"""From so many participants on, what their brains have in common is left out as well."""
_BLOCK = 512


def similarities(
    descriptors: NDArray[np.int8], people: Sequence[str], reference: Reference
) -> Similarity:
    """Similarity of every pair.

    Parameters
    ----------
    descriptors : (R, N) int8
        One a run.
    people : sequence of str
        Whose each is said to be.
    reference
        In whose space they are.

    Returns
    -------
    (R, R) float32
        From -1 to 1; symmetric, 1 on the diagonal (0 where a descriptor is empty).

    Notes
    -----
    Projected out are the reference's tissues, seen through the same local normalisation, with their
    change under a small affine (`common_parts`), and the mean over participants, one run each: two
    people are alike in these without being one. R x R x 4 bytes, and two blocks of descriptors.
    """
    common = common_parts(reference)
    if len(set(people)) >= LEAST_PEOPLE:
        common = _with_mean(common, descriptors, people)
    held = np.empty((len(descriptors), common.shape[1]), np.float32)
    for rows, one in _blocks(descriptors):
        held[rows] = one @ common
    found = np.empty((len(descriptors),) * 2, np.float32)
    for rows, one in _blocks(descriptors):
        for columns, other in _blocks(descriptors[: rows.stop]):
            part = one @ other.T - held[rows] @ held[columns].T
            found[rows, columns] = part
            found[columns, rows] = part.T
    length = np.sqrt(np.maximum(np.diag(found), 0))
    inverse = np.where(length > 0, 1 / np.where(length > 0, length, 1), 0).astype(np.float32)
    found *= inverse[:, None]
    found *= inverse
    return np.clip(found, -1, 1, out=found)


def common_parts(reference: Reference) -> NDArray[np.float32]:
    """(N, C) float32, orthonormal: what the reference leads one to expect of any brain.

    A constant; of each tissue its frequency as `bids_strip.identity.brain` would see it, and the
    twelve changes of that when the brain lies, or is shaped, a little otherwise.
    """
    grid, where = reference.grid, points(reference)
    brain = np.asarray(reference.sdt_mm <= 0)
    places = np.indices(grid.shape, dtype=np.float32)
    places -= np.array(grid.shape, np.float32)[:, None, None, None] / 2
    columns: list[Float3] = [np.ones(grid.shape, np.float32)]
    for tissue in reference.tissue:
        expected = against_surroundings(tissue * brain, brain, grid)
        columns.append(expected)
        for slope in np.gradient(expected):
            columns += [np.asarray(slope * by) for by in (1, *places)]
    stacked = np.stack([column[where] for column in columns], axis=1).astype(np.float64)
    stacked /= np.linalg.norm(stacked, axis=0)
    basis, weights, _ = np.linalg.svd(stacked, full_matrices=False)
    return np.asarray(basis[:, weights > 1e-6 * weights[0]], dtype=np.float32)


def _with_mean(
    common: NDArray[np.float32], descriptors: NDArray[np.int8], people: Sequence[str]
) -> NDArray[np.float32]:
    """One direction more: the mean over the first run of each participant."""
    _, firsts = np.unique(people, return_index=True)
    mean = np.zeros(descriptors.shape[1], np.float64)
    for run in firsts:
        own = descriptors[run].astype(np.float32)
        own -= common @ (own @ common)
        mean += own / max(float(np.linalg.norm(own)), 1e-6)
    mean -= common @ (mean @ common)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        return common
    return np.column_stack([common, (mean / length).astype(np.float32)])


def _blocks(descriptors: NDArray[np.int8]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Some rows at a time, as numbers to multiply."""
    for start in range(0, len(descriptors), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(descriptors)))
        yield rows, descriptors[rows].astype(np.float32)
