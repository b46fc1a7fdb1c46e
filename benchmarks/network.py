"""Time the embedded network alone, as the App opens it: one JSON line.

``python -m benchmarks.network [--threads N] [--side 128] [--repeats 5] [--arena] [--no-pattern]``
``python -m benchmarks.network --choices``

``--arena`` and ``--no-pattern`` change what the App chooses of onnxruntime's memory options;
``--choices`` runs all four, each in a process of its own, and prints a table of time and memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.processes import cores, measure
from bids_strip.card import find_card
from bids_strip.errors import BidsStripError
from bids_strip.participant.predict import CPU, session_options

CHOICES: tuple[tuple[str, ...], ...] = ((), ("--no-pattern",), ("--arena",),
                                        ("--arena", "--no-pattern"))  # fmt: skip


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
    parser.add_argument("--arena", action="store_true", help="with the memory arena")
    parser.add_argument("--no-pattern", action="store_true", help="without memory patterns")
    parser.add_argument("--choices", action="store_true", help="all four, as a table")
    args = parser.parse_args(argv)
    if args.choices:
        return _compare(["--threads", str(args.threads), "--side", str(args.side),
                         "--repeats", str(args.repeats)])  # fmt: skip
    try:
        times = time_network(
            side=args.side, threads=args.threads, repeats=args.repeats, arena=args.arena,
            pattern=not args.no_pattern,
        )  # fmt: skip
    except BidsStripError as error:
        print(f"benchmarks.network: {error}", file=sys.stderr)
        return 1
    print(json.dumps(times))
    return 0


def time_network(
    *, side: int, threads: int, repeats: int, arena: bool = False, pattern: bool = True
) -> dict[str, float]:
    """Time the network on random numbers.

    Returns
    -------
    dict
        Seconds to open the network, of its first run and the median of the further ones; seconds
        of processor time of one of them; the most memory of the process, MB.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    options = session_options(ort, threads=threads)
    options.enable_cpu_mem_arena = arena
    options.enable_mem_pattern = pattern
    started = time.perf_counter()
    session = ort.InferenceSession(str(find_card(None).path), options, providers=[CPU])
    opened_s = time.perf_counter() - started
    shape = (1, 1, side, side, side)
    feed = {
        session.get_inputs()[0].name: np.random.default_rng(0).random(shape, dtype=np.float32),
    }
    elapsed = []
    used = time.process_time()
    for _ in range(repeats + 1):
        started = time.perf_counter()
        session.run(None, feed)
        elapsed.append(time.perf_counter() - started)
    used = time.process_time() - used
    first, *others = elapsed
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    return {
        "open_s": opened_s,
        "first_s": first,
        "seconds": statistics.median(others or [first]),
        "processor_s": used / len(elapsed),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }


def _compare(options: list[str]) -> int:
    """Each choice in a process of its own."""
    print(f"{'arena':8}{'pattern':9}{'s':>7}{'processor s':>13}{'peak MB':>9}")
    for choice in CHOICES:
        done = measure([sys.executable, "-m", "benchmarks.network", *options, *choice])
        if done.code:
            print(done.output.strip(), file=sys.stderr)
            return 1
        found = json.loads(done.output.strip().splitlines()[-1])
        arena = "yes" if "--arena" in choice else "no"
        pattern = "no" if "--no-pattern" in choice else "yes"
        print(f"{arena:8}{pattern:9}{found['seconds']:7.2f}{found['processor_s']:13.2f}"
              f"{found['peak_mb']:9.0f}", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
