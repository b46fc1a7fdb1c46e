"""Measure registrations to a template.

``python -m benchmarks.registration OUTPUT_DIR [--raw BIDS_DIR] [--known-truth] [--engine NAME]``

OUTPUT_DIR tells which runs; their brains are found and their brightness is corrected anew. The
template is MNI152NLin2009cAsym of TEMPLATEFLOW_HOME. A row a run: Dice of the mask with the
template's after the affine, Dice of the mask with itself brought there and back, processor time.
``--known-truth``: the head is moved by a known affine
(12 degrees, 8 mm, 4 % growth), its brain is found anew and registered, and the composed affines are
compared: mean distance over the brain, mm. Engines: ``ours``; ``niimath`` (its -allineate, on
stripped brains of 2 mm). Exit 1 below Dice .93, .97 there and back, or above .5 mm in the mean.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from benchmarks.images import load_image
from benchmarks.outputs import RAW, BenchmarkError, find_results, raw_folder
from benchmarks.tables import text_table
from bids_strip.card import find_card
from bids_strip.domain import (
    Affine,
    BrainMask,
    Grid,
    NetworkTissues,
    Registration,
    Template,
    Volume,
)
from bids_strip.geometry import affine_resampled, dice, signed_distance
from bids_strip.participant.into_template import placed
from bids_strip.participant.job import Clock
from bids_strip.participant.normalise import normalise
from bids_strip.participant.pipeline import predicted, whole_brain
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.participant.register import register
from bids_strip.recipe import BIAS_SMOOTHNESS_MM
from bids_strip.templates import find_templates, read_template

SPACE = "MNI152NLin2009cAsym:res-1"
LEAST_DICE, LEAST_BACK, MOST_MM = 0.93, 0.97, 0.5
"""What a registration has to reach; the last in the mean over the heads."""
Engine = Callable[[Volume, BrainMask, Template], Affine]


@dataclass(frozen=True, eq=False)
class Head:
    """A corrected head and its brain."""

    volume: Volume
    brain: BrainMask


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a head falls short, or there is none."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.registration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--raw", type=Path, metavar="DIR", help=RAW)
    parser.add_argument("--known-truth", action="store_true")
    parser.add_argument("--engine", choices=["ours", "niimath"], default="ours")
    parser.add_argument(
        "--run", metavar="NAME", help="runs with this in their name, for example T1w"
    )
    args = parser.parse_args(argv)
    engine: Engine = register if args.engine == "ours" else niimath
    rows: list[list[str | float | None]] = []
    try:
        raw = raw_folder(args.output_dir, args.raw)
        template = read_template(find_templates([SPACE], offline=True)[0])
        predictor = load_predictor(find_card(None), device="cpu", threads=2)
        for result in find_results(args.output_dir):
            if args.run is None or args.run in result.name:
                volume = _volume(nib.squeeze_image(load_image(result.source(raw))))
                head = stripped(volume, predictor)
                placement, used = measured(head, template, engine)
                off = None
                if args.known_truth:
                    off = known_truth(volume, head, template, engine, predictor)
                back = round_trip(placement, head)
                rows.append([result.name, placement.dice, back, used, off])
    except BenchmarkError as error:
        print(f"benchmarks.registration: {error}", file=sys.stderr)
        return 1
    if not rows:
        return 1
    gaps = [row[4] for row in rows if isinstance(row[4], float)]
    least = [min(float(row[k] or 0.0) for row in rows) for k in (1, 2)]
    passed = least[0] >= LEAST_DICE and least[1] >= LEAST_BACK
    passed = passed and (not gaps or float(np.mean(gaps)) <= MOST_MM)
    if gaps:
        rows.append(["mean", None, None, None, float(np.mean(gaps))])
    print(text_table(["run", "Dice", "there and back", "cpu s", "known truth mm"], rows))
    return 0 if passed else 1


def stripped(volume: Volume, predictor: Predictor) -> Head:
    """Find the brain and correct the brightness, as the program does before it registers."""
    conformed, prediction = predicted(volume, predictor, Clock())
    brain = whole_brain(volume, prediction, conformed)
    network = NetworkTissues(prediction.shares, conformed.frame)
    found = normalise(volume, brain, network, suffix="T1w",
                      smoothness_mm=BIAS_SMOOTHNESS_MM)  # fmt: skip
    return Head(found.volume, brain)


def measured(head: Head, template: Template, engine: Engine) -> tuple[Registration, float]:
    """Where a head lies in the template, and the processor time of its registration, s."""
    begun = _cpu_s()
    to_template = engine(head.volume, head.brain, template)
    used = _cpu_s() - begun
    return placed(
        to_template, head.volume.grid, head.brain, template, fitted=head.brain, threads=1
    ), used


def round_trip(there: Registration, head: Head) -> float:
    """Dice of the mask with itself brought into the template and back, by distances both ways."""
    distance = signed_distance(there.mask, zooms=there.grid.zooms, limit_mm=20.0)
    pull = np.linalg.inv(there.grid.affine) @ there.to_template @ head.volume.grid.affine
    back = affine_resampled(distance, pull, head.volume.grid.shape, outside=20.0)
    return dice(np.asarray(back <= 0), head.brain.mask)


def known_truth(
    volume: Volume, head: Head, template: Template, engine: Engine, predictor: Predictor
) -> float:  # fmt: skip
    """Mean distance over the brain between a head's affine and its moved copy's, composed, mm."""
    move = _known_affine(head)
    other = stripped(_moved(volume, move), predictor)
    first = engine(head.volume, head.brain, template)
    second = engine(other.volume, other.brain, template)
    there = second @ move
    index = np.argwhere(head.brain.mask)[::97]
    affine = head.volume.grid.affine
    world = index @ affine[:3, :3].T + affine[:3, 3]
    gap = world @ (there - first)[:3, :3].T + (there - first)[:3, 3]
    return float(np.linalg.norm(gap, axis=1).mean())


def _known_affine(head: Head) -> Affine:
    """12 degrees about an oblique axis, 4 % of growth, about the brain's centre, and 8 mm."""
    axis = np.array([2.0, 1.0, 2.0]) / 3.0
    cross = np.cross(np.eye(3), axis)
    angle = np.deg2rad(12.0)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = head.volume.grid.affine
    centre = affine[:3, :3] @ np.argwhere(head.brain.mask).mean(axis=0) + affine[:3, 3]
    move = np.eye(4)
    move[:3, :3] = 1.04 * turn
    move[:3, 3] = centre + np.array([4.0, -4.0, 5.6]) - move[:3, :3] @ centre
    return move


