"""Score the tissues: ``python -m benchmarks.tissue LABELS CACHE [--images N] [--json FILE]``.

T1w-like images of 1 mm of label maps that no training drew from, with a field and noise; Dice of
grey matter, white matter and fluid within the mask: the network's own labels, interpolated, and the
stages `normalise` and `segment` after it. LABELS and CACHE as for ``training.evaluate``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Cell, text_table
from bids_strip.card import find_card
from bids_strip.domain import NetworkTissues
from bids_strip.geometry import dice, to_native
from bids_strip.machine.resources import available_cpus
from bids_strip.participant.job import Clock
from bids_strip.participant.load import from_image
from bids_strip.participant.normalise import normalise
from bids_strip.participant.pipeline import predicted, whole_brain
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.participant.segment import segment
from bids_strip.recipe import BIAS_SMOOTHNESS_MM
from training.maps import HELD_OUT, TrainingMap, load_maps
from training.synthesis import SynthesisDraw, SynthesisRanges, draw, render

SEED = 7
TISSUES = ("GM", "WM", "CSF")
EVERYWHERE = (slice(None), slice(None), slice(None))
RANGES = SynthesisRanges(
    zoom_mm=1.0, windows=(((192, 224, 192), 1.0),), t1w_share=1, ct_share=0, merged=0, tilted=0,
    rotation_sd_deg=5, scale=(0.95, 1.05), shift_mm=(5, 5, 5), shift_up_mm=10,
    texture_sd=(0.02, 0.05), dura=0.3, atrophy=0, ventricles=0, lesions=0, blob=0, scalp=0,
    strays=0, clutter=0, bias_sd=(0.1, 0.3), blur_sd_mm=(0.4, 0.8), thick_slices=0, coarse=0,
    noise_sd=(0.02, 0.12), ghost=0, ripple=0, wrap=0, inverted=0, cut=0, cut_crown=0, half=0,
    zero_air=0, background=0, stripped=0, face_cut=0, quantised=0, log_gamma_sd=0.0,
)  # fmt: skip
"""Ordinary T1w scans: anatomy as in the maps, no artefact but field, blur and noise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.tissue",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    predictor = load_predictor(find_card(args.model), device="cpu", threads=available_cpus())
    maps = load_maps(args.labels, args.cache, list(HELD_OUT))
    rows: list[list[Cell]] = []
    for number in range(args.images):
        chosen = maps[number % len(maps)]
        item = draw(np.random.default_rng((SEED, number)), len(maps), RANGES)
        item = replace(item, scan=replace(item.scan, noise_left=1.0))
        rows.append([f"{number} {chosen.name}", *scores(predictor, chosen, item)])
    values = np.array([row[1:] for row in rows], dtype=float)
    rows.append(["mean", *(float(v) for v in values.mean(axis=0))])
    header = ["image", *(f"network {t}" for t in TISSUES), *(f"segment {t}" for t in TISSUES)]
    print(text_table(header, rows))
    if args.json:
        args.json.write_text(json.dumps([dict(zip(header, r, strict=True)) for r in rows]) + "\n")
    return 0


def scores(predictor: Predictor, source: TrainingMap, item: SynthesisDraw) -> list[float]:
    """Dice of the network's labels, then of the stages', within the mask."""
    sample = render(source, item)
    truth = sample.tissue[0].numpy()
    volume = from_image(nib.Nifti1Image(sample.image[0, 0].numpy(), np.eye(4))).volume
    conformed, prediction = predicted(volume, predictor, Clock())
    brain = whole_brain(volume, prediction, conformed)
    network = NetworkTissues(prediction.shares, conformed.frame)
    corrected = normalise(volume, brain, network, suffix="T1w",
                          smoothness_mm=BIAS_SMOOTHNESS_MM)  # fmt: skip
    found = segment(corrected, brain, network, suffix="T1w").labels
    assert prediction.shares is not None
    own = 1 + np.argmax(
        [to_native(prediction.shares[n], conformed.frame, EVERYWHERE) for n in (1, 2, 3)], axis=0
    )
    return [*_dice(own, truth, brain.mask), *_dice(found, truth, brain.mask)]


def _dice(
    labels: NDArray[np.integer], truth: NDArray[np.integer], mask: NDArray[np.bool_]
) -> list[float]:
    return [dice((labels == n) & mask, (truth == n) & mask) for n in (1, 2, 3)]


if __name__ == "__main__":
    sys.exit(main())
