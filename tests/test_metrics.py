"""What is said of metrics, and the page made of it."""

from __future__ import annotations

from pathlib import Path

from bids_strip.group.tables import describe_columns
from bids_strip.metrics import ALL_METRICS as ALL
from bids_strip.metrics import Metric
from bids_strip.metrics.__main__ import document

PAGE = Path(__file__).parents[1] / "docs" / "METRICS.md"


def test_metrics_are_described() -> None:
    assert len({metric.key for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert metric.description
        assert metric.better in {"lower", "higher", "one", "none"}
        assert metric.unit in {"ml", "mm", "cm2", "deg", "voxels", "percent/cm", "1"}
        named = metric.unit.replace("/", "_per_") in metric.key
        assert named or metric.unit in {"1", "voxels"}  # fwhm_x: MRIQC's name, which lacks it
        assert metric.least is None or metric.most is None or metric.least < metric.most


def test_words_of_metrics() -> None:
    by_key = {metric.key: metric for metric in ALL}
    slope = by_key["bias_slope_percent_per_cm"]
    assert slope.title == "bias slope"
    assert (slope.range_words, slope.better_words) == ("0 or more", "lower is better")
    assert (by_key["efc"].title, by_key["efc"].range_words) == ("efc", "0 to 1")
    assert (by_key["sdt_slope"].title, by_key["sdt_slope"].better_words) == (
        "sdt slope", "1 is best"
    )  # fmt: skip
    assert Metric("x_ml", "", "ml", "none", most=2.0).range_words == "2 or less"
    assert Metric("x_ml", "", "ml", "none").range_words == ""
    assert Metric("x_ml", "", "ml", "none").better_words == ""


def test_shares_of_the_network_are_summed_as_the_code_sums_them() -> None:
    """`bids_strip.participant.qc.surface`: grey and white matter are one, and so is all else."""
    words = {metric.key: metric.description for metric in ALL}
    for key in ("tissue_outside_ml", "other_inside_ml", "certainty"):
        assert "grey and white matter together" in words[key]
        assert words[key].count("together") == 2


def test_the_dictionary_tells_range_and_source() -> None:
    columns = describe_columns()
    assert columns["efc"]["Minimum"] == 0.0
    assert columns["efc"]["Maximum"] == 1.0
    assert "10.1109/42.650886" in columns["efc"]["Source"]
    assert "Maximum" not in columns["brain_volume_ml"]
    assert "Source" not in columns["brain_volume_ml"]


def test_the_page_is_current() -> None:
    """``python -m bids_strip.metrics > docs/METRICS.md``."""
    assert PAGE.read_text(encoding="utf-8") == document()


def test_the_page_has_a_row_for_each_metric() -> None:
    page = document().splitlines()
    for metric in ALL:
        row = next(line for line in page if line.startswith(f"| `{metric.key}` |"))
        assert row.replace("\\|", "").count("|") == 7
