"""The robust spread, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_strip.spread import MAD_TO_SD, robust_sd


def test_the_constant_is_the_normal_distributions_own() -> None:
    assert pytest.approx(1 / stats.norm.ppf(0.75), rel=1e-15) == MAD_TO_SD


def test_about_the_median_it_is_scipys(rng) -> None:
    values = rng.standard_t(2, 501)
    expected = stats.median_abs_deviation(values, scale="normal")
    assert robust_sd(values - np.median(values)) == pytest.approx(expected, rel=1e-12)


def test_of_noise_it_is_the_standard_deviation_though_a_few_lie_far_out(rng) -> None:
    noise = rng.normal(0, 3, 100_000)
    noise[:1000] = 1e6
    assert robust_sd(noise) == pytest.approx(3, rel=0.03)
