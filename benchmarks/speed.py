"""The tables of speed in docs/MEASURED.md: from disk to disk, how it grows, others beside it.

``python -m benchmarks.speed BIDS_DIR [--peer DIR] [--check DIR] [--parts PART ...] [--json FILE]``

*head*: the first T1w of BIDS_DIR, interpolated onto 256^3 voxels of 1 mm. *dataset*: BIDS_DIR as it
is. Both with the mask alone and with everything and a template's space (TEMPLATEFLOW_HOME), on each
number of threads. *heads*: links to the heads of BIDS_DIR under many names. *workers*: the most
heads, one worker a processor. *voxels*: the same head on 256 mm of other voxels. *networks*: the
networks alone, and the programs of others. Every call is a process of its own, one after the other,
into a fresh folder. Exit 1 if a figure that is asked for is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from benchmarks.app import AppCost, Case, fastest
from benchmarks.asked import HEADER, Asked, asked_rows, at_least, at_most
from benchmarks.heads import SIDE_MM, first_heads, linked_dataset
from benchmarks.others import (
    MINDGRAB,
    OWN,
    OWN_HEAD,
    PLAIN,
    OtherCost,
    mindgrab,
    own_network,
    own_network_of_head,
    plain_way,
    programs,
)
from benchmarks.outputs import BenchmarkError
from benchmarks.processes import cores, measure, succeeded
from benchmarks.tables import Cell, markdown_table

PARTS = ("head", "dataset", "heads", "workers", "voxels", "networks")
MASK, ALL = "mask only", "everything, one template"
SPACE = "MNI152NLin2009cAsym:res-1"
LINKED = 8
"""Heads that the links of a large dataset lead to."""

MOST_MASK_S, MOST_MASK_MB = 2.0, 1000.0
MOST_ALL_S = 8.0
LEAST_USE = 0.9
LEAST_RATIO = 30.0
LEAST_NETWORK_RATIO = 80.0
MOST_OVER_PLAIN = 1.25
"""2 s is asked for where the plain way takes 1.6 s."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A case and what it took."""

    case: Case
    cost: AppCost


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that was measured.

    Attributes
    ----------
    machine
        Processors and memory, in words.
    load
        Load averages over the last minute, least and most as the calls began.
    timed
        The App.
    others
        Beside it.
    """

    machine: str
    load: tuple[float, float]
    timed: tuple[Timed, ...]
    others: tuple[OtherCost, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; return 1 if a part failed or a figure is missed."""
    args = _parser().parse_args(argv)
    try:
        figures = run_all(args)
    except BenchmarkError as error:
        print(f"benchmarks.speed: {error}", file=sys.stderr)
        return 1
    asked = asked_for(figures)
    print(render(figures, asked))
    if args.json:
        found = {**asdict(figures), "asked": [asdict(one) for one in asked]}
        args.json.write_text(json.dumps(found, indent=2, default=str) + "\n", encoding="utf-8")
    return 0 if all(one.met for one in asked) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help=f"of {', '.join(PARTS)} (default: all)")  # fmt: skip
    parser.add_argument("--threads", type=int, nargs="+", default=[1, cores()], metavar="N")
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 8, 64], metavar="N")
    parser.add_argument("--voxels", type=float, nargs="+", default=[2.0, 1.0, 0.7], metavar="MM")
    repeats = "of what is a single head; the fastest counts"
    parser.add_argument("--repeats", type=int, default=2, help=repeats)
    parser.add_argument("--space", default=SPACE, metavar="NAME", help="the template's space")
    peer = "folder of MindGrab's layers.json and model.pth (needs torch)"
    parser.add_argument("--peer", type=Path, metavar="DIR", help=peer)
    parser.add_argument("--peer-side", type=int, default=256, help="smaller, to try the code")
    turns = "of our network and MindGrab's, which are compared by their medians"
    parser.add_argument("--turns", type=int, default=3, help=turns)
    mask = "folder of MindGrab's masks, <dataset>_<run>_mask.nii.gz: Dice of the port"
    parser.add_argument("--check", type=Path, metavar="DIR", help=mask)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def run_all(args: argparse.Namespace) -> Figures:
    """Measure everything that was asked for.

    Raises
    ------
    BenchmarkError
        If a part fails; the message ends with its last line.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cases = list(cases_of(args, Path(temporary)))
        timed = tuple(Timed(case, fastest(case, args.repeats if _is_single(case) else 1))
                      for case in _told(cases))  # fmt: skip
        others = tuple(_others(args, Path(temporary))) if "networks" in args.parts else ()
    loads = [one.cost.load for one in timed] or [os.getloadavg()[0]]
    return Figures(machine(), (min(loads), max(loads)), timed, others)


def cases_of(args: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Make the data, and list the calls."""
    everything = ("--output-spaces", args.space, "--offline")
    kinds = ((MASK, ("--outputs", "mask")), (ALL, everything))
    most = max(args.threads)
    heads = first_heads(args.bids_dir, LINKED)
    if "head" in args.parts:
        raw = _cube_dataset(heads[0], folder, 1.0)
        yield from (Case("head", "a head of 256^3, 1 mm", raw, what, options, 1, threads)
                    for what, options in kinds for threads in args.threads)  # fmt: skip
    if "dataset" in args.parts:
        yield from (Case("dataset", args.bids_dir.resolve().name, args.bids_dir, what, options, 1,
                         threads) for what, options in kinds for threads in args.threads
                    )  # fmt: skip
    for count in args.heads if "heads" in args.parts else ():
        raw = linked_dataset(folder / f"heads-{count}", heads, count)
        yield Case("heads", _heads(count), raw, *kinds[0], 1, most)
    if "workers" in args.parts:
        count = max(args.heads)
        raw = linked_dataset(folder / "workers", heads, count)
        yield from (Case("workers", _heads(count), raw, what, options, cores(), 1)
                    for what, options in kinds)  # fmt: skip
    for zoom_mm in args.voxels if "voxels" in args.parts else ():
        side = round(SIDE_MM / zoom_mm)
        raw = _cube_dataset(heads[0], folder, zoom_mm)
        yield Case("voxels", f"{side}^3, {zoom_mm:g} mm", raw, *kinds[0], 1, most)


