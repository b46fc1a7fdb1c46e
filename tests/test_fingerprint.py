"""Whether a source is still the one recorded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_strip.domain import Run
from bids_strip.fingerprint import InputFile, fingerprint, same_input


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "sub-01_T1w.nii.gz"
    path.write_bytes(b"content")
    return Run(path, "sub-01_T1w.nii.gz", (("sub", "01"),), "T1w")


def known(run: Run) -> InputFile:
    found = fingerprint(run)
    assert found is not None
    return found


def test_fingerprint(run: Run) -> None:
    found = known(run)
    assert found.path == run.relative
    assert found.size == 7
    assert found.mtime_ns == run.path.stat().st_mtime_ns
    # sha256 of b"content"
    assert found.sha256 == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


def test_an_absent_file_has_no_fingerprint(run: Run) -> None:
    before = known(run)
    run.path.unlink()
    assert fingerprint(run) is None
    assert same_input(run, before) is None


def test_the_same_file(run: Run) -> None:
    assert same_input(run, known(run))


def test_a_touched_file_is_the_same_by_content(run: Run) -> None:
    before = known(run)
    os.utime(run.path, (1, 1))
    assert same_input(run, before)


def test_another_content_of_the_same_size(run: Run) -> None:
    before = known(run)
    run.path.write_bytes(b"kontent")
    os.utime(run.path, (1, 1))
    assert same_input(run, before) is False


def test_another_size_at_the_same_time(run: Run) -> None:
    before = known(run)
    run.path.write_bytes(b"content!")
    os.utime(run.path, ns=(before.mtime_ns, before.mtime_ns))
    assert same_input(run, before) is False
