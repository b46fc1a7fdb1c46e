"""Take a smooth field out of a run's brightness, and bring white matter to one value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_strip.brightness.bias import Cosines, cosines, field_over, fit
from bids_strip.brightness.mixture import Shares, Values, first_guess, fitted, posterior, trusted
from bids_strip.brightness.prior import tissue_prior
from bids_strip.domain import (
    WHITE_MATTER,
    Bool3,
    BrainMask,
    Float3,
    NetworkTissues,
    Normalised,
    Quantised,
    Volume,
)
from bids_strip.errors import NormaliseError
from bids_strip.geometry import bounding_box, every_nth, within
from bids_strip.slabs import in_slabs

_SAMPLES_MM = 3.0
_MARGIN_MM = 15.0
_ROUNDS = 8
_LEAST_SD = 0.02
_WEIGHTS = np.array([0.2, 1.0, 0.0])
"""Of grey matter, white matter, fluid in the field: deep grey is brighter than the cortex, and the
surface's fluid holds meninges."""
_SURE = 0.9
_DARK_SHARE = 0.1
_DARKEST_PERCENT = 0.1
_LEAST_STEP = 1.0
_ROWS = 8
"""Of a slab that is corrected at a time."""
_FEW = 97
"""Every so many voxels are looked at for the source's own step."""


@np.errstate(over="ignore", invalid="ignore")  # values of no image: what comes of them is refused
def normalise(
    native: Volume, brain: BrainMask, network: NetworkTissues, *, suffix: str,
    smoothness_mm: float, threads: int = 1,
) -> Normalised:  # fmt: skip
    """Correct a run's brightness.

    Parameters
    ----------
    native
        The run.
    brain
        Its distances; the border is not used.
    network
        Its tissues; without them the depth below the surface is the prior.
    suffix : str
        BIDS suffix of the run.
    smoothness_mm : float
        Half of the field's shortest wavelength, mm; 0 for no field.
    threads : int
        Slabs that are corrected side by side.

    Raises
    ------
    NormaliseError
        If the values are beyond what single precision can reckon with.

    Notes
    -----
    The logarithm of brightness is one Gaussian a tissue plus a smooth field; tissues and field are
    estimated in turn (Wells et al. 1996, doi:10.1109/42.511747; Van Leemput et al. 1999,
    doi:10.1109/42.811268), on every n-th voxel within the surface. The field runs on smoothly
    outside it, held within its range inside.
    """
    inside = within(brain.sdt_steps, 0.0)
    window = every_nth(native.grid.zooms, _SAMPLES_MM)
    data = native.data[window]
    floor = _floor(data, inside[window])
    seen = inside[window] & (data > floor)
    if not seen.any():
        return Normalised(native, np.zeros_like(native.data), 0.0, 1.0)
    samples = Samples(
        brightness=np.log(data[seen] - np.float32(floor)),
        prior=tissue_prior(network, brain, window, seen, threads=threads),
        places=[at * side.step for at, side in zip(np.nonzero(seen), window, strict=True)],
    )
    box = bounding_box(inside, margin_mm=_MARGIN_MM, zooms=native.grid.zooms)
    waves = cosines(box, native.grid.zooms, smoothness_mm)
    fitted_field = estimate(samples, waves, suffix=suffix, threads=threads)
    log_field = field_over(waves, fitted_field.coefficients, inside.shape, threads=threads)
    held = _held(log_field, inside)
    scale = WHITE_MATTER / np.exp(_white_matter(samples, log_field, held, fitted_field.shares))
    if not (np.isfinite(scale) and np.isfinite(held.mean)):
        raise NormaliseError(
            f"brightness within the brain runs from {data[seen].min():.3g} to "
            f"{data[seen].max():.3g}, which is no image's; is the file damaged? convert it again"
        )
    corrected = np.empty_like(native.data)

    def correct(rows: slice) -> None:
        field = held.of(log_field[rows], out=log_field[rows])
        slab = np.subtract(np.float32(np.log(scale)), field, out=corrected[rows])
        np.exp(slab, out=slab)
        slab *= native.data[rows] - np.float32(floor)

    in_slabs(correct, len(corrected), threads=threads, thick=_ROWS)
    if brain.already_stripped:
        corrected[(native.data == 0) & ~inside] = 0.0  # nothing there, wherever counting starts
    return Normalised(Volume(corrected, native.grid), log_field, floor, float(scale))


