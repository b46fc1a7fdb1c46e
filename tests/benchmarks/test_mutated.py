"""The benchmark's way of drawing and judging damaged files, on a few."""

from __future__ import annotations

import pytest

from benchmarks import mutated
from bids_strip.errors import LoadError


def test_a_few_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutated.stages(42, seed=7)
    said = capsys.readouterr()
    assert "42 files, 0 wrong" in said.out
    assert said.err == ""  # neither nibabel nor numpy tells of what is odd


def test_the_same_files_each_time() -> None:
    first, again = (list(mutated.cases(14, seed=3)) for _ in range(2))
    assert first == again
    assert len({case.kind.split(",")[0] for case in first}) == len(mutated.MUTATIONS)


@pytest.mark.parametrize(
    "error", [IndexError("list index"), MemoryError(), LoadError("no name of a file")]
)
def test_what_is_wrong_is_counted(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(_path: object) -> None:
        raise error

    monkeypatch.setattr(mutated, "load", load)
    assert not mutated.stages(7, seed=3)
    assert "7 files, 7 wrong" in capsys.readouterr().out
