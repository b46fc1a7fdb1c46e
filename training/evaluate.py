"""Score a network on held-out label maps: ``python -m training.evaluate MODEL LABELS CACHE``.

Fresh images of maps 17-20 that no training draw has used; real heads are scored by
``benchmarks.accuracy`` on the program's own output.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_strip.card import find_card
from bids_strip.domain import Conformed, Frame
from bids_strip.geometry import dice
from bids_strip.participant.predict import Predictor, load_predictor
from training.maps import TrainingMap, load_maps
from training.synthesis import ZOOM_MM, SynthesisDraw, SynthesisRanges, draw, render

HELD_OUT = tuple(f"training_seg_{n}" for n in (17, 18, 19, 20))
SEED = 20261120
_TISSUES = ("GM", "WM", "CSF")
_ZOOMS = (ZOOM_MM, ZOOM_MM, ZOOM_MM)


@dataclass(frozen=True, slots=True)
class Score:
    """One image: Dice of the brain on the 2 mm grid, brain missed in ml, Dice a tissue."""

    contrast: str
    slices: str
    brain: float
    missed_ml: float
    tissue: tuple[float, ...]


def kind_of(item: SynthesisDraw) -> tuple[str, str]:
    """Contrast and slice thickness, as groups of the table."""
    contrast = "T1w-like" if item.t1w else "any contrast"
    if item.stripped_margin_mm is not None:
        contrast = "stripped"
    return contrast, "thick slices" if item.slice_mm else "full resolution"


def score(predictor: Predictor, source: TrainingMap, item: SynthesisDraw) -> Score:
    """Render an image and compare the prediction with its map."""
    sample = render(source, item)
    shape = item.shape
    frame = Frame((0, 1, 2), (False,) * 3, shape, (0.0,) * 3, (1.0,) * 3)
    found = predictor(Conformed(sample.image[0, 0].numpy(), _ZOOMS, frame))
    seen = sample.weight[0, 0].numpy() > 0.5
    truth = (sample.sdt[0, 0].numpy() <= 0) & seen
    mask = (found.brain_mm <= 0) & seen
    tissue = sample.tissue[0].numpy()
    per_tissue = tuple(
        dice((found.tissue == n) & mask, (tissue == n) & mask) if found.tissue is not None else 0.0
        for n in (1, 2, 3)
    )
    missed = float(np.count_nonzero(truth & ~mask)) * ZOOM_MM**3 / 1000
    return Score(*kind_of(item), dice(mask, truth), missed, per_tissue)


def evaluate(predictor: Predictor, maps: list[TrainingMap], images: int) -> list[Score]:
    """Scores of fresh images, the same ones for every network."""
    ranges = SynthesisRanges(windows=(((112, 128, 112), 1.0),))
    scores = []
    for number in range(images):
        item = draw(np.random.default_rng((SEED, number)), len(maps), ranges)
        item = replace(item, map_index=number % len(maps))
        scores.append(score(predictor, maps[item.map_index], item))
    return scores


def summary(scores: Iterable[Score]) -> dict[str, dict[str, float]]:
    """Means by contrast and by slice thickness."""
    groups: dict[str, list[Score]] = {}
    for one in scores:
        groups.setdefault(one.contrast, []).append(one)
        groups.setdefault(one.slices, []).append(one)
    return {
        name: {
            "images": len(members),
            "dice": float(np.mean([m.brain for m in members])),
            "dice_min": float(min(m.brain for m in members)),
            "missed_ml": float(np.mean([m.missed_ml for m in members])),
            **{
                f"dice_{tissue}": float(np.mean([m.tissue[n] for m in members]))
                for n, tissue in enumerate(_TISSUES)
            },
        }
        for name, members in sorted(groups.items())
    }


def main() -> None:
    """Read the command line, print the table, store it in the card if asked."""
    parser = argparse.ArgumentParser(description="Score a network on held-out label maps.")
    parser.add_argument("model", help="NAME of an embedded network or FILE.onnx")
    parser.add_argument("labels", type=Path, help="folder of whole-head label maps")
    parser.add_argument("cache", type=Path, help="folder of prepared maps")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--card", action="store_true", help="store the table in the card")
    args = parser.parse_args()
    card = find_card(args.model)
    predictor = load_predictor(card, device="cpu", threads=args.threads)
    maps = load_maps(args.labels, args.cache, list(HELD_OUT))
    table = summary(evaluate(predictor, maps, args.images))
    for name, row in table.items():
        print(name, *(f"{key} {value:.4g}" for key, value in row.items()))
    if args.card:
        path = card.path.with_suffix(".json")
        data = json.loads(path.read_text(encoding="utf-8"))
        data["accuracy"] = {"held_out_label_maps": table}
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
