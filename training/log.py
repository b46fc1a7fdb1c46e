"""What a training leaves to read in its work folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.heads import Head, dices
from training.losses import Loss
from training.network import StripNet
from training.predictor import torch_predictor
from training.synthesis import SynthesisDraw, stored


class Log:
    """Losses, scores of real heads, and the hardest draws.

    ``log.csv`` has the mean losses, ``heads.csv`` the Dice of each real head, ``hardest.jsonl``
    the draws of the batch with the largest loss of each report, which `training.synthesis.render`
    makes again.
    """

    def __init__(self, work: Path, heads: list[Head], zoom_mm: float) -> None:
        self.work = work
        self.heads = heads
        self.zoom_mm = zoom_mm
        self.losses: list[torch.Tensor] = []
        self.items: list[list[SynthesisDraw]] = []

    def add(self, loss: Loss, items: list[SynthesisDraw]) -> None:
        """Take note of a step; nothing waits for the GPU."""
        parts = (loss.distance, loss.dice, loss.tissue, loss.total)
        self.losses.append(torch.stack([part.detach() for part in parts]))
        self.items.append(items)

    def report(self, step: int, seconds: float, waited: float) -> None:
        """Mean losses since the last report; seconds so far, of learning and without an image."""
        if not self.losses:
            return
        losses = torch.stack(self.losses).double().cpu().numpy()
        row = [step, round(seconds), *losses[:, :3].mean(0).round(4).tolist()]
        self._append("log.csv", row)
        losses_said = "distance {} dice {} tissue {}".format(*row[2:])
        print(f"step {step} {seconds:.0f} s (waited {waited:.0f} s) {losses_said}", flush=True)
        hardest = int(losses[:, 3].argmax())
        with (self.work / "hardest.jsonl").open("a", encoding="utf-8") as lines:
            for item in self.items[hardest]:
                note = {"step": step, "loss": float(losses[hardest, 3]), "draw": stored(item)}
                lines.write(json.dumps(note) + "\n")
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
