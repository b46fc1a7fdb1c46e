"""Tell grey matter, white matter and fluid apart on the native grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bids_strip.brightness.mixture import (
    VOXELS,
    Classes,
    Shares,
    Values,
    first_guess,
    fitted,
    posterior,
    trusted,
)
from bids_strip.brightness.prior import tissue_prior
from bids_strip.domain import (
    Bool3,
    BrainMask,
    Float4,
    Frame,
    NetworkTissues,
    Normalised,
    Segmented,
    Shape3,
    Zooms,
)
from bids_strip.geometry import bounding_box, every_nth, native_box, to_native, within
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
_ROWS = 32
"""Of a part that a thread works on."""


def segment(
    normalised: Normalised, brain: BrainMask, network: NetworkTissues, *, suffix: str,
    outside: bool = True, threads: int = 1,
) -> Segmented:  # fmt: skip
    """Segment a run.

    Parameters
    ----------
    normalised
        Its brightness, corrected.
    brain
        Its distances; the border is not used.
    network
        Its tissues: the prior within the surface, the labels outside it.
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
    prior = tissue_prior(network, brain, box, part, threads=threads)
    few = every_nth(grid.zooms, _SAMPLES_MM)
    chosen = np.zeros(part.shape, dtype=bool)
    chosen[few] = True
    sample = np.flatnonzero(chosen[part])
    classes = tissue_classes(values[sample], prior[:, sample], suffix=suffix)
    shares = with_neighbours(values, prior, classes, part, grid.zooms, threads=threads)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    if outside and network.shares is not None and not brain.already_stripped:
        labels = _outside(network.shares, network.frame, grid.shape, threads=threads)
    steps = np.zeros((3, *grid.shape), dtype=np.uint8)
    likeliest, found = in_steps(shares, threads=threads)
    labels[box][part] = likeliest
    for tissue in range(3):
        steps[tissue][box][part] = found[tissue]
    return Segmented(labels, steps)


def tissue_classes(values: Values, prior: Shares, *, suffix: str) -> Classes:
    """Brightness of the tissues, from their prior (expectation maximisation)."""
    classes = first_guess(values, prior, suffix=suffix, least_sd=_LEAST_SD)
    for _ in range(_ROUNDS):
        shares = trusted(values, posterior(values, prior, classes), classes)
        classes = fitted(values, shares, least_sd=_LEAST_SD)
    return classes


def with_neighbours(
    values: Values, prior: Shares, classes: Classes, inside: Bool3, zooms: Zooms, *,
    threads: int = 1,
) -> Shares:  # fmt: skip
    """Shares that follow brightness, prior and those of the neighbours.

    Parameters
    ----------
    values : (N,) float32
        Brightness of the voxels of `inside`, in its order.
    prior : (3, N) float32
        Of the tissues.
    classes
        Of the tissues.
    inside : (I, J, K) bool
        Within the surface.
    zooms
        mm; a neighbour counts by its nearness.
    threads : int
        Parts that are worked on side by side.

    Returns
    -------
    (3, N) float32
    """
    near = neighbours(inside, zooms, threads=threads)
    every = near @ with_outside(np.ones(len(values), dtype=np.float32))
    shares = np.empty_like(prior)

    def alone(rows: slice) -> None:
        shares[:, rows] = posterior(values[rows], prior[:, rows], classes)

    def support_of(share: Values) -> Values:
        return np.asarray(near @ with_outside(share))

    in_slabs(alone, len(values), threads=threads, thick=VOXELS)
    for _ in range(_SWEEPS):
        grey, white = side_by_side(support_of, shares[:2], threads=threads)

        def followed(rows: slice, grey: Values = grey, white: Values = white) -> None:
            support = np.stack([grey[rows], white[rows], every[rows] - grey[rows] - white[rows]])
            support *= np.float32(_ALIKE)
            pull = np.exp(support, out=support)
            pull *= prior[:, rows]
            shares[:, rows] = posterior(values[rows], pull, classes)

        in_slabs(followed, len(values), threads=threads, thick=VOXELS)
    return shares


