"""Run the App into a fresh folder and tell what it cost."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.outputs import find_results
from benchmarks.processes import cores, measure, succeeded


@dataclass(frozen=True, slots=True)
class Case:
    """One way to call the participant level.

    Attributes
    ----------
    part
        The table it belongs to.
    what
        The data, in a few words.
    bids_dir
        Where they lie.
    kinds
        What is written, in a few words.
    options
        What asks for that.
    workers, threads
        Runs at a time, and threads of each.
    """

    part: str
    what: str
    bids_dir: Path
    kinds: str
    options: tuple[str, ...]
    workers: int
    threads: int


@dataclass(frozen=True, slots=True)
class AppCost:
    """What a call took.

    Attributes
    ----------
    heads
        How many it did.
    elapsed_s
        The whole command.
    head_s
        Mean of a head, from disk to disk once the program and the network are up, as the records
        say.
    cpu_s
        Processor time of all its processes.
    use
        Processor time as a share of what all processors had to give meanwhile.
    peak_mb
        Most memory, of all its processes together.
    written_mb, read_mb
        Size of all that lies in OUTPUT_DIR at the end, and of the images that went in.
    load
        The machine's load average over the last minute, as the command began.
    stages
        Mean seconds of each stage.
    made_by
        Program and network.
    """

    heads: int
    elapsed_s: float
    head_s: float
    cpu_s: float
    use: float
    peak_mb: float
    written_mb: float
    read_mb: float
    load: float
    stages: dict[str, float] = field(default_factory=dict)
    made_by: str = ""


def cost_of(case: Case) -> AppCost:
    """Do a case once.

    Raises
    ------
    BenchmarkError
        If the App does not end well.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "bids_strip", str(case.bids_dir), str(out), "participant",
                   "--nprocs", str(case.workers), "--omp-nthreads", str(case.threads),
                   *case.options]  # fmt: skip
        measured = succeeded(measure(command), "bids_strip")
        results = find_results(out)
        records = [json.loads(r.sibling("qc.json").read_text(encoding="utf-8")) for r in results]
        written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return AppCost(
        heads=len(records),
        elapsed_s=measured.elapsed_s,
        head_s=sum(record["elapsed_s"] for record in records) / len(records),
        cpu_s=measured.cpu_s,
        use=measured.cpu_s / (measured.elapsed_s * cores()),
        peak_mb=measured.peak_mb,
        written_mb=written / 1e6,
        read_mb=sum(record["input"]["size"] for record in records) / 1e6,
        load=load,
        stages=_mean_stages(records),
        made_by=_made_by(records[0]),
    )


def fastest(case: Case, repeats: int) -> AppCost:
    """Do a case several times, and take the fastest: what else ran then cost it least."""
    return min((cost_of(case) for _ in range(repeats)), key=lambda cost: cost.elapsed_s)


def _mean_stages(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    stages = [r["stage_seconds"] for r in records if r.get("stage_seconds")]
    names = dict.fromkeys(name for s in stages for name in s)
    return {n: sum(float(s.get(n, 0.0)) for s in stages) / len(stages) for n in names}


def _made_by(record: dict[str, Any]) -> str:
    network = " ".join(str(record["network"].get(key, "")) for key in ("name", "version"))
    return f"{record['software']}, network {network}"
