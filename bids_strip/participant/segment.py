"""Tell grey matter, white matter and fluid apart on the native grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bids_strip.domain import (
    Bool3,
    BrainMask,
    Float4,
    Frame,
    Normalised,
    Prediction,
    Segmented,
    Shape3,
    Zooms,
)
from bids_strip.geometry import bounding_box, every_nth, to_native, within
from bids_strip.mixture import Classes, Shares, Values, first_guess, fitted, posterior, trusted
from bids_strip.prior import tissue_prior
from bids_strip.slabs import in_slabs, side_by_side

FULL = 255
"""Steps of a share of 1."""
_SAMPLES_MM = 2.0
_LEAST_SD = 5.0
_ROUNDS = 10
_ALIKE = 0.5
"""Weight of the six neighbours' shares, each counting 1."""
_SWEEPS = 3
_OUTSIDE = (4, 5)
"""Bone and soft tissue."""
_VOXELS = 1 << 16
_ROWS = 32
"""Of a part that a thread works on."""


def segment(
    normalised: Normalised, brain: BrainMask, prediction: Prediction, frame: Frame, *,
    suffix: str, outside: bool = True, threads: int = 1,
) -> Segmented:  # fmt: skip
    """Segment a run.

    Parameters
    ----------
    normalised
        Its brightness, corrected.
    brain
        Its distances; the border is not used.
    prediction
        The network's tissues: the prior within the surface, the labels outside it.
    frame
        How the network's grid lies in the native one.
    suffix : str
        BIDS suffix of the run.
    outside : bool
        False leaves what lies outside the surface unlabelled, where nobody asks for it.
    threads : int
        Parts that are worked on side by side.

    Notes
    -----
    Each tissue is a Gaussian of corrected brightness; a voxel's shares follow from it, from the
    network's prior and from the shares of its neighbours, a Markov random field solved by mean
    field (Zhang et al. 2001, doi:10.1109/42.906424; Van Leemput et al. 1999,
    doi:10.1109/42.811270). An order of brightness is taken for granted in T2w alone.
    """
    grid = normalised.volume.grid
    inside = within(brain.sdt_steps, 0.0)
    box = bounding_box(inside, margin_mm=0.0, zooms=grid.zooms)
    part = inside[box]
    values = normalised.volume.data[box][part]
    prior = tissue_prior(prediction, frame, brain, box)[:, part]
    few = every_nth(grid.zooms, _SAMPLES_MM)
    chosen = np.zeros(part.shape, dtype=bool)
    chosen[few] = True
    sample = chosen[part]
    classes = tissue_classes(values[sample], prior[:, sample], suffix=suffix)
    shares = with_neighbours(posterior(values, prior, classes), values, prior, classes, part,
                             grid.zooms, threads=threads)  # fmt: skip
    steps = np.zeros((3, *grid.shape), dtype=np.uint8)
    steps[(slice(None), *box)][:, part] = in_steps(shares)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    if outside and prediction.shares is not None and not brain.already_stripped:
        labels = _outside(prediction.shares, frame, grid.shape, threads=threads)
    labels[inside] = 0
    labels[box][part] = 1 + shares.argmax(axis=0).astype(np.uint8)
    return Segmented(labels, steps)


def tissue_classes(values: Values, prior: Shares, *, suffix: str) -> Classes:
    """Brightness of the tissues, from their prior (expectation maximisation)."""
    classes = first_guess(values, prior, suffix=suffix, least_sd=_LEAST_SD)
    for _ in range(_ROUNDS):
        shares = trusted(values, posterior(values, prior, classes), classes)
        classes = fitted(values, shares, least_sd=_LEAST_SD)
    return classes


def with_neighbours(
    shares: Shares, values: Values, prior: Shares, classes: Classes, inside: Bool3, zooms: Zooms,
    *, threads: int = 1,
) -> Shares:  # fmt: skip
    """Shares that also follow those of the neighbours.

    Parameters
    ----------
    shares, prior : (3, N) float32
        Of the voxels of `inside`, in its order.
    values : (N,) float32
        Their brightness.
    classes
        Of the tissues.
    inside : (I, J, K) bool
        Within the surface.
    zooms
        mm; a neighbour counts by its nearness.
    threads : int
        Parts that are worked on side by side.
    """
    near = neighbours(inside, zooms)
    every = near @ with_outside(np.ones(len(values), dtype=np.float32))

    def followed(rows: slice) -> Shares:
        pull = np.exp(np.float32(_ALIKE) * support[:, rows])
        return posterior(values[rows], prior[:, rows] * pull, classes)

    def support_of(share: Values) -> Values:
        return np.asarray(near @ with_outside(share))

    for _ in range(_SWEEPS):
        grey, white = side_by_side(support_of, shares[:2], threads=threads)
        support = np.stack([grey, white, every - grey - white])
        parts = in_slabs(followed, len(values), threads=threads, thick=_VOXELS)
        shares = np.concatenate(parts, axis=1)
    return shares


def neighbours(inside: Bool3, zooms: Zooms) -> csr_array:
    """How much each voxel of a region counts in each other one.

    Parameters
    ----------
    inside : (I, J, K) bool
        The region, N voxels.
    zooms
        mm.

    Returns
    -------
    (N, N + 1) float32, sparse
        For the six neighbours of a voxel their nearness, 1 in the mean over the axes; the last
        column stands for all that lies outside.
    """
    padded = np.pad(inside, 1)
    at = np.flatnonzero(padded)
    number = np.full(padded.size, len(at), dtype=np.int32)
    number[at] = np.arange(len(at), dtype=np.int32)
    nearness = [3 / z / sum(1 / other for other in zooms) for z in zooms]
    strides = (padded.shape[1] * padded.shape[2], padded.shape[2], 1)
    found = np.empty((len(at), 6), dtype=np.int32)
    for column, way in enumerate((*(-s for s in strides), *strides)):
        found[:, column] = number[at + way]
    weights = np.tile(np.array([*nearness, *nearness], dtype=np.float32), len(at))
    starts = np.arange(0, weights.size + 1, 6, dtype=np.int32)
    return csr_array((weights, found.ravel(), starts), shape=(len(at), len(at) + 1))


def with_outside(share: Values) -> Values:
    """A tissue's shares and, last, its share outside the region: none."""
    return np.append(share, np.float32(0))


def in_steps(shares: Shares) -> NDArray[np.uint8]:
    """(3, N) shares in steps of 1/255 whose sum is 255; what rounding leaves goes to fluid."""
    grey = np.rint(shares[0] * FULL)
    white = np.minimum(np.rint(shares[1] * FULL), FULL - grey)
    return np.stack([grey, white, FULL - grey - white]).astype(np.uint8)


def _outside(shares: Float4, frame: Frame, shape: Shape3, *, threads: int = 1) -> NDArray[np.uint8]:
    """Background, bone or soft tissue, whichever the network gives the largest share."""
    labels = np.zeros(shape, dtype=np.uint8)
    bone, soft = (shares[label] - shares[0] for label in _OUTSIDE)

    def label(rows: slice) -> None:
        window = (rows, slice(None), slice(None))
        more_bone, more_soft = (to_native(one, frame, window) for one in (bone, soft))
        slab = labels[rows]
        slab[(more_bone > 0) & (more_bone >= more_soft)] = _OUTSIDE[0]
        slab[(more_soft > 0) & (more_soft > more_bone)] = _OUTSIDE[1]

    in_slabs(label, shape[0], threads=threads, thick=_ROWS)
    return labels
