"""What a run costs that is done already.

``python -m benchmarks.resume [--runs 2000] [--json FILE]``

Does one small drawn head, makes as many finished participants of it (links to its files, a record
of its own with every metric), then times a whole call that skips them all, and the same of one.
Exit 1 if a run is not skipped or costs 10 ms or more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kills import Program, drawn_program
from benchmarks.processes import measure
from benchmarks.tables import text_table
from bids_strip.metrics import METRICS

MOST_MS = 10.0
FIRST = "sub-01"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times; return 1 beyond the bound."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.resume",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=2000, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, out = drawn_program(folder, subjects=1), folder / "out"
        kinds = ("--outputs", "mask", "sdt", "brain", "preproc", "dseg")
        code, said = program.finish(out, *kinds)
        if code:
            print(said, file=sys.stderr)
            return 1
        for number in range(2, args.runs + 1):
            copy_run(program, out, f"sub-{number:05d}")
        first = (*kinds, "--participant-label", "01")
        one, one_cpu, skipped_one = _seconds(program, out, *first, runs=1)
        every, every_cpu, skipped = _seconds(program, out, *kinds, runs=args.runs)
    each_ms = 1000 * every / args.runs
    rows = [[1, one, one_cpu, 1000 * one], [args.runs, every, every_cpu, each_ms]]
    print(text_table(["skipped runs", "seconds", "processor seconds", "ms each"], rows))
    if args.json:
        figures = {"runs": args.runs, "one_s": one, "all_s": every, "each_ms": each_ms,
                   "all_processor_s": every_cpu}  # fmt: skip
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if skipped_one and skipped and each_ms < MOST_MS else 1


def copy_run(program: Program, out: Path, subject: str) -> None:
    """Make another finished participant of the first."""
    for root in (program.raw, out):
        (root / subject / "anat").mkdir(parents=True)
        for path in (root / FIRST / "anat").iterdir():
            other = root / subject / "anat" / path.name.replace(FIRST, subject)
            if not path.name.endswith("_qc.json"):
                os.link(path, other)
                continue
            record = json.loads(path.read_text(encoding="utf-8").replace(FIRST, subject))
            record["metrics"] = {metric.key: 1.0 for metric in METRICS} | record["metrics"]
            other.write_text(json.dumps(record, indent=2), encoding="utf-8")


def _seconds(program: Program, out: Path, *options: str, runs: int) -> tuple[float, float, bool]:
    """Seconds of a call, those of the processor, and whether it skipped so many runs, no more."""
    command = [sys.executable, "-m", "bids_strip", str(program.raw), str(out), "participant",
               *program.options, *options]  # fmt: skip
    before = _processor_s()
    done = measure(command)
    last = done.output.strip().splitlines()[-1]
    skipped = done.code == 0 and last.startswith(f"0 done, {runs} skipped, 0 failed")
    return done.elapsed_s, _processor_s() - before, skipped


def _processor_s() -> float:
    """What processes that have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
