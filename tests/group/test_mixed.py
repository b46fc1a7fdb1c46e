"""Groups whose runs were not made alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bids_strip.fingerprint import InputFile
from bids_strip.group.mixed import mixed, surfaces_of
from bids_strip.record import FAILED, OK, Record

ONE = Record(
    "sub-1_T1w", "T1w", {"sub": "1"}, OK, software="bids_strip 1",
    network={"name": "strip", "version": "2", "sha256": "ab"},
    options={"border_mm": 0.0, "no_csf": False, "bias_smoothness_mm": 40.0},
)  # fmt: skip


def made(**options: object) -> Record:
    return replace(ONE, options={**ONE.options, **options})


def test_runs_made_alike_are_not_spoken_of() -> None:
    assert mixed([ONE, made(outputs=["sdt"])], "T1w") is None
    assert mixed([], "T1w") is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (made(border_mm=2.5), "(border_mm 0 in 2, 2.5 in 1)"),
        (made(no_csf=True), "(no_csf 0 in 2, 1 in 1)"),
        (made(bias_smoothness_mm=0.0), "(bias_smoothness_mm 40 in 2, 0 in 1)"),
        (replace(ONE, network={"name": "strip", "version": "3"}), "(network strip 2 in 2, strip 3"),
        (replace(ONE, software="bids_strip 2"), "(software bids_strip 1 in 2, bids_strip 2 in 1)"),
        (made(border_mm=1.0, no_csf=True), "(border_mm 0 in 2, 1 in 1; no_csf 0 in 2, 1 in 1)"),
    ],
)
def test_what_differs_is_told_in_one_line(other: Record, said: str) -> None:
    told = mixed([ONE, other, ONE], "T2w")
    assert told is not None
    assert told.startswith("group_T2w.tsv: ")
    assert said in told
    assert "\n" not in told


def test_what_has_no_mask_and_what_is_final_differ_from_nothing() -> None:
    """No border shifts a rater's mask; a run that failed has none; an old record may not tell."""
    failed = replace(made(border_mm=9.0), status=FAILED)
    edited = replace(ONE, manual=InputFile("a", 1, 1, "c"))
    assert mixed([made(border_mm=2.0), failed, edited, replace(ONE, options={})], "T1w") is None


def test_the_surface_of_a_mask() -> None:
    odd = replace(ONE, options={"no_csf": ["a list"]})
    found = surfaces_of([made(border_mm=2.0), made(no_csf=True), odd])
    assert found == [(2.0, False), (0.0, True), (None, True)]


def test_an_edited_mask_counts_with_the_commonest_surface() -> None:
    """Its record says border 0, whatever mask the rater began with."""
    edited = replace(ONE, manual=InputFile("a", 1, 1, "c"))
    wide = made(border_mm=2.0)
    assert surfaces_of([edited, wide, wide, ONE]) == [(2.0, False)] * 3 + [(0.0, False)]
    assert surfaces_of([edited]) == [(0.0, False)]
