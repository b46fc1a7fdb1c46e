"""How far a border moves the surface of real heads, and what changing it costs.

``python -m benchmarks.border BIDS_DIR [--border MM ...] [--participant-label L ...]``

Runs the App without a border, then once for each border into the same OUTPUT_DIR, so that the
stored distances are read and the network stays closed. The shift is measured on the masks alone:
signed distance of the new surface's points to the surface of the first mask, in the mean; where the
field of view cuts the brain there is no surface. Exit 1 if a head's shift is over .2 mm from the
border.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.images import read_mask
from benchmarks.outputs import BenchmarkError, find_results
from benchmarks.overlap import common_box, signed_distances, surface_of
from benchmarks.processes import measure
from benchmarks.tables import text_table
from bids_strip.domain import Bool3, Zooms

TOLERANCE_MM = 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table; return 1 if a surface is not where it should be."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.border",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--border", type=float, nargs="+", default=[3.0, -2.0], metavar="MM")
    parser.add_argument("--participant-label", nargs="+", default=[], metavar="LABEL")
    args = parser.parse_args(argv)
    labels = ["--participant-label", *args.participant_label] if args.participant_label else []
    rows: list[tuple[str, float, float, float, float]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            _strip(args.bids_dir, out, labels, 0.0)
            first = {r.name: read_mask(r.mask) for r in find_results(out)}
            for border_mm in args.border:
                _strip(args.bids_dir, out, labels, border_mm)
                for result in find_results(out):
                    was, now = first[result.name], read_mask(result.mask)
                    seconds, metric = _cost(result.sibling("qc.json"))
                    moved = shift_mm(was.data, now.data, zooms=was.grid.zooms)
                    rows.append((result.name, border_mm, moved, metric, seconds))
    except BenchmarkError as error:
        print(f"benchmarks.border: {error}", file=sys.stderr)
        return 1
    print(text_table(("run", "border mm", "moved mm", "volume ml", "seconds"), rows))
    moved_mm = np.array([(border, moved) for _, border, moved, _, _ in rows])
    for border_mm in args.border:
        found = moved_mm[moved_mm[:, 0] == border_mm, 1]
        print(f"border {border_mm:g} mm: {found.mean():.3f} mm in the mean, "
              f"{found.min():.3f} to {found.max():.3f}")  # fmt: skip
    return int(np.abs(moved_mm[:, 0] - moved_mm[:, 1]).max() > TOLERANCE_MM)


def shift_mm(first: Bool3, second: Bool3, *, zooms: Zooms) -> float:
    """How far the second mask's surface lies outside the first's, in the mean over its area, mm."""
    box = common_box([first, second], zooms=zooms)
    was, now = (surface_of(mask[box], zooms=zooms) for mask in (first, second))
    distances = signed_distances(was, now.points)
    return float(np.average(distances, weights=now.areas_mm2))


def _strip(bids_dir: Path, out: Path, labels: Sequence[str], border_mm: float) -> None:
    """Run the App.

    Raises
    ------
    BenchmarkError
        If it fails.
    """
    done = measure([sys.executable, "-m", "bids_strip", str(bids_dir), str(out), "participant",
                    "--border", f"{border_mm:g}", *labels])  # fmt: skip
    if done.code != 0:
        raise BenchmarkError(done.output.strip().splitlines()[-1])


def _cost(record: Path) -> tuple[float, float]:
    """Seconds and volume in the record of a run that must not have opened the network.

    Raises
    ------
    BenchmarkError
        If it did.
    """
    found = json.loads(record.read_text(encoding="utf-8"))
    if "predict" in found["stage_seconds"]:
        raise BenchmarkError(f"{record}: the network was opened for a border")
    return found["elapsed_s"], found["metrics"]["brain_volume_ml"]


if __name__ == "__main__":
    sys.exit(main())