def _cube_dataset(head: Path, folder: Path, zoom_mm: float) -> Path:
    """A dataset of one head on a cube, made by a process of its own: this one stays small."""
    raw, cube = folder / f"cube-{zoom_mm:g}", _cube(folder, zoom_mm)
    if not raw.exists():
        command = ["benchmarks.heads", str(head), str(cube), "--zoom", str(zoom_mm)]
        succeeded(measure([sys.executable, "-m", *command]), command[0])
        linked_dataset(raw, [cube], 1)
    return raw


def _cube(folder: Path, zoom_mm: float) -> Path:
    return folder / f"cube-{zoom_mm:g}.nii.gz"


def _others(args: argparse.Namespace, folder: Path) -> Iterator[OtherCost]:
    head = first_heads(args.bids_dir, 1)[0]
    _cube_dataset(head, folder, 1.0)
    yield plain_way(_cube(folder, 1.0), max(args.threads))
    for _ in range(args.turns):
        yield own_network(max(args.threads))
        yield own_network_of_head(head, max(args.threads))
        if args.peer:
            run = head.name.split(".nii")[0]
            name = f"{args.bids_dir.resolve().name}_{run}_mask.nii.gz"
            mask = args.check / name if args.check else None
            yield mindgrab(args.peer, head, max(args.threads), mask=mask, side=args.peer_side)
    yield from programs(head)


def _told(cases: Sequence[Case]) -> Iterator[Case]:
    """Say on the terminal what runs now."""
    for number, case in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {case.part}: {case.what}, {case.kinds}, "
              f"{case.workers} x {case.threads} threads", file=sys.stderr, flush=True)  # fmt: skip
        yield case


def _is_single(case: Case) -> bool:
    return case.part in ("head", "voxels") or case.what == _heads(1)


def _heads(count: int) -> str:
    return f"{count} head{'' if count == 1 else 's'}"


