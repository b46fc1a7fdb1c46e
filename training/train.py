"""Train the network: ``python -m training.train LABELS WORK --minutes 120``.

One process draws and renders, the other learns; each with the threads it is told. A checkpoint
holds all that is needed to go on, the draw counter included, so interrupted trainings add up.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning starves the renderer

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from training.losses import Loss, loss_of
from training.maps import TrainingMap, load_maps
from training.network import StripNet
from training.synthesis import Sample, SynthesisDraw, SynthesisRanges, draw, render
from training.weights import architecture_of, restored

TRAINING_MAPS = tuple(f"training_seg_{n:02d}" for n in range(1, 17))
"""17-20 are held out for evaluation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train."""

    labels: Path
    work: Path
    minutes: float
    origin: Path | None = None
    rate: float = 2e-3
    final_rate: float = 2e-5
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    average: float = 0.998
    save_every: int = 250
    batch: int = 2
    threads: int = 1
    device: str = "cpu"
    seed: int = 1


class Draws(IterableDataset[Sample]):
    """Batches of rendered samples, by draw number; those of a batch share the first one's window.

    Parameters
    ----------
    maps
        What to draw from.
    seed, first
        For the same batch size and first draw, draw n of a seed is the same image each time.
    batch
        Samples a batch.
    """

    def __init__(self, maps: list[TrainingMap], seed: int, first: int, batch: int) -> None:
        self.maps = maps
        self.seed = seed
        self.first = first
        self.batch = batch

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        number = self.first
        while True:
            items = [self.item(number + n) for n in range(self.batch)]
            shared = [replace(item, shape=items[0].shape) for item in items]
            yield joined([render(self.maps[item.map_index], item) for item in shared])
            number += self.batch

    def item(self, number: int) -> SynthesisDraw:
        """Draw number n."""
        rng = np.random.default_rng((self.seed, number))
        return draw(rng, len(self.maps), SynthesisRanges())


PARTS = ("image", "sdt", "tissue", "weight")


def joined(samples: list[Sample]) -> Sample:
    """Samples of one shape as a batch."""
    return Sample(*(torch.cat([getattr(s, part) for s in samples]) for part in PARTS))


@dataclass
class Progress:
    """Where a training stands; grows with each step.

    Attributes
    ----------
    step, seconds
        Of this training.
    draws
        Images seen, those of the network it goes on from included: the next draw's number.
    earlier_hours
        Training behind the network it goes on from.
    """

    step: int = 0
    draws: int = 0
    seconds: float = 0.0
    earlier_hours: float = 0.0


def learning_rate(plan: Plan, progress: Progress) -> float:
    """Warm-up, then a cosine over the planned time."""
    share = min(1.0, progress.seconds / (60 * plan.minutes))
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    warm = min(1.0, (progress.step + 1) / plan.warm_up_steps)
    return warm * (plan.final_rate + (plan.rate - plan.final_rate) * cosine)


def update_average(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Exponential moving average of the weights, in place."""
    with torch.no_grad():
        for a, p in zip(average.parameters(), net.parameters(), strict=True):
            a.lerp_(p, 1 - keep)


def save(path: Path, net: StripNet, average: StripNet, optimiser: torch.optim.Optimizer,
         progress: Progress) -> None:  # fmt: skip
    """Write a checkpoint, by rename."""
    state = {
        "architecture": asdict(net.architecture),
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": asdict(progress),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def step_once(
    net: StripNet, optimiser: torch.optim.Optimizer, sample: Sample, clip_norm: float
) -> Loss:
    """Forward, backward, update."""
    optimiser.zero_grad(set_to_none=True)
    sdt, tissue = net(sample.image)
    loss = loss_of(sdt, tissue, sample)
    loss.total.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
    if bool(torch.isfinite(norm)):
        optimiser.step()
    return loss


def start(plan: Plan) -> tuple[StripNet, StripNet, torch.optim.Optimizer, Progress]:
    """The checkpoint of the work folder, else the network to go on from, else a fresh one."""
    torch.manual_seed(plan.seed)
    found = plan.work / "checkpoint.pt"
    state = torch.load(found, map_location="cpu") if found.exists() else None
    progress = Progress()
    if state is not None:
        net = StripNet(architecture_of(state["architecture"]))
    elif plan.origin is not None:
        net, progress.draws, progress.earlier_hours = restored(plan.origin)
    else:
        net = StripNet()
    average = copy.deepcopy(net)
    net.to(plan.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    average.to(plan.device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    if state is None:
        return net, average, optimiser, progress
    net.load_state_dict(state["net"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return net, average, optimiser, Progress(**state["progress"])


def moved(sample: Sample, device: str) -> Sample:
    """The sample on a device."""
    return Sample(*(getattr(sample, part).to(device) for part in PARTS))


def train(plan: Plan) -> None:
    """Train until the planned time is used up."""
    torch.set_num_threads(plan.threads)
    plan.work.mkdir(parents=True, exist_ok=True)
    net, average, optimiser, progress = start(plan)
    maps = load_maps(plan.labels, plan.work / "maps", list(TRAINING_MAPS))
    samples = DataLoader(
        Draws(maps, plan.seed, progress.draws, plan.batch),
        batch_size=None,
        num_workers=1,
        prefetch_factor=6,
    )
    recent: list[list[float]] = []
    for sample in samples:
        begun = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, progress)
        loss = step_once(net, optimiser, moved(sample, plan.device), plan.clip_norm)
        update_average(average, net, min(plan.average, (progress.step + 1) / (progress.step + 20)))
        progress.step += 1
        progress.draws += plan.batch
        recent.append([v.item() for v in (loss.distance, loss.dice, loss.tissue)])
        progress.seconds += min(time.perf_counter() - begun, 30.0)
        if progress.step % 50 == 0:
            report(plan, progress, recent)
            recent.clear()
        done = progress.seconds >= 60 * plan.minutes
        if progress.step % plan.save_every == 0 or done:
            save(plan.work / "checkpoint.pt", net, average, optimiser, progress)
        if done:
            return


def report(plan: Plan, progress: Progress, recent: list[list[float]]) -> None:
    """Append the mean losses of the last steps to ``log.csv`` and print them."""
    row = [progress.step, round(progress.seconds), *np.mean(recent, axis=0).round(4).tolist()]
    with (plan.work / "log.csv").open("a", newline="") as log:
        csv.writer(log).writerow(row)
    print("step {} {} s distance {} dice {} tissue {}".format(*row), flush=True)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the skull-stripping network.")
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("work", type=Path, help="folder for checkpoint, log and prepared maps")
    parser.add_argument("--minutes", type=float, default=120.0, help="time in training steps")
    parser.add_argument(
        "--from", dest="origin", type=Path, metavar="FILE.onnx",
        help="go on from an exported network: its weights and draw counter, a fresh optimiser",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--average", type=float, default=0.998, help="share of the average kept")
    train(Plan(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
