"""Compare the masks of an OUTPUT_DIR with reference masks, or with the known truth.

``python -m benchmarks.accuracy OUTPUT_DIR --reference DIR [--reference DIR]``
``python -m benchmarks.accuracy OUTPUT_DIR --truth EXAMPLE/derivatives/truth``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from benchmarks.images import Mask, place_word, read_mask, to_world
from benchmarks.outputs import (
    DATASET,
    REFERENCE,
    BenchmarkError,
    Result,
    dataset_name,
    find_results,
    reference_masks,
    truth_mask,
)
from benchmarks.overlap import (
    Agreement,
    Place,
    agreement,
    common_box,
    stray_places,
    surface_of,
)
from benchmarks.tables import Cell, text_table
from bids_strip.geometry import Box


@dataclass(frozen=True, slots=True)
class Stray:
    """Where a mask strays from all references, in the scanner's space.

    Attributes
    ----------
    kind
        ``extra`` or ``missed``.
    volume_ml
        Of what lies more than 1 mm beyond all references.
    depth_mm
        Distance from the nearest reference's surface to the farthest voxel.
    ras_mm
        Where that voxel lies.
    where
        The same in words.
    """

    kind: str
    volume_ml: float
    depth_mm: float
    ras_mm: tuple[int, int, int]
    where: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """All that is known of one run.

    Attributes
    ----------
    agreements
        Ours with each reference.
    between
        The references with one another, the first in the place of ours.
    largest, deepest
        Where ours strays from all references most, by volume and by distance.
    """

    run: str
    agreements: tuple[Agreement, ...]
    between: tuple[Agreement, ...]
    largest: Stray | None
    deepest: Stray | None


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return 1 if something is missing or below a minimum."""
    args = _parser().parse_args(argv)
    try:
        reports = _reports(args)
    except BenchmarkError as error:
        print(f"benchmarks.accuracy: {error}", file=sys.stderr)
        return 1
    print(render(reports))
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in reports], indent=2) + "\n")
    return _verdict(reports, args.minimum_dice, args.minimum_mean)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path)
    against = parser.add_mutually_exclusive_group(required=True)
    against.add_argument("--reference", type=Path, action="append", metavar="DIR", help=REFERENCE)
    truth = "a BIDS derivative with *_desc-truth_mask.nii.gz"
    against.add_argument("--truth", type=Path, metavar="DIR", help=truth)
    parser.add_argument("--dataset", metavar="NAME", help=DATASET)
    parser.add_argument("--minimum-dice", type=float, default=0.0, metavar="D")
    parser.add_argument("--minimum-mean", type=float, default=0.0, metavar="D")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def _reports(args: argparse.Namespace) -> list[RunReport]:
    dataset = "" if args.truth else dataset_name(args.output_dir, args.dataset)
    reports = []
    for result in find_results(args.output_dir):
        if args.truth:
            paths = truth_mask(result, args.truth)
        else:
            paths = reference_masks(result, args.reference, dataset)
        if paths:
            reports.append(compare(result, paths))
        else:
            print(f"{result.name}: no reference mask, left out", file=sys.stderr)
    if not reports:
        raise BenchmarkError(
            f"no reference mask for any run of {args.output_dir}"
            + ("" if args.truth else f" (dataset {dataset}; --dataset NAME gives another)")
        )
    return reports


def compare(result: Result, paths: dict[str, Path]) -> RunReport:
    """Compare one mask with its references.

    Parameters
    ----------
    result : Result
        The mask.
    paths : dict
        Name of a reference -> its mask, on the same grid; one at least.
    """
    ours = read_mask(result.mask)
    others = {name: read_mask(path, like=ours.grid) for name, path in paths.items()}
    zooms = ours.grid.zooms
    box = common_box([ours.data, *[m.data for m in others.values()]], zooms=zooms)
    surface = surface_of(ours.data[box], zooms=zooms)
    references = {n: surface_of(m.data[box], zooms=zooms) for n, m in others.items()}
    places = stray_places(surface.mask, list(references.values()))
    deepest = max(places, key=lambda place: place.depth_mm, default=None)
    return RunReport(
        run=result.name,
        agreements=tuple(agreement(result.name, n, surface, r) for n, r in references.items()),
        between=tuple(
            agreement(result.name, f"{a} to {b}", references[a], references[b])
            for a, b in combinations(references, 2)
        ),
        largest=_stray(places[0] if places else None, box, ours),
        deepest=_stray(deepest, box, ours),
    )


def _stray(place: Place | None, box: Box, ours: Mask) -> Stray | None:
    if place is None:
        return None
    i, j, k = (n + side.start for n, side in zip(place.index, box, strict=True))
    point = to_world(ours.grid.affine, (i, j, k))
    x, y, z = (round(float(v)) for v in point)
    where = place_word(point, ours)
    return Stray(place.kind, place.volume_ml, place.depth_mm, (x, y, z), where)


def render(reports: Sequence[RunReport]) -> str:
    """Tables of the agreements, of the references with one another, and of the worst places."""
    parts = [_agreement_table([a for r in reports for a in r.agreements], "reference")]
    between = [a for r in reports for a in r.between]
    if between:
        parts.append(_agreement_table(between, "references"))
    return "\n\n".join([*parts, _stray_table(reports)])


def _agreement_table(rows: Sequence[Agreement], title: str) -> str:
    lines: list[list[Cell]] = []
    for name in dict.fromkeys(a.reference for a in rows):
        mine = [a for a in rows if a.reference == name]
        lines += [[a.run, name, *_numbers(a)] for a in mine]
        columns = list(zip(*map(_numbers, mine), strict=True))
        lines.append(["mean", name, *[sum(c) / len(c) for c in columns]])
        lines.append(["min", name, *[min(c) for c in columns]])
        lines.append(["max", name, *[max(c) for c in columns]])
    names = ["Dice", "signed mm", "mean mm", "95% mm", "ml", "ref ml", "missed ml"]
    return text_table(["run", title, *names], lines)


def _numbers(a: Agreement) -> list[float]:
    return [a.dice, a.signed_mm, a.mean_mm, a.p95_mm, a.ours_ml, a.reference_ml, a.missed_ml]


def _stray_table(reports: Sequence[RunReport]) -> str:
    rows: list[list[Cell]] = []
    for report in reports:
        for title, stray in (("largest", report.largest), ("deepest", report.deepest)):
            if stray is None:
                rows.append([report.run, title, "none", None, None, None, None])
                continue
            at = " ".join(f"{v:+d}" for v in stray.ras_mm)
            rows.append(
                [report.run, title, stray.kind, stray.depth_mm, stray.volume_ml, at, stray.where]
            )
    header = ["beyond all references", "place", "kind", "depth mm", "ml > 1 mm", "RAS mm", "where"]
    return text_table(header, rows)


def _verdict(reports: Sequence[RunReport], minimum: float, minimum_mean: float) -> int:
    low = [a for r in reports for a in r.agreements if a.dice < minimum]
    for a in low:
        print(f"{a.run}: Dice {a.dice:.3f} with {a.reference}, below {minimum:g}", file=sys.stderr)
    every = [a.dice for r in reports for a in r.agreements]
    mean = sum(every) / len(every) if every else 0.0
    if mean < minimum_mean:
        print(f"mean Dice {mean:.3f}, below {minimum_mean:g}", file=sys.stderr)
    return 1 if low or mean < minimum_mean else 0


if __name__ == "__main__":
    sys.exit(main())
