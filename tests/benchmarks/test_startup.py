"""The made-up large dataset, and the OUTPUT_DIR in which it is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.finished import make_finished
from benchmarks.startup import TASKS, first_line, make_dataset
from bids_strip.card import find_card
from bids_strip.cli import parse
from bids_strip.participant.level import plan


@pytest.mark.parametrize(("tasks", "files"), [(TASKS, 1 + 4 * 14), ((), 1 + 4 * 2)])
def test_the_dataset_is_as_large_as_it_says(
    tmp_path: Path, tasks: tuple[str, ...], files: int
) -> None:
    raw = tmp_path / "raw"
    assert make_dataset(raw, subjects=2, sessions=2, tasks=tasks) == files
    assert sum(path.is_file() for path in raw.rglob("*")) == files


def test_every_run_of_it_is_done_until_a_file_is_not_there(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    make_dataset(raw, subjects=2, sessions=2, tasks=())
    assert make_finished(raw, out) == 4
    settings = parse([str(raw), str(out), "participant"])
    work = plan(settings, find_card(None))
    assert (len(work.done), work.to_do) == (4, ())
    next(out.glob("sub-0002/ses-2/anat/*_sdt.nii.gz")).unlink()
    work = plan(settings, find_card(None))
    assert [run.relative for run in work.to_do] == ["sub-0002/ses-2/anat/sub-0002_ses-2_T1w.nii.gz"]


def test_a_terminal_is_told_at_once_what_is_read(tmp_path: Path) -> None:
    found = first_line([str(tmp_path / "raw"), str(tmp_path / "out"), "participant"])
    assert found.code == 0
    assert found.output.endswith(f": reading {tmp_path / 'raw'}")
