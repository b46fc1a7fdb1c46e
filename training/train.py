"""Train the network: ``python -m training.train LABELS WORK --minutes 120``.

On a CPU one process draws and renders, the other learns; on a GPU both happen there. A checkpoint
holds all that is needed to go on, the draw counter included, so interrupted trainings add up.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning starves the renderer

import torch
from torch import nn

from training.draws import Sequence, batches
from training.errors import TrainingError, told_in_a_line
from training.heads import heads_asked_for
from training.log import Log
from training.losses import Loss, loss_of
from training.maps import HELD_OUT, check_there, load_maps
from training.muon import Muon
from training.network import Architecture, StripNet
from training.synthesis import Sample, SynthesisRanges
from training.weights import architecture_of, restored, widened
from training.whole import written_whole

TRAINING_MAPS = tuple(f"training_seg_{n:02d}" for n in range(1, 17))
"""The others, `training.maps.HELD_OUT`, evaluate."""
REPORT_STEPS = 50
SKIPPED_AT_MOST = 20
"""Steps in a row whose gradient is not finite, after which a training ends."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Attributes
    ----------
    labels, work
        Folder of label maps; folder of checkpoint, logs and prepared maps.
    minutes
        Time in training steps.
    steps
        End after so many steps instead.
    origin
        Exported network to go on from.
    architecture
        Of a fresh network.
    widths
        Of a fresh network instead of the architecture's, or what to widen the origin to.
    data
        Folder of real heads and reference masks, scored every `score_every` steps.
    rate, final_rate, detail_rate, hidden_rate
        Learning rates of the first and the last step; how many times that the detail path's is,
        whose weights have a long way to go from zero to where brightness tells tissues apart, and
        that of the hidden weights, those between the first and the last layers.
    muon
        If hidden weights learn by `training.muon.Muon`; by AdamW like the others if not.
    bf16
        Multiply in bfloat16; None where the processor has it.
    """

    labels: Path
    work: Path
    minutes: float = 120.0
    steps: int | None = None
    origin: Path | None = None
    architecture: Architecture | None = None
    widths: tuple[int, ...] | None = None
    ranges: SynthesisRanges = field(default_factory=SynthesisRanges)
    data: Path | None = None
    score_every: int = 1000
    rate: float = 2e-3
    final_rate: float = 2e-5
    detail_rate: float = 10.0
    hidden_rate: float = 1.0
    muon: bool = True
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    average: float = 0.998
    save_every: int = 250
    batch: int = 2
    threads: int = 1
    device: str = "cpu"
    bf16: bool | None = None
    seed: int = 1


@dataclass
class Progress:
    """Where a training stands; grows with each step.

    Attributes
    ----------
    step, seconds
        Of this training. Seconds of reports, checkpoints and scores of real heads are not among
        them, nor among those of `waited`.
    waited
        Seconds in which the network had no image to learn from; on a GPU, which renders too, the
        seconds of rendering, which are of `seconds`.
    draws
        Images seen, those of the network it goes on from included: the next draw's number.
    earlier_hours
        Training behind the network it goes on from.
    skipped
        Steps of this training whose gradient was not finite: they changed no weight.
    """

    step: int = 0
    draws: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    earlier_hours: float = 0.0
    skipped: int = 0

    def share_of(self, plan: Plan) -> float:
        """How much of a plan is done, 0 to 1."""
        if plan.steps is not None:
            return min(1.0, self.step / plan.steps)
        return min(1.0, self.seconds / (60 * plan.minutes))


def learning_rate(plan: Plan, progress: Progress) -> float:
    """Warm-up, then a cosine over the plan."""
    share = progress.share_of(plan)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    warm = min(1.0, (progress.step + 1) / plan.warm_up_steps)
    return warm * (plan.final_rate + (plan.rate - plan.final_rate) * cosine)


def update_average(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Exponential moving average of the weights, in place."""
    with torch.no_grad():
        for a, p in zip(average.parameters(), net.parameters(), strict=True):
            a.lerp_(p, 1 - keep)


@dataclass(frozen=True)
class Learner:
    """The network, the moving average of its weights, and what changes them."""

    net: StripNet
    average: StripNet
    optimisers: tuple[torch.optim.Optimizer, ...]

    @property
    def groups(self) -> tuple[dict[str, Any], ...]:
        """Weights that learn at one rate, ``times`` that of the plan."""
        return tuple(group for one in self.optimisers for group in one.param_groups)


