"""Whether masks agree with themselves: mirrored heads, other contrasts, a second session.

``python -m benchmarks.consistency BIDS_DIR [--model NAME] [--json FILE]``

A mirrored head should give the mirrored mask. The T2w and FLAIR of a session should give the mask
of its T1w, brought over by the scanner's affines: so far, motion between the scans counts as error.
Beside it stand the motion that another program finds between the two images, and the Dice once it
is taken out. Sessions of a person should give the same volume. Exit 1 if there is no T1w
or a figure that is asked for is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from benchmarks.asked import HEADER, Asked, asked_rows, at_least, at_most
from benchmarks.heads import first_heads
from benchmarks.motion import motion_between
from benchmarks.outputs import BenchmarkError
from benchmarks.tables import Cell, text_table
from bids_strip.card import find_card
from bids_strip.domain import Affine, Bool3
from bids_strip.geometry import dice
from bids_strip.machine.resources import available_cpus
from bids_strip.participant.predict import Predictor, load_predictor
from bids_strip.single import Stripped, strip_image

OTHERS = ("T2w", "FLAIR", "PDw")
LEAST_DICE = {"mirrored": 0.99, "contrast": 0.95}
"""Asked for; of other contrasts less the motion."""
MOST_CHANGE_PERCENT = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes
    ----------
    kind
        ``mirrored``, ``contrast`` or ``sessions``.
    run
        What is compared with its counterpart.
    dice
        With the counterpart's mask; not known between sessions, which lie elsewhere.
    volume_change
        Relative to the counterpart, 0.01 for one percent more.
    motion_mm
        How far the brain moved between the two scans, mean over the mask.
    dice_still
        With the counterpart's mask moved along.
    """

    kind: str
    run: str
    dice: float | None
    volume_change: float
    motion_mm: float | None = None
    dice_still: float | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if there is no head or a figure that is asked for is missed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.consistency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    predictor = load_predictor(find_card(args.model), device="cpu", threads=available_cpus())
    try:
        checks = sorted(check(args.bids_dir, predictor), key=lambda one: one.kind)
    except BenchmarkError as error:
        print(f"benchmarks.consistency: {error}", file=sys.stderr)
        return 1
    rows: list[list[Cell]] = [
        [c.kind, c.run, c.dice, 100 * c.volume_change, c.motion_mm, c.dice_still] for c in checks
    ]
    header = ["check", "run", "Dice", "volume %", "motion mm", "Dice less motion"]
    print(text_table(header, rows))
    if args.json:
        args.json.write_text(json.dumps([asdict(c) for c in checks], indent=2) + "\n")
    asked = list(asked_for(checks))
    print(text_table(HEADER, asked_rows(asked)))
    return 0 if all(one.met for one in asked) else 1


def asked_for(checks: Sequence[Check]) -> Iterator[Asked]:
    """Compare the least good of each kind with what is asked of it, as far as there are any."""
    dices = {"mirrored": [c.dice for c in checks if c.kind == "mirrored" and c.dice is not None],
             "contrast": [c.dice_still for c in checks if c.dice_still is not None]}  # fmt: skip
    for kind, limit in LEAST_DICE.items():
        if dices[kind]:
            yield at_least(f"{kind}, least Dice", min(dices[kind]), limit)
    changes = [abs(c.volume_change) for c in checks if c.kind == "sessions"]
    if changes:
        yield at_most("sessions, volume %", 100 * max(changes), MOST_CHANGE_PERCENT)


def check(bids_dir: Path, predictor: Predictor) -> Iterator[Check]:
    """All comparisons of a dataset, head by head."""
    volumes: dict[str, list[float]] = {}
    for path in first_heads(bids_dir):
        found = strip_image(path, predictor=predictor)
        yield mirrored(path, found, predictor)
        for suffix in OTHERS:
            other = path.with_name(path.name.replace("_T1w.", f"_{suffix}."))
            if other.exists():
                yield contrast(other, path, found, predictor)
        subject = path.name.split("_")[0]
        volumes.setdefault(subject, []).append(volume_of(found.mask))
    for subject, found_ml in volumes.items():
        for number, volume in enumerate(found_ml[1:], start=2):
            yield Check("sessions", f"{subject} {number}:1", None, volume / found_ml[0] - 1)


def mirrored(path: Path, found: Stripped, predictor: Predictor) -> Check:
    """Left and right exchanged in the array, not in the affine: another head, as it were."""
    image = nib.Nifti1Image.from_filename(path)
    axis = next(n for n, code in enumerate(nib.aff2axcodes(image.affine)) if code in "LR")
    turned = nib.Nifti1Image(np.flip(np.asanyarray(image.dataobj), axis), image.affine)
    mask = strip_image(turned, predictor=predictor).mask
    back = np.flip(np.asarray(mask.dataobj), axis) > 0
    ours = np.asarray(found.mask.dataobj) > 0
    return Check("mirrored", path.name.split(".")[0], dice(back, ours), back.sum() / ours.sum() - 1)


def contrast(path: Path, t1w_path: Path, t1w: Stripped, predictor: Predictor) -> Check:
    """Another contrast of the session, against the T1w's surface on its grid."""
    found = strip_image(path, predictor=predictor)
    ours = np.asarray(found.mask.dataobj) > 0
    theirs = _brought(t1w.sdt, found.mask)
    motion = motion_between(path, t1w_path)
    still = nib.Nifti1Image(t1w.sdt.dataobj, np.linalg.inv(motion) @ t1w.sdt.affine)
    return Check("contrast", path.name.split(".")[0], dice(ours, theirs),
                 ours.sum() / theirs.sum() - 1, _moved_mm(found.mask, motion),
                 dice(ours, _brought(still, found.mask)))  # fmt: skip


def _brought(sdt: nib.Nifti1Image, onto: nib.Nifti1Image) -> Bool3:
    """The inside of a surface on another image's grid."""
    return np.asarray(resample_from_to(sdt, onto, order=1, cval=20.0).dataobj) <= 0


def _moved_mm(mask: nib.Nifti1Image, motion: Affine) -> float:
    """How far a motion moves the voxels of a mask, mean."""
    voxels = np.argwhere(np.asarray(mask.dataobj) > 0)
    points = nib.affines.apply_affine(mask.affine, voxels)
    moved = nib.affines.apply_affine(motion, points)
    return float(np.linalg.norm(moved - points, axis=1).mean())


def volume_of(mask: nib.Nifti1Image) -> float:
    """Volume of a mask image, ml."""
    return float(np.asarray(mask.dataobj).sum() * np.prod(mask.header.get_zooms()[:3]) / 1000)


if __name__ == "__main__":
    sys.exit(main())
