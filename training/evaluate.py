"""Score a network: ``python -m training.evaluate MODEL --labels LABELS CACHE --data DATA``.

On fresh images of the label maps 17-20 that no training draw has used, and on real heads beside the
masks of published networks. The embedded network goes by its name, any other by its file. Exit 1 if
a figure that is asked for is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import montage
from benchmarks.asked import HEADER, asked_rows
from benchmarks.overlap import SurfaceDistances
from benchmarks.tables import Cell, text_table
from bids_strip.card import Card, find_card
from bids_strip.domain import Bool3, Conformed, Frame, Prediction
from bids_strip.geometry import dice
from bids_strip.participant.predict import Predictor, load_predictor
from training.asked import asked_for
from training.fields import Missed, apart, missed
from training.heads import HeadScore, find_heads, score_head
from training.maps import HELD_OUT, TrainingMap, load_maps
from training.sinus import called_cerebellum
from training.synthesis import (
    Sample,
    SynthesisDraw,
    SynthesisRanges,
    draw,
    looked_up,
    render,
)

SEED = 20261120
SIDES_MM = (224.0, 256.0, 224.0)
"""Of the rendered images."""
_TISSUES = ("GM", "WM", "CSF")
_DEEPEST = ("labels_missed_mm", "labels_missed_deep_mm", "surely_missed_mm",
            "surely_missed_deep_mm")  # fmt: skip
"""Columns of which a row has the largest, not the mean."""


@dataclass(frozen=True, slots=True)
class Score:
    """One rendered image.

    Attributes
    ----------
    groups
        Rows of the table that it counts in.
    brain
        Dice of the brain on the network's grid.
    ml
        Volume of the predicted brain inside the field of view.
    surface
        How far the predicted surface and the true one lie apart.
    missed
        Brain inside the tissue surface (no fluid outside it) that the mask leaves out.
    missed_surely
        The same less where the labels call a sinus cerebellum (`training.sinus`).
    tissue
        Dice of grey matter, white matter, fluid: what is predicted of it inside the predicted
        brain with what there is of it inside the true one.
    """

    groups: tuple[str, ...]
    brain: float
    ml: float
    surface: SurfaceDistances
    missed: Missed
    missed_surely: Missed
    tissue: tuple[float, float, float]

    @property
    def numbers(self) -> dict[str, float]:
        """The columns of the table."""
        return {
            "dice": self.brain,
            "ml": self.ml,
            "surface_mm": self.surface.mean_mm,
            "outside_mm": self.surface.signed_mm,
            "surface_p95_mm": self.surface.p95_mm,
            "labels_missed_ml": self.missed.ml,
            "labels_missed_percent": 100 * self.missed.share,
            "labels_missed_mm": self.missed.out_mm,
            "labels_missed_deep_mm": self.missed.deep_mm,
            "surely_missed_mm": self.missed_surely.out_mm,
            "surely_missed_deep_mm": self.missed_surely.deep_mm,
            **{f"dice_{name}": d for name, d in zip(_TISSUES, self.tissue, strict=True)},
        }


def groups_of(item: SynthesisDraw, source: TrainingMap) -> tuple[str, ...]:
    """Contrast, largest voxel side, both together, and map.

    A stripped or halved head is a contrast of its own.
    """
    contrast = item.contrast + (", inverted" if item.scan.inverted is not None else "")
    if item.processing.stripped_margin_mm is not None:
        contrast = "stripped"
    elif min(item.scan.cuts_mm) < -15:
        contrast = "cut head"
    thickness = max(item.scan.slice_mm, item.scan.coarse_mm)
    slices = "slices to 2.5 mm" if thickness <= 2.5 else (
        "slices 2.5-5 mm" if thickness <= 5 else "slices 5-7.5 mm")  # fmt: skip
    return contrast, slices, f"{contrast}, {slices}", source.name


def rendered_score(predictor: Predictor, source: TrainingMap, item: SynthesisDraw) -> Score:
    """Render an image and compare the prediction with its map."""
    sample = render(source, item)
    doubtful = looked_up(source, item, called_cerebellum(source))
    return score_of(sample, predicted(predictor, sample), item, source, doubtful)


def score_of(
    sample: Sample, found: Prediction, item: SynthesisDraw, source: TrainingMap, doubtful: Bool3
) -> Score:
    """Compare a prediction with what was rendered.

    Parameters
    ----------
    sample
        The image and its targets.
    found
        The prediction.
    item, source
        What it was rendered from.
    doubtful : (I, J, K) bool
        Where the labels call a sinus cerebellum.
    """
    seen = sample.weight[0, 0].numpy() > 0.5
    truth_mm, tissue_mm = sample.sdt[0].numpy()
    truth, mask = (truth_mm <= 0) & seen, (found.brain_mm <= 0) & seen
    zoom_mm = item.zoom_mm
    labels = sample.tissue[0].numpy()
    tissue = np.zeros(labels.shape) if found.shares is None else found.shares.argmax(axis=0)
    gm, wm, csf = (_tissue_dice(tissue == n, labels == n, mask, truth) for n in (1, 2, 3))
    return Score(
        groups=groups_of(item, source),
        brain=dice(mask, truth),
        ml=int(mask.sum()) * zoom_mm**3 / 1000,
        surface=apart(found.brain_mm, truth_mm, seen, zoom_mm=zoom_mm),
        missed=missed(found.brain_mm, tissue_mm, seen, zoom_mm=zoom_mm),
        missed_surely=missed(found.brain_mm, tissue_mm, seen, zoom_mm=zoom_mm, doubtful=doubtful),
        tissue=(gm, wm, csf),
    )


def predicted(predictor: Predictor, sample: Sample) -> Prediction:
    """What a network says of a rendered image."""
    image = sample.image[0, 0].numpy()
    i, j, k = image.shape
    frame = Frame((0, 1, 2), (False,) * 3, (i, j, k), (0.0,) * 3, (1.0,) * 3)
    return predictor(Conformed(image, predictor.card.zooms, frame))


def _tissue_dice(found: Bool3, labels: Bool3, mask: Bool3, truth: Bool3) -> float:
    """Dice of one tissue, each inside its own brain; nothing to say where there is none."""
    there = labels & truth
    return dice(found & mask, there) if there.any() else float("nan")


def held_out_draws(card: Card, maps: list[TrainingMap], images: int) -> Iterator[SynthesisDraw]:
    """Draws of fresh images, the same ones for every network of one grid; the maps by turns."""
    multiple, zoom = card.multiple, card.zooms[0]
    i, j, k = (round(side / zoom / multiple) * multiple for side in SIDES_MM)
    ranges = SynthesisRanges(zoom_mm=zoom, windows=(((i, j, k), 1.0),))
    for number in range(images):
        item = draw(np.random.default_rng((SEED, number)), len(maps), ranges)
        yield replace(item, map_index=number % len(maps))


def rendered_scores(
    predictor: Predictor, maps: list[TrainingMap], images: int, pictures: Path | None = None
) -> list[Score]:
    """Scores of fresh images, and a PNG of each if a folder is given."""
    scores = []
    sinuses = [called_cerebellum(one) for one in maps]
    for number, item in enumerate(held_out_draws(predictor.card, maps, images)):
        source = maps[item.map_index]
        sample = render(source, item)
        found = predicted(predictor, sample)
        doubtful = looked_up(source, item, sinuses[item.map_index])
        scores.append(score_of(sample, found, item, source, doubtful))
        if pictures is not None:
            title = f"{number}: {', '.join(scores[-1].groups[2:])}, Dice {scores[-1].brain:.3f}"
            _draw(sample, found, item.zoom_mm, title, pictures / f"{number:03}.png")
    return scores


def _draw(sample: Sample, found: Prediction, zoom_mm: float, title: str, path: Path) -> None:
    """The predicted surface, and the true one, on a rendered image."""
    masks = {"predicted": found.brain_mm <= 0, "true": sample.sdt[0, 0].numpy() <= 0}
    if masks["predicted"].any():
        image = sample.image[0, 0].numpy()
        montage.draw(montage.picture_of(image, masks, (zoom_mm,) * 3), title=title, path=path)


def summary(scores: Iterable[Score]) -> dict[str, dict[str, float]]:
    """Means by contrast, by slice thickness and by map.

    Beside them the least Dice, the standard error of its mean (NaN of a single image), and the
    deepest loss.
    """
    groups: dict[str, list[Score]] = {}
    for one in scores:
        for name in ("all", *one.groups):
            groups.setdefault(name, []).append(one)
    return {
        name: {
            "images": len(members),
            "dice_min": min(m.brain for m in members),
            "dice_error": _standard_error([m.brain for m in members]),
            **{key: _mean([m.numbers[key] for m in members]) for key in members[0].numbers},
            **{key: max(m.numbers[key] for m in members) for key in _DEEPEST},
        }
        for name, members in sorted(groups.items())
    }  # fmt: skip


def _mean(values: list[float]) -> float:
    """Of those that are known."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _standard_error(values: list[float]) -> float:
    """Of the mean."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def heads_table(scores: list[HeadScore]) -> str:
    """A line a head: volume, both references, whether the surface runs between them."""
    names = [a.reference for a in scores[0].agreements]
    header = ["head", "ml"]
    for name in names:
        header += [f"Dice {name}", "signed mm", "95% mm"]
    rows: list[list[Cell]] = []
    for one in scores:
        row: list[Cell] = [one.name, one.volume_ml]
        for agreement in one.agreements:
            row += [agreement.dice, agreement.signed_mm, agreement.p95_mm]
        better = "yes" if one.mean_dice >= one.between else "no"
        rows.append([*row, one.between, "yes" if one.in_shell else "no", better])
    return text_table([*header, "Dice of references", "in shell", "Dice >= theirs"], rows)


def heads_summary(scores: list[HeadScore]) -> dict[str, Any]:
    """The same for the card."""
    return {
        "heads": len(scores),
        **{
            f"dice_{name}": float(np.mean([s.agreements[n].dice for s in scores]))
            for n, name in enumerate(a.reference for a in scores[0].agreements)
        },
        "dice_of_references": float(np.mean([s.between for s in scores])),
        "in_shell": sum(s.in_shell for s in scores),
        "dice_at_least_references": sum(s.mean_dice >= s.between for s in scores),
    }


def main() -> int:
    """Read the command line, print the tables, store them in the card if asked.

    Returns
    -------
    int
        1 if a figure that is asked for is missed.
    """
    parser = argparse.ArgumentParser(description="Score a network.")
    parser.add_argument("model", help="NAME of an embedded network or FILE.onnx")
    parser.add_argument("--labels", type=Path, nargs=2, metavar=("LABELS", "CACHE"),
                        help="folders of label maps and of prepared maps")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder of real heads and reference masks")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--each", action="store_true", help="also a line for each rendered image")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER",
                        help="draw the contours on each rendered image, a PNG each")  # fmt: skip
    parser.add_argument("--card", action="store_true", help="store the figures in the card")
    args = parser.parse_args()
    if not (args.labels or args.data):
        parser.error("nothing to score: give --labels, --data or both")
    heads = find_heads(args.data) if args.data else []
    if args.data and len({tuple(name for name, _ in one.references) for one in heads}) != 1:
        parser.error(f"--data {args.data}: no heads there, or not the same references for all")
    card = find_card(args.model)
    predictor = load_predictor(card, device="cpu", threads=args.threads)
    found: dict[str, Any] = {}
    if args.labels:
        labels, cache = args.labels
        maps = load_maps(labels, cache, list(HELD_OUT))
        if args.pictures:
            args.pictures.mkdir(parents=True, exist_ok=True)
        rendered = rendered_scores(predictor, maps, args.images, args.pictures)
        table = summary(rendered)
        if args.each:
            for number, one in enumerate(rendered):
                print(_line(f"{number}: {', '.join(one.groups)}", one.numbers))
        for name, row in table.items():
            print(_line(f"{name:18}", row))
        found["held_out_label_maps"] = {
            name: {key: round(value, 4) for key, value in row.items() if np.isfinite(value)}
            for name, row in table.items()
        }
    if heads:
        scores = [score_head(predictor, head) for head in heads]
        print(heads_table(scores))
        found["real_heads"] = heads_summary(scores)
        print(json.dumps(found["real_heads"]))
    if args.card:
        _store(card, found)
    asked = asked_for(found)
    print(text_table(HEADER, asked_rows(asked)))
    return 0 if all(one.met for one in asked) else 1


def _line(name: str, numbers: Mapping[str, float]) -> str:
    return " ".join([name, *(f"{key} {value:.4g}" for key, value in numbers.items())])


def _store(card: Card, found: dict[str, Any]) -> None:
    """Put figures into the card of a network, in place of earlier ones of the same kind."""
    path = card.path.with_suffix(".json")
    data = json.loads(path.read_text(encoding="utf-8"))
    data["accuracy"] = data.get("accuracy", {}) | found
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
