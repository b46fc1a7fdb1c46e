"""What a training leaves to read in its work folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.heads import Head, dices
from training.losses import Loss
from training.network import StripNet
from training.predictor import torch_predictor
from training.synthesis import SynthesisDraw, stored
from training.whole import written_whole

LOSSES = ("step", "seconds", "distance", "dice", "tissue")
"""Columns of ``log.csv``."""


class Log:
    """Losses, scores of real heads, and the hardest draws.

    ``log.csv`` has the mean losses, ``heads.csv`` the Dice of each real head, ``hardest.jsonl``
    the draws of the batch with the largest loss of each report, which `training.synthesis.render`
    makes again; a loss that is not finite is the largest, and null there.
    """

    def __init__(self, work: Path, heads: list[Head], zoom_mm: float) -> None:
        self.work = work
        self.heads = heads
        self.zoom_mm = zoom_mm
        self.losses: list[torch.Tensor] = []
        self.items: list[list[SynthesisDraw]] = []

    def begin_after(self, step: int) -> None:
        """Give the tables their headers; drop what is told of later steps, which come again.

        A header that is not that of the rows above it, as heads were added, stands below them.
        """
        names = dict.fromkeys(head.name for head in self.heads)
        headers = {"log.csv": LOSSES} | (
            {"heads.csv": ("step", "seconds", *names)} if names else {}
        )
        for name, header in headers.items():
            lines = _lines_until(self.work / name, step, _step_of_row)
            said = [line for line in lines if _step_of_row(line) is None]
            if not said:
                lines.insert(0, _line(header))
            elif said[-1] != _line(header):
                lines.append(_line(header))
            _write(self.work / name, lines)
        hardest = self.work / "hardest.jsonl"
        _write(hardest, _lines_until(hardest, step, _step_of_note))

    def add(self, loss: Loss, items: list[SynthesisDraw]) -> None:
        """Take note of a step; nothing waits for the GPU."""
        parts = (loss.distance, loss.dice, loss.tissue, loss.total)
        self.losses.append(torch.stack([part.detach() for part in parts]))
        self.items.append(items)

    def report(self, step: int, seconds: float, waited: float, skipped: int = 0) -> None:
        """Mean losses since the last report, of steps where they are finite, and what is so far.

        Parameters
        ----------
        step
            The last one.
        seconds, waited
            Of learning; without an image.
        skipped
            Steps that changed nothing.
        """
        if not self.losses:
            return
        losses = torch.stack(self.losses).double().cpu().numpy()
        finite = np.isfinite(losses).all(axis=1)
        means = losses[finite if finite.any() else slice(None), :3].mean(0)
        row = [step, round(seconds), *means.round(4).tolist()]
        self._append("log.csv", row)
        losses_said = "distance {} dice {} tissue {}".format(*row[2:])
        beside = f"waited {waited:.0f} s" + (f", skipped {skipped} steps" if skipped else "")
        print(f"step {step} {seconds:.0f} s ({beside}) {losses_said}", flush=True)
        hardest = int(losses[:, 3].argmax())  # the first that is no number, if any
        loss = float(losses[hardest, 3])
        with (self.work / "hardest.jsonl").open("a", encoding="utf-8") as lines:
            for item in self.items[hardest]:
                note = {"step": step, "loss": loss if np.isfinite(loss) else None}
                lines.write(json.dumps(note | {"draw": stored(item)}, allow_nan=False) + "\n")
        self.losses.clear()
        self.items.clear()

    def score(self, step: int, seconds: float, net: StripNet) -> None:
        """Dice of the real heads, each the mean over its references."""
        if not self.heads:
            return
        found = dict(dices(torch_predictor(net, self.zoom_mm), self.heads))
        values = [round(v, 4) for v in found.values()]
        self._append("heads.csv", [step, round(seconds), *values])
        mean, least = np.mean(values), min(found, key=lambda name: found[name])
        print(f"step {step} heads mean {mean:.4f} least {found[least]:.4f} ({least})",
              flush=True)  # fmt: skip

    def _append(self, name: str, row: list[Any]) -> None:
        with (self.work / name).open("a", newline="", encoding="utf-8") as table:
            csv.writer(table).writerow(row)


def _lines_until(path: Path, last: int, step_of: Callable[[str], int | None]) -> list[str]:
    """Lines of steps up to the last, and those of none; one that was cut off is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        whole = [line for line in lines if line.endswith("\n")]
    return [line for line in whole if (step_of(line) or 0) <= last]


def _step_of_row(line: str) -> int | None:
    """The first column; None of a header."""
    first = line.partition(",")[0]
    return int(first) if first.isdigit() else None


def _step_of_note(line: str) -> int:
    return int(json.loads(line)["step"])


def _line(header: tuple[str, ...]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(header)
    return text.getvalue()


def _write(path: Path, lines: list[str]) -> None:
    with written_whole(path) as file:
        file.write("".join(lines).encode())
