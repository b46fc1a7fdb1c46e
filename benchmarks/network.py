"""Time the embedded network alone, as the App opens and runs it: one JSON line.

``python -m benchmarks.network [--threads N] [--side 128 | --head FILE] [--repeats 5] [--memory M]``
``python -m benchmarks.network --choices``

The input is a cube of random numbers, or a head as the App conforms it (not timed). ``--memory``
changes what the App chooses of onnxruntime's memory; ``--choices`` runs all of them, each in a
process of its own, and prints a table of time and memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import cores, measure
from bids_strip.card import Card, find_card
from bids_strip.domain import Float3
from bids_strip.errors import BidsStripError
from bids_strip.participant.conform import conform
from bids_strip.participant.load import load
from bids_strip.participant.predict import CPU, cpu_options, cpu_run_options, session_options

MEMORY = ("app", "arena-kept", "no-arena", "pattern")
"""The App's arena, which is emptied after each run; the same, kept; none; none, but a pattern of
memory (what the App chose before it had an arena)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times of an input."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.network",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--side", type=int, default=128, help="voxels along each axis")
    parser.add_argument("--head", type=Path, metavar="FILE", help="a head instead of a cube")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", choices=MEMORY, default="app")
    parser.add_argument("--choices", action="store_true", help="all of them, as a table")
    args = parser.parse_args(argv)
    if args.choices:
        head = ["--head", str(args.head)] if args.head else []
        return _compare(["--threads", str(args.threads), "--side", str(args.side),
                         "--repeats", str(args.repeats), *head])  # fmt: skip
    try:
        card = find_card(None)
        times = time_network(
            _head(args.head, card) if args.head else _cube(args.side),
            card, threads=args.threads, repeats=args.repeats, memory=args.memory,
        )  # fmt: skip
    except BidsStripError as error:
        print(f"benchmarks.network: {error}", file=sys.stderr)
        return 1
    print(json.dumps(times))
    return 0


def _cube(side: int) -> Float3:
    """(side, side, side) random numbers."""
    return np.random.default_rng(0).random((side, side, side), dtype=np.float32)


def _head(path: Path, card: Card) -> Float3:
    """A head as the App gives it to the network."""
    return conform(load(path).volume, card).data


def time_network(
    data: Float3, card: Card, *, threads: int, repeats: int, memory: str = "app"
) -> dict[str, Any]:
    """Time the network on an input.

    Parameters
    ----------
    data : (I, J, K) float32
        The input; sides as the card wants them.
    card
        Of the network.
    threads
        Of onnxruntime.
    repeats
        Runs after the first.
    memory
        Of `MEMORY`.

    Returns
    -------
    dict
        The input's shape; seconds to open the network, of its first run and the median of the
        further ones; seconds of processor time of one of them; the most memory of the process, MB.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options, run_options = options_of(memory, ort, threads)
    started = time.perf_counter()
    session = ort.InferenceSession(str(card.path), options, providers=[CPU])
    opened_s = time.perf_counter() - started
    feed = {session.get_inputs()[0].name: data[None, None]}
    elapsed = []
    used = time.process_time()
    for _ in range(repeats + 1):
        started = time.perf_counter()
        session.run(None, feed, run_options)
        elapsed.append(time.perf_counter() - started)
    used = time.process_time() - used
    first, *others = elapsed
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    return {
        "shape": data.shape,
        "open_s": opened_s,
        "first_s": first,
        "seconds": statistics.median(others or [first]),
        "processor_s": used / len(elapsed),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }


def options_of(memory: str, ort: Any, threads: int) -> tuple[Any, Any]:
    """Options of the session and of a run for one of `MEMORY`."""
    if memory in ("app", "arena-kept"):
        run_options = cpu_run_options(ort) if memory == "app" else None
        return cpu_options(ort, threads=threads), run_options
    options = session_options(ort, threads=threads)
    options.enable_mem_pattern = memory == "pattern"
    return options, None


def _compare(options: list[str]) -> int:
    """Each choice in a process of its own."""
    print(f"{'memory':12}{'first s':>9}{'s':>7}{'processor s':>13}{'peak MB':>9}")
    for choice in MEMORY:
        command = [sys.executable, "-m", "benchmarks.network", *options, "--memory", choice]
        done = measure(command)
        if done.code:
            print(done.output.strip(), file=sys.stderr)
            return 1
        found = json.loads(done.output.strip().splitlines()[-1])
        print(f"{choice:12}{found['first_s']:9.2f}{found['seconds']:7.2f}"
              f"{found['processor_s']:13.2f}{found['peak_mb']:9.0f}", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
