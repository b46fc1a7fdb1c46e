"""Runs on a Dask cluster of this machine while a worker is killed: all done, none twice.

``python -m benchmarks.cluster BIDS_DIR [--workers 3] [--keep OUT]``

Starts a scheduler and worker processes without nannies (one that dies stays dead), calls the
command with ``--dask-scheduler``, kills a worker with SIGKILL when the first run has ended and that
worker is in the middle of another, and counts: records, lines of the log, attempts. Exit 1 unless
every run is done once and the one of the dead worker was tried again. Needs the extra ``dask``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

_START_S = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the case; return 1 if a run is missing or was done twice."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="OUTPUT_DIR to keep (default: removed)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        out = args.keep or Path(folder) / "out"
        address = stack.enter_context(scheduler(Path(folder)))
        workers = [stack.enter_context(worker(Path(folder), address)) for _ in range(args.workers)]
        started = time.perf_counter()
        call = subprocess.Popen(
            [sys.executable, "-m", "bids_strip", str(args.bids_dir), str(out), "participant",
             "--dask-scheduler", address]
        )  # fmt: skip
        traces = watch_and_kill(call, out, workers[0])
        print(f"\n{time.perf_counter() - started:.0f} s, exit {call.returncode}")
        return 0 if call.returncode == 0 and report(out, traces) else 1


@contextlib.contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """A scheduler; gives its address."""
    file = folder / "scheduler.json"
    with _process(folder, "dask_scheduler", "--port", "0", "--scheduler-file", str(file)):
        until = time.monotonic() + _START_S
        while not file.exists():
            if time.monotonic() > until:
                raise TimeoutError(f"no scheduler in {_START_S:.0f} s")
            time.sleep(0.1)
        yield str(json.loads(file.read_text(encoding="utf-8"))["address"])


@contextlib.contextmanager
def worker(folder: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that does one run at a time."""
    with _process(
        folder, "dask_worker", address, "--nthreads", "1", "--no-nanny", "--local-directory",
        str(folder),
    ) as process:  # fmt: skip
        yield process


@contextlib.contextmanager
def _process(folder: Path, module: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask, ended with the block; its messages go to a file."""
    command = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1"]
    with (folder / "messages").open("ab") as messages:
        process = subprocess.Popen(
            [*command, "--no-dashboard", *options], stdout=messages, stderr=messages,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def watch_and_kill(
    call: subprocess.Popen[bytes], out: Path, victim: subprocess.Popen[bytes]
) -> set[str]:
    """Kill a worker when a run has ended; give the traces of all attempts that were seen."""
    traces: set[str] = set()
    while call.poll() is None:
        traces |= {p.name for p in out.glob(".work/*/*.begun-*")}
        ended = list(out.glob(".work/*/*.ended-1"))
        if ended and victim.poll() is None:
            victim.kill()
            victim.wait()
            print(f"killed worker {victim.pid}; {len(ended)} runs had ended")
        time.sleep(0.02)
    return traces


def report(out: Path, traces: set[str]) -> bool:
    """Print what came of the runs; True if each is done once and one was tried again."""
    records = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(out.rglob("*_qc.json"))]
    done = [r["bids_name"] for r in records if r["status"] == "ok"]
    log = "".join(p.read_text(encoding="utf-8") for p in (out / "logs").glob("*.log"))
    said = Counter({name: log.count(f"] {name}: ") for name in done})
    again = sorted(t.split(".begun-")[0] for t in traces if t.endswith(".begun-2"))
    print(f"records: {len(done)} of {len(records)} ok; tried again: {', '.join(again) or 'none'}")
    print(f"said done once: {sum(n == 1 for n in said.values())} of {len(said)}")
    return len(done) == len(records) and set(said.values()) == {1} and len(again) == 1


if __name__ == "__main__":
    sys.exit(main())
