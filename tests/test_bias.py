"""Fields of cosines against numpy's least squares."""

from __future__ import annotations

import numpy as np
import pytest

from bids_strip.brightness.bias import cosines, fit

BOX = (slice(2, 22), slice(0, 18), slice(5, 20))
STIFFNESS, RIDGE = 0.05, 1e-6


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_is_that_of_penalised_least_squares_with_a_constant(
    rng: np.random.Generator, threads: int
) -> None:
    """The constant is not penalised, and is not told.

    Samples lie to one side of the box, where no cosine's mean is 0, and weigh unlike.
    """
    waves = cosines(BOX, (3.0, 3.0, 3.0), 30.0)
    places = [rng.integers(side.start, side.start + 9, 4000) for side in BOX]
    basis = waves.at(places)
    target = (7 + basis @ rng.normal(size=basis.shape[1]) + rng.normal(size=4000)).astype("f4")
    weight = rng.uniform(0, 3, 4000).astype("f4")
    found = fit(basis, waves.lengths, target, weight, threads=threads)

    root = np.sqrt(weight.astype(np.float64) / weight.sum(dtype=np.float64))[:, None]
    seen = np.column_stack([np.ones(4000), basis.astype(np.float64)]) * root
    penalty = np.diag(np.sqrt(np.append(0.0, STIFFNESS / waves.lengths**4 + RIDGE)))
    rows = np.vstack([seen, penalty])
    right = np.append(target * root[:, 0], np.zeros(len(penalty)))
    expected = np.linalg.lstsq(rows, right, rcond=None)[0][1:]
    assert len(found) >= 6
    assert found == pytest.approx(expected, abs=1e-3)
    assert np.abs(expected).max() > 0.1


def test_samples_without_weight_tell_no_field() -> None:
    waves = cosines(BOX, (3.0, 3.0, 3.0), 30.0)
    basis = waves.at([np.arange(5, 10)] * 3)
    none = np.zeros(5, np.float32)
    assert not fit(basis, waves.lengths, np.arange(5, dtype=np.float32), none).any()