def save(path: Path, learner: Learner, progress: Progress, plan: Plan) -> None:
    """Write a checkpoint, by rename."""
    state = {
        "architecture": asdict(learner.net.architecture),
        "zoom_mm": plan.ranges.zoom_mm,
        "net": learner.net.state_dict(),
        "average": learner.average.state_dict(),
        "optimisers": [one.state_dict() for one in learner.optimisers],
        "progress": asdict(progress),
        "seed": plan.seed,
        "muon": plan.muon,
        "ranges": asdict(plan.ranges),
    }
    with written_whole(path) as file:
        torch.save(state, file)


def step_once(learner: Learner, sample: Sample, clip_norm: float, bf16: bool) -> tuple[Loss, bool]:
    """Forward, backward, update: the loss, and if there was an update, of a finite gradient."""
    learner.net.zero_grad(set_to_none=True)
    with torch.autocast(sample.image.device.type, torch.bfloat16, enabled=bf16):
        sdt, tissue = learner.net(sample.image)
    loss = loss_of(sdt.float(), tissue.float(), sample)
    loss.total.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(learner.net.parameters(), clip_norm)
    finite = bool(torch.isfinite(norm))
    if finite:
        for optimiser in learner.optimisers:
            optimiser.step()
    return loss, finite


def start(plan: Plan) -> tuple[Learner, Progress]:
    """The checkpoint of the work folder, else the network to go on from, else a fresh one."""
    torch.manual_seed(plan.seed)
    found = plan.work / "checkpoint.pt"
    if found.exists():
        print(f"going on from {found}", flush=True)
        state = torch.load(found, map_location="cpu")
        _check_same(plan, state, found)
        return _resumed(plan, state), Progress(**state["progress"])
    progress = Progress()
    if plan.origin is None:
        architecture = plan.architecture or Architecture()
        architecture = replace(architecture, widths=plan.widths or architecture.widths)
        return learner_of(plan, StripNet(architecture)), progress
    net, progress.draws, progress.earlier_hours = restored(plan.origin, plan.ranges.zoom_mm)
    if plan.widths:
        net = widened(net, plan.widths)
    return learner_of(plan, net), progress


def _check_same(plan: Plan, state: dict[str, Any], found: Path) -> None:
    """Refuse to go on with another network, grid, sequence of draws or optimiser.

    Raises
    ------
    TrainingError
        Then. Ranges may change between starts.
    """
    network = architecture_of(state["architecture"])
    asked = plan.architecture or network
    before = {
        "network": network,
        "inner channels": "encoder_inner" in state["architecture"],  # not before 0.11
        "grid, mm": state["zoom_mm"],
        "seed": state["seed"],
        "muon": state.get("muon"),  # not in checkpoints of before it
    }
    now = {
        "network": replace(asked, widths=plan.widths or asked.widths),
        "inner channels": True,
        "grid, mm": plan.ranges.zoom_mm,
        "seed": plan.seed,
        "muon": plan.muon,
    }
    if now != before:
        raise TrainingError(
            f"{found}: of another training ({before}, asked for {now}); give another work folder"
        )


