"""The brain's surface and the tissue's (``--no-csf``), head by head.

``python -m benchmarks.surfaces BIDS_DIR [--model NAME|FILE]``

*Crossing*: share of what the network calls tissue that lies outside what it calls brain, on its own
grid, before the program cuts the one by the other. *Outside*: the same of the masks, on the grid of
the image.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.heads import first_heads
from benchmarks.outputs import BenchmarkError
from benchmarks.tables import text_table
from bids_strip.card import find_card
from bids_strip.domain import Bool3
from bids_strip.machine.resources import available_cpus
from bids_strip.participant.clean import clean
from bids_strip.participant.derive import derive
from bids_strip.participant.job import Clock
from bids_strip.participant.load import load
from bids_strip.participant.pipeline import predicted
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.participant.restore import restore

Row = tuple[str, float, float, float, float, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; return 1 if there is no head."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.surfaces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--model", metavar="NAME|FILE")
    args = parser.parse_args(argv)
    try:
        paths = first_heads(args.bids_dir)
    except BenchmarkError as error:
        print(f"benchmarks.surfaces: {error}", file=sys.stderr)
        return 1
    predictor = load_predictor(find_card(args.model), device="cpu", threads=available_cpus())
    header = ("run", "brain ml", "tissue ml", "ratio", "crossing %", "outside %")
    print(text_table(header, [row_of(path, predictor) for path in paths]))
    return 0


def row_of(path: Path, predictor: Predictor) -> Row:
    """Measure one head."""
    source = load(path)
    conformed, prediction = predicted(source.volume, predictor, Clock())
    masks = []
    for no_csf in (False, True):
        surface = clean(prediction, conformed.zooms, no_csf=no_csf)
        distance = restore(surface, conformed.frame)
        masks.append(derive(source.volume, distance, border_mm=0.0, no_csf=no_csf).mask)
    brain, tissue = masks
    voxel_ml = source.volume.grid.voxel_volume_ml
    brain_ml, tissue_ml = (float(np.count_nonzero(mask)) * voxel_ml for mask in masks)
    assert prediction.no_csf_mm is not None
    crossing = outside_percent(prediction.no_csf_mm <= 0, prediction.brain_mm <= 0)
    name = path.name.partition(".")[0]
    return name, brain_ml, tissue_ml, tissue_ml / brain_ml, crossing, outside_percent(tissue, brain)


def outside_percent(inner: Bool3, outer: Bool3) -> float:
    """Share of one mask that lies outside another, percent."""
    return 100.0 * float(np.count_nonzero(inner & ~outer)) / float(np.count_nonzero(inner))


if __name__ == "__main__":
    sys.exit(main())
