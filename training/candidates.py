"""Choose width, depth, grid, optimiser: ``python -m training.candidates LABELS WORK --data DATA``.

Each candidate gets as many steps as fit into the same time, at the time a step takes measured for
all of them by turns, so that a busy machine is unfair to none; all see the same draws.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from training.draws import Sequence, joined
from training.errors import told_in_a_line
from training.evaluate import rendered_scores, summary
from training.heads import dices, heads_asked_for
from training.maps import HELD_OUT, TrainingMap, load_maps
from training.network import Architecture, StripNet, count_macs
from training.predictor import torch_predictor
from training.synthesis import SynthesisRanges, on_device, render
from training.train import TRAINING_MAPS, Learner, Plan, has_bf16, learner_of, step_once, train

HEAD_MM = 256.0
"""Side of the head that costs are given for."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network to try, and how it learns (`training.train.Plan.muon`)."""

    name: str
    architecture: Architecture
    zoom_mm: float = 2.0
    muon: bool = True

    @property
    def ranges(self) -> SynthesisRanges:
        """Windows of about the same size in mm on the candidate's grid."""
        plain = SynthesisRanges()
        multiple = self.architecture.multiple
        windows = []
        for shape, share in plain.windows:
            sides = [round(n * plain.zoom_mm / self.zoom_mm / multiple) * multiple for n in shape]
            windows.append(((sides[0], sides[1], sides[2]), share))
        return replace(plain, zoom_mm=self.zoom_mm, windows=tuple(windows))

    @property
    def macs(self) -> int:
        """Multiply-adds of one pass over a head of `HEAD_MM` a side."""
        multiple = self.architecture.multiple
        side = -(-round(HEAD_MM / self.zoom_mm) // multiple) * multiple
        return count_macs(self.architecture, (side, side, side))


BARE = Architecture(encoder_inner=(), decoder_inner=(), detail=0, likelihood=0)
CANDIDATES = (
    Candidate("base", BARE),
    Candidate("base by AdamW", BARE, muon=False),
    Candidate("detail", replace(BARE, detail=16)),
    Candidate("likelihood", replace(BARE, detail=16, likelihood=2)),
    Candidate("shipped", Architecture()),
    Candidate("wide top", replace(BARE, widths=(32, 32, 64, 96))),
    Candidate("wide below", replace(BARE, widths=(32, 48, 96, 128))),
    Candidate("narrow top", replace(BARE, widths=(16, 32, 64, 128))),
    Candidate("1.6 mm", replace(BARE, widths=(16, 32, 64, 96)), zoom_mm=1.6),
    Candidate(
        "deep",
        replace(
            BARE,
            widths=(24, 32, 64, 96, 96),
            encoder_blocks=(1, 2, 2, 2, 2),
            decoder_blocks=(1, 1, 1, 1),
        ),
    ),
    Candidate(
        "shallow",
        replace(BARE, widths=(24, 32, 96), encoder_blocks=(1, 2, 2), decoder_blocks=(1, 1)),
    ),
)


def seconds_a_step(
    candidates: tuple[Candidate, ...], source: TrainingMap, plan: Plan, rounds: int
) -> dict[str, float]:
    """Processor time of a training step of each candidate, the median of turns on the same draws.

    Of the smallest window, so that training on all of them takes longer; on one thread, where it is
    the wall time of an idle machine.
    """
    learners = {c.name: learner_of(replace(plan, muon=c.muon), StripNet(c.architecture))
                for c in candidates}  # fmt: skip
    times: dict[str, list[float]] = {c.name: [] for c in candidates}
    bf16 = has_bf16(plan.device) if plan.bf16 is None else plan.bf16
    for number in range(rounds + 1):
        for one in candidates:
            sequence = Sequence(1, plan.seed, plan.batch, one.ranges)
            items = [replace(item, shape=one.ranges.windows[0][0])
                     for item in sequence.items(number * plan.batch)]  # fmt: skip
            held = on_device(source, plan.device)
            sample = joined([render(held, item) for item in items])
            begun = time.process_time()
            step_once(learners[one.name], sample, plan.clip_norm, bf16)
            if number:
                times[one.name].append(time.process_time() - begun)
    return {name: float(np.median(values)) for name, values in times.items()}


def rows(
    candidates: tuple[Candidate, ...], plan: Plan, seconds: float, images: int
) -> Iterator[dict[str, object]]:
    """Train and score each candidate."""
    torch.set_num_threads(plan.threads)
    heads = heads_asked_for(plan.data)
    held_out = load_maps(plan.labels, plan.work / "maps", list(HELD_OUT))
    first = load_maps(plan.labels, plan.work / "maps", list(TRAINING_MAPS[:1]))[0]
    cost = seconds_a_step(candidates, first, plan, rounds=5)
    for one in candidates:
        work = plan.work / one.name.replace(" ", "_")
        work.mkdir(parents=True, exist_ok=True)
        if not (work / "maps").exists():
            (work / "maps").symlink_to((plan.work / "maps").resolve())
        learner = train(
            replace(plan, work=work, architecture=one.architecture, ranges=one.ranges, data=None,
                    muon=one.muon, steps=max(1, round(seconds / cost[one.name])))
        )  # fmt: skip
        yield _row(one, learner, cost[one.name], held_out, images) | {
            "real_heads": float(np.mean([d for _, d in dices(
                torch_predictor(learner.average, one.zoom_mm), heads)])) if heads else None,
        }  # fmt: skip


def _row(
    one: Candidate, learner: Learner, cost: float, maps: list[TrainingMap], images: int
) -> dict[str, object]:
    predictor = torch_predictor(learner.average, one.zoom_mm)
    table = summary(rendered_scores(predictor, maps, images))
    return {
        "name": one.name,
        "architecture": asdict(one.architecture),
        "zoom_mm": one.zoom_mm,
        "muon": one.muon,
        "parameters": sum(p.numel() for p in learner.net.parameters()),
        "gmac": round(one.macs / 1e9, 1),
        "step_s": round(cost, 3),
        **{kind: {k: round(v, 4) for k, v in row.items()} for kind, row in table.items()},
    }


def main() -> None:
    """Read the command line, print one JSON line a candidate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("work", type=Path, help="folder for checkpoints and prepared maps")
    parser.add_argument("--data", type=Path, help="folder of real heads and reference masks")
    parser.add_argument("--seconds", type=float, default=900.0,
                        help="of steps on the smallest window")  # fmt: skip
    parser.add_argument("--images", type=int, default=24, help="of held-out maps")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    args = parser.parse_args()
    chosen = tuple(c for c in CANDIDATES if not args.only or c.name in args.only)
    plan = Plan(args.labels, args.work, data=args.data)
    with told_in_a_line():
        for row in rows(chosen, plan, args.seconds, args.images):
            print(json.dumps(row), flush=True)
            with (args.work / "candidates.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