def neighbours(inside: Bool3, zooms: Zooms, *, threads: int = 1) -> csr_array:
    """How much each voxel of a region counts in each other one.

    Parameters
    ----------
    inside : (I, J, K) bool
        The region, N voxels.
    zooms
        mm.
    threads : int
        Parts that are worked on side by side.

    Returns
    -------
    (N, N + 1) float32, sparse
        For the six neighbours of a voxel their nearness, 1 in the mean over the axes; the last
        column stands for all that lies outside.
    """
    padded = np.pad(inside, 1)
    at = np.flatnonzero(padded).astype(np.int32)
    number = np.full(padded.size, len(at), dtype=np.int32)
    number[at] = np.arange(len(at), dtype=np.int32)
    nearness = [3 / z / sum(1 / other for other in zooms) for z in zooms]
    strides = (padded.shape[1] * padded.shape[2], padded.shape[2], 1)
    ways = np.array([*(-s for s in strides), *strides], dtype=np.int32)
    found = np.empty((len(at), 6), dtype=np.int32)
    weights = np.empty((len(at), 6), dtype=np.float32)

    def fill(rows: slice) -> None:
        number.take(at[rows, None] + ways, out=found[rows], mode="clip")
        weights[rows] = [*nearness, *nearness]

    in_slabs(fill, len(at), threads=threads, thick=VOXELS)
    starts = np.arange(0, weights.size + 1, 6, dtype=np.int32)
    return csr_array((weights.ravel(), found.ravel(), starts), shape=(len(at), len(at) + 1))


def with_outside(share: Values) -> Values:
    """A tissue's shares and, last, its share outside the region: none."""
    return np.append(share, np.float32(0))


def in_steps(shares: Shares, *, threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The likeliest tissue, from 1, and shares in steps of 1/255.

    Parameters
    ----------
    shares : (3, N) float32
        Of grey matter, white matter, fluid.
    threads : int
        Parts that are worked on side by side.

    Returns
    -------
    (N,) uint8, (3, N) uint8
        The sum of a voxel's steps is 255; what rounding leaves goes to fluid.
    """
    likeliest = np.empty(shares.shape[1], dtype=np.uint8)
    steps = np.empty(shares.shape, dtype=np.uint8)

    def fill(rows: slice) -> None:
        grey, white, fluid = shares[:, rows]
        second = white > grey
        likeliest[rows] = np.where(fluid > np.where(second, white, grey), 3, 1 + second)
        of_grey = np.rint(grey * FULL)
        of_white = np.minimum(np.rint(white * FULL), FULL - of_grey)
        steps[:, rows] = of_grey, of_white, FULL - of_grey - of_white

    in_slabs(fill, len(likeliest), threads=threads, thick=VOXELS)
    return likeliest, steps


def _outside(shares: Float4, frame: Frame, shape: Shape3, *, threads: int = 1) -> NDArray[np.uint8]:
    """Background, bone or soft tissue, whichever the network gives the largest share."""
    labels = np.zeros(shape, dtype=np.uint8)
    bone, soft = (shares[label] - shares[0] for label in _OUTSIDE)
    somewhere = (bone > 0) | (soft > 0)
    if not somewhere.any():
        return labels
    box = native_box(bounding_box(somewhere, margin_mm=0.0, zooms=(1.0, 1.0, 1.0)), frame)
    part, first = labels[box], box[0].start

    def label(rows: slice) -> None:
        window = (slice(first + rows.start, first + rows.stop), *box[1:])
        more_bone, more_soft = (to_native(one, frame, window) for one in (bone, soft))
        slab = part[rows]
        slab[more_bone > 0] = _OUTSIDE[0]
        slab[(more_soft > 0) & (more_soft > more_bone)] = _OUTSIDE[1]

    in_slabs(label, len(part), threads=threads, thick=_ROWS)
    return labels