def learner_of(plan: Plan, net: StripNet) -> Learner:
    """A network on its device, with a fresh average and fresh optimisers."""
    average = copy.deepcopy(net).to(plan.device)
    net.to(plan.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return Learner(net, average, _optimisers(net, plan))


def _optimisers(net: StripNet, plan: Plan) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the weights between the network's first and last layers, AdamW for the others.

    Norms and detail path are among the others; the detail path is a group of its own. AdamW alone
    if the plan says so.
    """
    hidden = [w for part in (net.encoders, net.downs, net.ups, net.decoders)
              for w in part.parameters() if w.ndim > 1]  # fmt: skip
    detail = [] if net.detail is None else list(net.detail.parameters())
    held = {id(weight) for weight in (*hidden, *detail)}
    others = [weight for weight in net.parameters() if id(weight) not in held]
    inner = {"params": hidden, "times": plan.hidden_rate}
    rest = [{"params": others, "times": 1.0}, {"params": detail, "times": plan.detail_rate}]
    rest = [group for group in rest if group["params"]]
    decay = plan.weight_decay
    if not plan.muon:
        return (torch.optim.AdamW([inner, *rest], lr=plan.rate, weight_decay=decay),)
    return (
        Muon([inner], lr=plan.rate, weight_decay=decay),
        torch.optim.AdamW(rest, lr=plan.rate, weight_decay=decay),
    )


def _resumed(plan: Plan, state: dict[str, Any]) -> Learner:
    learner = learner_of(plan, StripNet(architecture_of(state["architecture"])))
    learner.net.load_state_dict(state["net"])
    learner.average.load_state_dict(state["average"])
    for optimiser, values in zip(learner.optimisers, state["optimisers"], strict=True):
        asked = optimiser.state_dict()["param_groups"]  # rates are the plan's, also when it changed
        optimiser.load_state_dict({"state": values["state"], "param_groups": asked})
    return learner


def has_bf16(device: str) -> bool:
    """True if the processor multiplies bfloat16 itself."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def train(plan: Plan) -> Learner:
    """Train until the plan is done.

    Raises
    ------
    TrainingError
        If the work folder is another training's, the network to go on from is of another grid,
        there are no real heads where asked for, or `SKIPPED_AT_MOST` steps were skipped in a row.
    """
    torch.set_num_threads(plan.threads)
    heads = heads_asked_for(plan.data)
    plan.work.mkdir(parents=True, exist_ok=True)
    learner, progress = start(plan)
    maps = load_maps(plan.labels, plan.work / "maps", list(TRAINING_MAPS))
    bf16 = has_bf16(plan.device) if plan.bf16 is None else plan.bf16
    sequence = Sequence(len(maps), plan.seed, plan.batch, plan.ranges)
    log = Log(plan.work, heads, plan.ranges.zoom_mm)
    if progress.share_of(plan) >= 1:
        print(f"done before: {progress.step} steps; give more --minutes to go on", flush=True)
        return learner
    log.begin_after(progress.step)
    in_a_row = 0
    begun = time.perf_counter()
    for items, sample in batches(maps, sequence, progress.draws, plan.device):
        came = time.perf_counter()
        progress.waited += came - begun
        if plan.device == "cpu":
            begun = came  # rendering is another process's
        for group in learner.groups:
            group["lr"] = group["times"] * learning_rate(plan, progress)
        loss, learned = step_once(learner, sample, plan.clip_norm, bf16)
        in_a_row = 0 if learned else in_a_row + 1
        keep = min(plan.average, (progress.step + 1) / (progress.step + 20))
        if learned:
            update_average(learner.average, learner.net, keep)
        progress.step += 1
        progress.draws += plan.batch
        progress.skipped += not learned
        log.add(loss, items)
        progress.seconds += min(time.perf_counter() - begun, 30.0)
        done = progress.share_of(plan) >= 1
        stuck = in_a_row == SKIPPED_AT_MOST
        if progress.step % REPORT_STEPS == 0 or done or stuck:
            log.report(progress.step, progress.seconds, progress.waited, progress.skipped)
        if stuck:
            raise TrainingError(
                f"{plan.work}: no finite gradient in {in_a_row} steps in a row, the last of them "
                f"{progress.step}; hardest.jsonl has draws of the worst; go on from the last "
                "checkpoint with a smaller --rate or with --no-bf16"
            )
        if (progress.step % plan.save_every == 0 and learned) or done:
            save(plan.work / "checkpoint.pt", learner, progress, plan)
        if progress.step % plan.score_every == 0 or done:
            log.score(progress.step, progress.seconds, learner.average)
        if done:
            break
        begun = time.perf_counter()  # what came since the step is neither learning nor waiting
    return learner


def _widths(text: str) -> tuple[int, ...]:
    widths = tuple(int(part) for part in text.split(","))
    if len(widths) != len(Architecture().widths):
        raise argparse.ArgumentTypeError(f"{len(Architecture().widths)} numbers are needed")
    return widths


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the skull-stripping network.")
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("work", type=Path, help="folder for checkpoint, log and prepared maps")
    parser.add_argument("--minutes", type=float, default=120.0, help="time in training steps")
    parser.add_argument("--steps", type=int, help="end after so many steps instead")
    parser.add_argument(
        "--from", dest="origin", type=Path, metavar="FILE.onnx",
        help="go on from an exported network: its weights and draw counter, a fresh optimiser",
    )  # fmt: skip
    parser.add_argument("--widths", type=_widths, metavar="N,N,...",
                        help="channels a level; with --from, widens that network")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder of real heads and reference masks, to "
                        "log their Dice; they have no part in learning")  # fmt: skip
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--hidden-rate", type=float, default=1.0, metavar="TIMES",
                        help="how many times that rate the hidden weights learn at")  # fmt: skip
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction, default=True,
                        help="hidden weights learn by Muon; by AdamW with --no-muon")  # fmt: skip
    parser.add_argument("--average", type=float, default=0.998, help="share of the average kept")
    plan = Plan(**vars(parser.parse_args()))
    with told_in_a_line():
        check_there(plan.labels, (*TRAINING_MAPS, *HELD_OUT))
        train(plan)


if __name__ == "__main__":
    main()
