"""Time the embedded network alone, as the App opens it: one JSON line.

``python -m benchmarks.network [--threads N] [--side 128] [--repeats 5]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.processes import cores
from bids_strip.card import find_card
from bids_strip.errors import BidsStripError
from bids_strip.participant.predict import load_predictor


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times of a random head of the given side."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.network",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--side", type=int, default=128, help="voxels along each axis")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(argv)
    try:
        times = time_network(side=args.side, threads=args.threads, repeats=args.repeats)
    except BidsStripError as error:
        print(f"benchmarks.network: {error}", file=sys.stderr)
        return 1
    print(json.dumps(times))
    return 0


def time_network(*, side: int, threads: int, repeats: int) -> dict[str, float]:
    """Seconds to open the network, of its first run and the median of the further ones."""
    started = time.perf_counter()
    session = load_predictor(find_card(None), device="cpu", threads=threads).session
    opened_s = time.perf_counter() - started
    shape = (1, 1, side, side, side)
    feed = {
        session.get_inputs()[0].name: np.random.default_rng(0).random(shape, dtype=np.float32),
    }
    elapsed = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        session.run(None, feed)
        elapsed.append(time.perf_counter() - started)
    first, *others = elapsed
    return {"open_s": opened_s, "first_s": first, "seconds": statistics.median(others or [first])}


if __name__ == "__main__":
    sys.exit(main())