def _moved(volume: Volume, move: Affine) -> Volume:
    """The head as a scan in which it lies elsewhere, on the same grid."""
    affine = volume.grid.affine
    matrix = np.linalg.inv(affine) @ np.linalg.inv(move) @ affine
    data = ndimage.affine_transform(volume.data, matrix[:3, :3], matrix[:3, 3], order=3)
    return Volume(np.maximum(data, 0).astype(np.float32), volume.grid)


def niimath(volume: Volume, brain: BrainMask, template: Template) -> Affine:
    """The affine of niimath's -allineate between stripped brains of 2 mm."""
    import niimath as package

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("run.nii", "base.nii", "matrix.json")]
        for path, image, inside in ((paths[0], volume, brain.sdt_steps <= 0),
                                    (paths[1], template.image, template.mask)):  # fmt: skip
            factors = [min(zoom / 2.0, 1.0) for zoom in image.grid.zooms]
            small = ndimage.zoom(image.data * inside, factors, order=1, grid_mode=True,
                                 mode="nearest")  # fmt: skip
            scale = np.array(image.data.shape) / np.array(small.shape)
            affine = image.grid.affine @ np.diag([*scale, 1.0])
            affine[:3, 3] = image.grid.affine[:3, :3] @ ((scale - 1) / 2) + image.grid.affine[:3, 3]
            nib.save(nib.Nifti1Image(small, affine), path)
        subprocess.run([package.bin, paths[0], "-allineate", paths[1], "-savemat", paths[2],
                        Path(folder) / "out.nii"], check=True, capture_output=True,
                       timeout=120)  # fmt: skip
        return np.array(json.loads(paths[2].read_text())["moving_to_fixed"])


def _volume(image: Any) -> Volume:
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    return Volume(data, Grid((data.shape[0], data.shape[1], data.shape[2]), image.affine))


def _cpu_s() -> float:
    """Processor time of this process and of those that it started, s."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main())
