"""What a training leaves to read: one header, each step once."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.heads import Head  # noqa: E402
from training.log import LOSSES, Log  # noqa: E402
from training.losses import Loss  # noqa: E402
from training.synthesis import SynthesisRanges, draw, unstored  # noqa: E402

pytestmark = pytest.mark.training
HEADS = [Head("sub-01_T1w", Path("a"), ()), Head("sub-02_T1w", Path("b"), ())]


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as table:
        return list(csv.reader(table))


def report(log: Log, step: int) -> None:
    """A step whose losses tell its number, reported."""
    parts = [torch.tensor(float(step + n)) for n in range(3)]
    loss = Loss(*parts)
    log.add(loss, [draw(np.random.default_rng(step), 1, SynthesisRanges())])
    log.report(step, 2.0 * step, 0.0)


def noted(work: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (work / "hardest.jsonl").read_text().splitlines()]


def test_steps_after_the_checkpoint_are_told_once(tmp_path: Path) -> None:
    first = Log(tmp_path, [], 2.0)
    first.begin_after(0)
    for step in (50, 100, 150):
        report(first, step)
    again = Log(tmp_path, [], 2.0)
    again.begin_after(100)
    assert noted(tmp_path) == [50, 100]
    for step in (150, 200):
        report(again, step)
    table = rows(tmp_path / "log.csv")
    assert table[0] == list(LOSSES)
    expected = [[s, 2 * s, s, s + 1, s + 2] for s in (50, 100, 150, 200)]
    assert [[float(value) for value in row] for row in table[1:]] == expected
    assert noted(tmp_path) == [50, 100, 150, 200]
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "hardest.jsonl"}


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_the_hardest_and_in_no_mean(
    tmp_path: Path, capsys, broken: float
) -> None:
    """Its draws are told for the search; each line is JSON as others read it, without NaN."""
    log = Log(tmp_path, [], 2.0)
    log.begin_after(0)
    items = [draw(np.random.default_rng(n), 1, SynthesisRanges()) for n in range(3)]
    for value, item in zip((1.0, broken, 2.0), items, strict=True):
        log.add(Loss(*torch.full((3,), value)), [item])
    log.report(50, 9.0, 0.0, 1)
    assert [float(value) for value in rows(tmp_path / "log.csv")[1]] == [50, 9, 1.5, 1.5, 1.5]
    assert "skipped 1 steps" in capsys.readouterr().out
    (line,) = (tmp_path / "hardest.jsonl").read_text().splitlines()
    note = json.loads(line, parse_constant=pytest.fail)
    assert note["loss"] is None
    assert unstored(note["draw"]) == items[1]
    log.add(Loss(*torch.full((3,), broken)), [items[1]])
    log.report(100, 18.0, 0.0, 2)
    assert rows(tmp_path / "log.csv")[2][2:] == [str(broken)] * 3


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    first = Log(tmp_path, [], 2.0)
    first.begin_after(0)
    report(first, 50)
    for name in ("log.csv", "hardest.jsonl"):
        with (tmp_path / name).open("a") as lines:
            lines.write("1" if name == "log.csv" else '{"step": 1')
    Log(tmp_path, [], 2.0).begin_after(100)
    assert [row[0] for row in rows(tmp_path / "log.csv")] == ["step", "50"]
    assert noted(tmp_path) == [50]


def test_heads_have_their_names_above(tmp_path: Path, monkeypatch) -> None:
    found = {"sub-01_T1w": 0.9, "sub-02_T1w": 0.8}
    monkeypatch.setattr("training.log.dices", lambda *_: found.items())
    monkeypatch.setattr("training.log.torch_predictor", lambda *_: None)
    log = Log(tmp_path, HEADS, 2.0)
    log.begin_after(0)
    log.score(1000, 7.0, None)
    Log(tmp_path, HEADS, 2.0).begin_after(1000)
    names = ["step", "seconds", *found]
    assert rows(tmp_path / "heads.csv") == [names, ["1000", "7", "0.9", "0.8"]]
    Log(tmp_path, HEADS[:1], 2.0).begin_after(1000)
    assert rows(tmp_path / "heads.csv")[2:] == [names[:3]]
    Log(tmp_path, HEADS[:1], 2.0).begin_after(999)
    assert [row[0] for row in rows(tmp_path / "heads.csv")] == ["step", "step"]


def test_a_table_from_before_headers_gets_one(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("50,9,1.0,2.0,3.0\r\n100,18,1.0,2.0,3.0\r\n")
    Log(tmp_path, [], 2.0).begin_after(50)
    assert rows(tmp_path / "log.csv") == [list(LOSSES), ["50", "9", "1.0", "2.0", "3.0"]]
