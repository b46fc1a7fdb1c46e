"""Runs that stand out: against scipy's robust scale, by stratum and by direction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bids_strip.group.outliers import COMPARED, LEAST_RUNS, LIMIT, outliers, robust_z
from bids_strip.metrics import ALL_METRICS, Metric

VOLUME = Metric("brain_volume_ml", "", "ml", "none")
SNR = Metric("snr_total", "", "1", "higher")
ROUGH = Metric("roughness_mm", "", "mm", "lower")


def runs_of(metric: Metric, values) -> list[dict[str, float]]:
    return [{metric.key: float(v)} for v in values]


def named(found) -> dict[int, list[str]]:
    return {n: [one.key for one in row] for n, row in enumerate(found) if row}


def test_the_score_is_scipys_where_the_spread_is_symmetric(rng: np.random.Generator) -> None:
    values = rng.normal(1400, 90, 101)
    spread = stats.median_abs_deviation(values, scale="normal")
    quarters = stats.iqr(values, scale="normal")
    expected = (values - np.median(values)) / max(spread, quarters)
    assert robust_z(values, np.arange(101)) == pytest.approx(expected, rel=1e-4)


def test_the_score_does_not_follow_the_outlier(rng: np.random.Generator) -> None:
    values = rng.normal(0, 1, 50)
    near, far = values.copy(), values.copy()
    near[0], far[0] = 20, 2000
    z_near, z_far = (robust_z(v, np.arange(50)) for v in (near, far))
    assert z_near[1:] == pytest.approx(z_far[1:])
    assert z_far[0] == pytest.approx(100 * z_near[0], rel=0.02)


@pytest.mark.parametrize(("metric", "high", "low"), [
    (VOLUME, True, True), (SNR, False, True), (ROUGH, True, False),
])  # fmt: skip
def test_only_the_worse_side_stands_out(metric: Metric, high: bool, low: bool) -> None:
    values = [*np.linspace(9, 11, 30), 60.0, -60.0]
    found = named(outliers(runs_of(metric, values), [metric]))
    assert (30 in found, 31 in found) == (high, low)
    assert not {*found} & {*range(30)}


def test_the_sign_and_the_order_of_scores() -> None:
    values = np.linspace(9, 11, 30)
    runs = [{VOLUME.key: v, ROUGH.key: v} for v in values]
    runs.append({VOLUME.key: -30.0, ROUGH.key: 90.0})
    last = outliers(runs, [VOLUME, ROUGH])[-1]
    assert [one.key for one in last] == ["roughness_mm", "brain_volume_ml"]
    assert last[0].z > LIMIT
    assert last[1].z < -LIMIT


def test_runs_are_compared_within_their_stratum() -> None:
    """One scanner's ordinary value is the other's odd one."""
    values = [*np.linspace(9, 11, 20), *np.linspace(99, 101, 20), 10.0]
    strata = ["a"] * 20 + ["b"] * 21
    assert named(outliers(runs_of(VOLUME, values), [VOLUME], strata)) == {40: [VOLUME.key]}
    assert named(outliers(runs_of(VOLUME, values), [VOLUME])) == {}


def test_a_small_stratum_is_compared_with_all() -> None:
    values = [*np.linspace(9, 11, 30), 10.0, 60.0]
    strata = ["a"] * 30 + ["b"] * 2
    assert named(outliers(runs_of(VOLUME, values), [VOLUME], strata)) == {31: [VOLUME.key]}


def test_runs_of_another_surface_are_no_group() -> None:
    """A volume that is usual of a wider border is odd of this one, however few have that."""
    values = [*np.linspace(9, 11, 20), 30.0, *np.linspace(29, 31, 20)]
    surfaces = [0.0] * 21 + [4.0] * 20
    assert named(outliers(runs_of(VOLUME, values), [VOLUME], None, surfaces)) == {20: [VOLUME.key]}
    assert named(outliers(runs_of(VOLUME, values), [VOLUME])) == {}
    few = [*np.linspace(9, 11, 30), 60.0, 61.0]
    assert named(outliers(runs_of(VOLUME, few), [VOLUME])) == {30: [VOLUME.key], 31: [VOLUME.key]}
    assert named(outliers(runs_of(VOLUME, few), [VOLUME], None, [0.0] * 30 + [4.0] * 2)) == {}


def test_a_small_stratum_is_compared_with_all_of_its_surface() -> None:
    values = [*np.linspace(9, 11, 30), 10.0, 60.0, *np.linspace(59, 61, 40)]
    strata = ["a"] * 30 + ["b"] * 2 + ["a"] * 40
    surfaces = [0.0] * 32 + [4.0] * 40
    found = outliers(runs_of(VOLUME, values), [VOLUME], strata, surfaces)
    assert named(found) == {31: [VOLUME.key]}


def test_no_group_no_outlier() -> None:
    values = [*np.linspace(9, 11, LEAST_RUNS - 2), 1e6]
    assert named(outliers(runs_of(VOLUME, values), [VOLUME])) == {}
    values = [*np.linspace(9, 11, LEAST_RUNS - 1), 1e6]
    assert named(outliers(runs_of(VOLUME, values), [VOLUME])) == {LEAST_RUNS - 1: [VOLUME.key]}


def test_a_metric_that_most_runs_share_has_no_scale() -> None:
    assert named(outliers(runs_of(ROUGH, [0.0] * 40 + [1.0]), [ROUGH])) == {}


def test_runs_without_the_metric_are_left_out() -> None:
    runs: list[dict[str, float]] = runs_of(VOLUME, np.linspace(9, 11, 30))
    runs += [{}, {VOLUME.key: float("nan")}, {VOLUME.key: 60.0}]
    assert named(outliers(runs, [VOLUME])) == {32: [VOLUME.key]}
    assert outliers([], [VOLUME]) == ()


def test_facts_of_a_scan_are_not_compared() -> None:
    size = Metric("voxel_x_mm", "", "mm", "none")
    assert named(outliers(runs_of(size, [*np.linspace(0.9, 1.1, 30), 60.0]), [size])) == {}


def test_what_is_compared_is_described() -> None:
    directions = {metric.key: metric.better for metric in ALL_METRICS}
    assert {*COMPARED} <= {*directions}
    assert "one" not in {directions[key] for key in COMPARED}  # a z-score has no such side


def test_a_group_without_fault_raises_few(rng: np.random.Generator) -> None:
    """Heavy tails in every metric: Student's t of 5 degrees of freedom."""
    metrics = [m for m in ALL_METRICS if m.key in COMPARED]
    flagged = []
    for _ in range(40):
        values = rng.standard_t(5, (50, len(metrics)))
        runs = [{m.key: v for m, v in zip(metrics, row, strict=True)} for row in values]
        flagged.append(len(named(outliers(runs, metrics))) / 50)
    assert np.mean(flagged) < 0.05
