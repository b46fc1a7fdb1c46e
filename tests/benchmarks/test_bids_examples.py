"""What the benchmark counts in a made-up collection, and that a disagreement shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bids_examples

RAW = {
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_acq-mprage_run-2_T1w.nii",
    "sub-02/ses-a/anat/sub-02_ses-a_part-mag_T1w.nii.gz",
}
OTHERS = (
    "sub-02/ses-a/anat/sub-02_ses-a_part-phase_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-b_T1w.nii.gz",
    "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    "sub-01/anat/sub-01_space-MNI_T1w.nii.gz",
    "sub-01/anat/sub-03_T1w.nii.gz",
    "sub-01/func/sub-01_T1w.nii.gz",
    "derivatives/x/sub-01/anat/sub-01_T1w.nii.gz",
    "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
)


@pytest.fixture
def collection(tiny_bids) -> Path:
    tiny_bids([*sorted(RAW), *OTHERS], name="all/one")
    return tiny_bids(["sub-1/func/sub-1_task-x_bold.nii"], name="all/none").parent


def test_the_search_for_files(collection: Path) -> None:
    assert bids_examples.raw_images(collection / "one") == RAW
    assert len(list(bids_examples.t1w_names(collection / "one"))) == len(RAW) + len(OTHERS)


def test_both_calls(collection: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bids_examples.main([str(collection)]) == 0
    said = capsys.readouterr().out
    assert "2 datasets, 1 with T1w names: 3 raw images, 3 listed, 3 failed; 0 disagree" in said


def test_a_run_too_few_is_a_disagreement(
    collection: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bids_examples, "raw_images", lambda _: {*RAW, OTHERS[0]})
    assert bids_examples.main([str(collection)]) == 1
    assert f"not listed: {OTHERS[0]}" in capsys.readouterr().out
