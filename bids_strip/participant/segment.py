"""Tell grey matter, white matter and fluid apart on the native grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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

FULL = 255
"""Steps of a share of 1."""
_SAMPLES_MM = 2.0
_LEAST_SD = 5.0
_ROUNDS = 10
_ALIKE = 0.5
"""Weight of the six neighbours' shares, each counting 1."""
_SWEEPS = 3
_OUTSIDE = (0, 4, 5)


def segment(
    normalised: Normalised, brain: BrainMask, prediction: Prediction, frame: Frame, *,
    suffix: str,
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
                             grid.zooms)  # fmt: skip
    steps = np.zeros((3, *grid.shape), dtype=np.uint8)
    steps[(slice(None), *box)][:, part] = in_steps(shares)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    if prediction.shares is not None and not brain.already_stripped:
        labels = _outside(prediction.shares, frame, grid.shape)
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
    shares: Shares, values: Values, prior: Shares, classes: Classes, inside: Bool3, zooms: Zooms
) -> Shares:
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
    """
    for _ in range(_SWEEPS):
        support = np.stack([_support(share, inside, zooms) for share in shares])
        shares = posterior(values, prior * np.exp(_ALIKE * support), classes)
    return shares


def _support(share: Values, inside: Bool3, zooms: Zooms) -> Values:
    """Sum of a tissue's share over the six neighbours, (N,)."""
    held = np.zeros(inside.shape, dtype=np.float32)
    held[inside] = share
    total = np.zeros_like(held)
    nearness = [1 / z for z in zooms]
    for axis, near in enumerate(nearness):
        weight = np.float32(3 * near / sum(nearness))
        lines, sums = np.moveaxis(held, axis, 0), np.moveaxis(total, axis, 0)
        sums[1:] += weight * lines[:-1]
        sums[:-1] += weight * lines[1:]
    return np.asarray(total[inside])


def in_steps(shares: Shares) -> NDArray[np.uint8]:
    """(3, N) shares in steps of 1/255 whose sum is 255; what rounding leaves goes to fluid."""
    grey = np.rint(shares[0] * FULL)
    white = np.minimum(np.rint(shares[1] * FULL), FULL - grey)
    return np.stack([grey, white, FULL - grey - white]).astype(np.uint8)


def _outside(shares: Float4, frame: Frame, shape: Shape3) -> NDArray[np.uint8]:
    """Background, bone or soft tissue, whichever the network gives the largest share."""
    labels = np.zeros(shape, dtype=np.uint8)
    everywhere = (slice(None), slice(None), slice(None))
    best = to_native(shares[0], frame, everywhere)
    for label in _OUTSIDE[1:]:
        share = to_native(shares[label], frame, everywhere)
        labels[share > best] = label
        np.maximum(best, share, out=best)
    return labels
