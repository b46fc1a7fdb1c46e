"""What this process may use: processors from the affinity mask and the control group, memory."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MOST_THREADS = 8
RUN_GB = 2.0
"""Memory set aside for one run."""


def available_cpus() -> int:
    """Processors this process may use: the affinity mask, less if the control group says so."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(count, quota)) if quota else count


def available_gb() -> float:
    """Memory this process may use, GB: of the machine, less if the control group says so."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [total]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(_CGROUP / name)
        if text.isdigit():
            limits.append(int(text))
    return min(limits) / 1e9


def share(
    *, nprocs: int | None, threads: int | None, mem_gb: float | None, runs: int
) -> tuple[int, int]:
    """How many runs at a time, and threads for each.

    Parameters
    ----------
    nprocs, threads, mem_gb
        What the user gave; None chooses from what is available.
    runs
        How many there are to do.

    Returns
    -------
    nprocs, threads
        At least 1 each. By default four processors a run; never more runs than memory holds.
    """
    cpus = available_cpus()
    memory = mem_gb if mem_gb is not None else available_gb()
    fit = max(1, int(memory // RUN_GB))
    wanted = nprocs if nprocs is not None else max(1, cpus // (threads or 4))
    count = max(1, min(wanted, fit, max(runs, 1)))
    return count, threads or max(1, min(_MOST_THREADS, cpus // count))


def _cgroup_cpus() -> int | None:
    """Processors the control group grants, rounded up; None without a limit."""
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if not quota:
        quota = _read(_CGROUP / "cpu/cpu.cfs_quota_us")
        period = _read(_CGROUP / "cpu/cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit():
        return None
    return -(-int(quota) // int(period))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
