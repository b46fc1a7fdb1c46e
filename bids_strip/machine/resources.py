"""What this process may use: processors from the affinity mask and control groups, memory."""

from __future__ import annotations

import math
import os
import platform
import re
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_MEMBERSHIP = Path("/proc/self/cgroup")
MOST_THREADS = 8
"""More make one head hardly faster."""
RUN_GB = 2.0
"""Memory set aside for one run where its images say nothing."""


def available_cpus() -> int:
    """Processors this process may use: the affinity mask, less if a control group says so."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(count, quota)) if quota else count


def available_gb() -> float:
    """Memory that may still be taken, GB: on the machine, and within each control group.

    What can be had back at once counts as free: caches of files. Swap does not.
    """
    free = [_free_bytes(), *map(_group_bytes, _groups("")), *map(_group_bytes, _groups("memory"))]
    return min(free) / 1e9


def _free_bytes() -> float:
    """Of the machine: what Linux calls available, elsewhere all there is."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(_MEMINFO), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group_bytes(folder: Path) -> float:
    """Of a control group of either version: its limit less what it holds and cannot give back."""
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    if not limit.isdigit():
        return math.inf
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    # version 1 has the group's own, and with all below it, which the limit is on
    cached = re.findall(r"^(?:total_)?inactive_file (\d+)", _read(folder / "memory.stat"),
                        re.MULTILINE)  # fmt: skip
    held = int(used) - max(map(int, cached), default=0) if used.isdigit() else 0
    return max(0, int(limit) - max(0, held))


def share(
    *, nprocs: int | None, threads: int | None, mem_gb: float | None, runs: int,
    run_gb: float = RUN_GB,
) -> tuple[int, int]:  # fmt: skip
    """How many runs at a time, and threads for each.

    Parameters
    ----------
    nprocs, threads, mem_gb
        What the user gave; None chooses from what is available.
    runs
        How many there are to do.
    run_gb
        What one takes.

    Returns
    -------
    nprocs, threads
        At least 1 each. By default a run a processor, for most stages of one keep only one busy;
        never more runs than memory holds.
    """
    cpus = available_cpus()
    memory = mem_gb if mem_gb is not None else available_gb()
    fit = max(1, int(memory // run_gb))
    wanted = nprocs if nprocs is not None else max(1, cpus // (threads or 1))
    count = max(1, min(wanted, fit, max(runs, 1)))
    return count, threads or max(1, min(MOST_THREADS, cpus // count))


def granted() -> str:
    """What stands for the processors that this process may use: equal where they are the same."""
    if hasattr(os, "sched_getaffinity"):
        processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    else:
        processors = "all"
    group = _read(_MEMBERSHIP) if _cgroup_cpus() else ""
    return f"{platform.node()} {processors} {group}"


def _cgroup_cpus() -> int | None:
    """Processors the control groups grant, rounded up; None without a limit."""
    quotas = [_read(folder / "cpu.max").split() for folder in _groups("")]
    quotas += [
        [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        for folder in _groups("cpu")
    ]
    granted = [
        -(-int(pair[0]) // int(pair[1]))
        for pair in quotas
        if len(pair) == 2 and pair[0].isdigit() and pair[1].isdigit() and int(pair[1])
    ]
    return min(granted, default=None)


def _groups(controller: str) -> list[Path]:
    """The control group of this process, and all around it; the controller "" is version 2's own.

    In a container the group is the root of what is mounted; on a cluster's node it lies deeper.
    """
    root = _CGROUP / controller
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            group = root / path.strip("/")
            inside = [p for p in (group, *group.parents) if p.is_relative_to(root)]
            return inside or [root]
    return [root]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