@dataclass(frozen=True, eq=False)
class Samples:
    """Voxels within the surface that the field is estimated from.

    Attributes
    ----------
    brightness : (N,) float32
        Natural logarithm.
    prior : (3, N) float32
        Shares of grey matter, white matter, fluid.
    places : three of (N,) int
        Native voxel along each axis.
    """

    brightness: Values
    prior: Shares
    places: list[NDArray[np.int64]]


class Estimate(NamedTuple):
    """Coefficients of the log field, and the samples' shares of the tissues."""

    coefficients: NDArray[np.float64]
    shares: Shares


def estimate(
    samples: Samples, waves: Cosines, *, suffix: str, threads: int = 1
) -> Estimate:  # fmt: skip
    """Tissues given the field and the field given the tissues, in turn.

    Parameters
    ----------
    samples
        What was seen.
    waves
        What the logarithm of the field is made of.
    suffix
        BIDS suffix of the run.
    threads : int
        Parts that are worked on side by side.
    """
    basis = waves.at(samples.places)
    found = Estimate(np.zeros(len(waves.waves)), samples.prior)
    field = np.zeros_like(samples.brightness)
    classes = first_guess(samples.brightness, samples.prior, suffix=suffix, least_sd=_LEAST_SD)
    for _ in range(_ROUNDS):
        flat = samples.brightness - field
        shares = posterior(flat, samples.prior, classes)
        counted = trusted(flat, shares, classes)
        weight = counted * (_WEIGHTS / classes.variance).astype(np.float32)[:, None]
        total = weight.sum(axis=0)
        expected = (classes.mean.astype(np.float32) @ weight) / np.maximum(total, np.float32(1e-9))
        found = Estimate(fit(basis, waves.lengths, samples.brightness - expected, total,
                             threads=threads), shares)  # fmt: skip
        field = basis @ found.coefficients.astype(np.float32)
        field -= field.mean()
        classes = fitted(samples.brightness - field, counted, least_sd=_LEAST_SD)
    return found


def _floor(data: Float3, inside: Bool3) -> float:
    """0, or nearly the least value where a tenth of the brain is not above 0 (CT, shifted data)."""
    dark = np.count_nonzero(data[inside] <= 0)
    if dark <= _DARK_SHARE * np.count_nonzero(inside) or data.min() >= 0:
        return 0.0
    return float(np.percentile(data, _DARKEST_PERCENT))


@dataclass(frozen=True, slots=True)
class _Held:
    """The range of a log field inside the surface, and its mean there."""

    low: np.float32
    high: np.float32
    mean: np.float32

    def of(self, log_field: Float3, out: Float3 | None = None) -> Float3:
        """A part of the field, held within the range, less the mean."""
        found = np.clip(log_field, self.low, self.high, out=out)
        found -= self.mean
        return found


def _held(log_field: Float3, inside: Bool3) -> _Held:
    known = log_field[inside]
    return _Held(known.min(), known.max(), np.float32(known.mean(dtype=np.float64)))


def _white_matter(samples: Samples, log_field: Float3, held: _Held, shares: Shares) -> float:
    """Median log brightness of voxels that are surely white matter, of the whitest if none is."""
    i, j, k = samples.places
    flat = samples.brightness - held.of(log_field[i, j, k])
    white = shares[1]
    surest = flat[white >= min(_SURE, float(np.percentile(white, 90)))]
    return float(np.median(surest)) if surest.size else math.nan  # none where shares are no numbers


def quantised_image(native: Volume, normalised: Normalised) -> Quantised:
    """The corrected image in int16 steps of 1, or more where the source itself is coarser.

    Returns
    -------
    Quantised
        Clipped to what int16 holds; the step is a power of two, at most half of the source's own
        step in the corrected image.
    """
    apart = np.diff(np.unique(native.data.ravel()[::_FEW]))
    own = float(apart.min()) * normalised.scale if apart.size else 0.0
    step = 2.0 ** math.floor(math.log2(max(own / 2, _LEAST_STEP)))
    limit = np.iinfo(np.int16).max
    steps = normalised.volume.data / np.float32(step)
    np.clip(np.rint(steps, out=steps), -limit, limit, out=steps)
    return Quantised(steps.astype(np.int16), step)
