"""What this process may use: processors from the affinity mask and control groups, memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
MOST_THREADS = 8
"""More make one head hardly faster."""
RUN_GB = 2.0
"""Memory set aside for one run."""


def available_cpus() -> int:
    """Processors this process may use: the affinity mask, less if a control group says so."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(count, quota)) if quota else count


def available_gb() -> float:
    """Memory this process may use, GB: of the machine, less if a control group says so."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in (*_groups(""), *_groups("memory")):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name)
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
