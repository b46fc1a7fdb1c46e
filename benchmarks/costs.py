"""What the runs of an OUTPUT_DIR cost: seconds by stage, memory, bytes beside the input's.

``python -m benchmarks.costs OUTPUT_DIR``

Read from the records; seconds are those of the machine that ran it, with whatever else ran there.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.outputs import BenchmarkError, find_results
from bids_strip.record import Record, read_record


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if there is nothing to read."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.costs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path)
    args = parser.parse_args(argv)
    try:
        results = find_results(args.output_dir)
    except BenchmarkError as error:
        print(f"benchmarks.costs: {error}", file=sys.stderr)
        return 1
    found = [read_record(result.sibling("qc.json")) for result in results]
    for line in lines([record for record in found if record is not None]):
        print(line)
    return 0


def lines(records: Sequence[Record]) -> list[str]:
    """The table: medians over runs, and the most."""
    stages: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        for stage, seconds in record.stage_seconds.items():
            stages[stage].append(seconds)
    said = [f"{len(records)} runs"]
    said += [f"{stage:12} {_both(values)} s" for stage, values in stages.items()]
    said.append(f"{'in all':12} {_both([r.elapsed_s or 0.0 for r in records])} s")
    said.append(f"{'peak memory':12} {_both([r.peak_memory_mb or 0.0 for r in records], 0)} MB")
    for where, inside in (("own grid", False), ("templates", True)):
        shares = [share_of_input(record, in_spaces=inside) for record in records]
        if any(shares):
            said.append(f"{where:12} {_both(shares)} times the input's bytes")
    return said


def share_of_input(record: Record, *, in_spaces: bool) -> float:
    """Bytes of a run's outputs over the bytes of its input, on its own grid or in templates."""
    if record.input is None:
        return 0.0
    sizes = [o.size for o in record.outputs if ("_space-" in o.name) == in_spaces]
    return sum(sizes) / record.input.size


def _both(values: Sequence[float], digits: int = 2) -> str:
    return f"{np.median(values):8.{digits}f} (at most {max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
