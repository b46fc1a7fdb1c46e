"""Run a command and measure its time and memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outputs import BenchmarkError

_PROC = Path("/proc")
_SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took.

    Attributes
    ----------
    elapsed_s
        From start to end, seconds.
    peak_process_mb
        Largest resident memory of any single process of the tree, MB, as the kernel counts it.
    peak_tree_mb
        Largest sum over the tree, MB, sampled ten times a second; pages that processes share are
        counted for each. None where there is no /proc (macOS).
    code
        Exit code.
    output
        Standard output and error together.
    cpu_s
        Processor time of the process and of all that it waited for, seconds.
    """

    elapsed_s: float
    peak_process_mb: float
    peak_tree_mb: float | None
    code: int
    output: str
    cpu_s: float = 0.0

    @property
    def peak_mb(self) -> float:
        """The larger of the two peaks."""
        return max(self.peak_process_mb, self.peak_tree_mb or 0.0)


def measure(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command alone and wait for it.

    The kernel's peak also counts what the caller held when it started the process: keep the caller
    small (no numpy).

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    environment : mapping or None
        Variables to add.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        tree_mb = 0.0
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        while pid == 0:
            tree_mb = max(tree_mb, _tree_mb(process.pid))
            time.sleep(_SAMPLE_S if tree_mb else 0.01)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        elapsed_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    # kilobytes on Linux, bytes on macOS
    unit = 1e6 if os.uname().sysname == "Darwin" else 1e6 / 1024
    return Measured(
        elapsed_s=elapsed_s,
        peak_process_mb=usage.ru_maxrss / unit,
        peak_tree_mb=tree_mb or None,
        code=process.returncode,
        output=text,
        cpu_s=usage.ru_utime + usage.ru_stime,
    )


def succeeded(measured: Measured, name: str) -> Measured:
    """Pass on what ended well.

    Raises
    ------
    BenchmarkError
        If it did not; the message ends with its last line.
    """
    if measured.code != 0:
        last = (measured.output.strip().splitlines() or ["no output"])[-1]
        raise BenchmarkError(f"{name} ended with {measured.code}: {last}")
    return measured


def _tree_mb(root: int) -> float:
    """Resident memory of a process and all below it, MB; 0 without /proc."""
    children: dict[int, list[int]] = defaultdict(list)
    pages: dict[int, int] = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        children[int(fields[1])].append(int(folder.name))
        pages[int(folder.name)] = int(fields[21])
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        total += pages.get(pid, 0)
        waiting += children[pid]
    return total * os.sysconf("SC_PAGE_SIZE") / 1e6


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