def machine() -> str:
    """Processors and memory in words; no name."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return f"{cores()} processors ({model}), {memory:.0f} GB"


def asked_for(figures: Figures) -> list[Asked]:
    """Compare with what is asked of the App, as far as it was measured."""
    heads = [one for one in figures.timed if one.case.part == "head"]
    most = max((one.case.threads for one in heads), default=0)
    found: list[Asked] = []
    for one in heads:
        if one.case.threads == most:
            found += _asked_of_head(one, figures.others)
    for what in (OWN, OWN_HEAD):
        for own, peer in product(_median(figures.others, what), _median(figures.others, MINDGRAB)):
            found.append(at_least(f"{MINDGRAB} over {what}, times", peer / own,
                                  LEAST_NETWORK_RATIO))  # fmt: skip
    found += [at_least(f"{one.case.what}, {one.case.workers} workers, {one.case.kinds}: use of "
                       "the processors", one.cost.use, LEAST_USE)
              for one in figures.timed if one.case.part == "workers"]  # fmt: skip
    return found


def _asked_of_head(one: Timed, others: Sequence[OtherCost]) -> Iterator[Asked]:
    limit = MOST_MASK_S if one.case.kinds == MASK else MOST_ALL_S
    yield at_most(f"{one.case.kinds}, s after start-up", one.cost.head_s, limit)
    if one.case.kinds != MASK:
        return
    yield at_most(f"{MASK}, MB", one.cost.peak_mb, MOST_MASK_MB)
    for seconds in _median(others, PLAIN):
        ratio = one.cost.head_s / seconds
        yield at_most("the same over the plain way, times", ratio, MOST_OVER_PLAIN)
    for seconds in _median(others, MINDGRAB):
        what = f"{MINDGRAB} over the whole command, mask only, times"
        yield at_least(what, seconds / one.cost.elapsed_s, LEAST_RATIO)


def _median(others: Sequence[OtherCost], what: str) -> list[float]:
    """Seconds of one of that name, the median of its turns; nothing where it did not run."""
    turns = [one.seconds for one in others if one.seconds is not None and what in one.what]
    return [statistics.median(turns)] if turns else []


def render(figures: Figures, asked: Sequence[Asked]) -> str:
    """Lay out the figures as Markdown."""
    low, high = figures.load
    made_by = next((one.cost.made_by for one in figures.timed), "")
    told = f"load average as the calls began {low:.1f} to {high:.1f}"
    parts = ["; ".join(filter(None, (figures.machine, told, made_by)))]
    if figures.timed:
        header = ("what", "written", "workers x threads", "whole command, s", "a head, s",
                  "peak MB", "MB read", "MB written", "processors used, %")  # fmt: skip
        parts.append(markdown_table(header, [_row(one) for one in figures.timed]))
    heads = [one for one in figures.timed if one.case.part == "head"]
    if heads:
        parts.append(_stages(heads))
    if figures.others:
        rows: list[list[Cell]] = [[one.what, one.seconds, one.peak_mb, one.note]
                                  for one in figures.others]  # fmt: skip
        parts.append(markdown_table(("others, a head", "seconds", "peak MB", ""), rows))
    if asked:
        parts.append(markdown_table(HEADER, asked_rows(asked)))
    return "\n\n".join(parts)


def _row(one: Timed) -> list[Cell]:
    case, cost = one.case, one.cost
    return [case.what, case.kinds, f"{case.workers} x {case.threads}", round(cost.elapsed_s, 2),
            round(cost.head_s, 2), f"{cost.peak_mb:.0f}", round(cost.read_mb, 1),
            round(cost.written_mb, 1), f"{100 * cost.use:.0f}"]  # fmt: skip


def _stages(heads: Sequence[Timed]) -> str:
    """Seconds of each stage of the head, a column a call."""
    names = dict.fromkeys(name for one in heads for name in one.cost.stages)
    header = ("stage, s", *(f"{one.case.kinds}, {one.case.threads} threads" for one in heads))
    rows: list[list[Cell]] = [[name, *(one.cost.stages.get(name) for one in heads)]
                              for name in names]  # fmt: skip
    return markdown_table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
