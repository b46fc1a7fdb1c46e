"""Processors and memory: affinity, control groups of both versions, shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bids_strip.machine import resources
from bids_strip.machine.resources import available_cpus, available_gb, granted, share


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty control group, on a machine with 16 processors and 64 GB."""
    monkeypatch.setattr(resources, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(resources, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    names = {"SC_PHYS_PAGES": 64_000_000_000 // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", names.__getitem__)
    return tmp_path / "cgroup"


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_no_limits(cgroup: Path) -> None:
    assert available_cpus() == 16
    assert available_gb() == pytest.approx(64)


def test_affinity(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert available_cpus() == 2


def test_a_system_without_affinity(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert available_cpus() == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", 16), ("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1),
     ("9900000 100000\n", 16), ("", 16), ("garbage", 16)],
)  # fmt: skip
def test_quota_version_2(cgroup: Path, text: str, expected: int) -> None:
    put(cgroup, "cpu.max", text)
    assert available_cpus() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("300000", 3), ("250000", 3)])
def test_quota_version_1(cgroup: Path, quota: str, expected: int) -> None:
    put(cgroup, "cpu/cpu.cfs_quota_us", quota)
    put(cgroup, "cpu/cpu.cfs_period_us", "100000")
    assert available_cpus() == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("memory.max", "8000000000\n", 8), ("memory.max", "max\n", 64),
     ("memory/memory.limit_in_bytes", "4000000000", 4),
     ("memory/memory.limit_in_bytes", "9223372036854771712", 64)],
)  # fmt: skip
def test_memory(cgroup: Path, name: str, text: str, expected: float) -> None:
    put(cgroup, name, text)
    assert available_gb() == pytest.approx(expected)


def test_what_others_hold_is_not_free(cgroup: Path) -> None:
    text = "MemTotal: 62500000 kB\nMemFree: 1000 kB\nMemAvailable: 20000000 kB\n"
    put(cgroup.parent, "meminfo", text)
    assert available_gb() == pytest.approx(20.48)


@pytest.mark.parametrize(
    ("limit", "held", "cached", "expected"),
    [("8000000000", "3000000000", "1000000000", 6), ("8000000000", "9000000000", "0", 0),
     ("max", "3000000000", "0", 64), ("8000000000", "100", "500", 8)],
)  # fmt: skip
def test_what_a_group_holds_is_not_free_but_its_caches_are(
    cgroup: Path, limit: str, held: str, cached: str, expected: float
) -> None:
    put(cgroup, "memory.max", limit)
    put(cgroup, "memory.current", held)
    put(cgroup, "memory.stat", f"anon 5\nfile 7\ninactive_file {cached}\nactive_file 9\n")
    assert available_gb() == pytest.approx(expected)


def test_what_a_group_of_version_1_holds(cgroup: Path) -> None:
    put(cgroup, "memory/memory.limit_in_bytes", "4000000000")
    put(cgroup, "memory/memory.usage_in_bytes", "3000000000")
    put(cgroup, "memory/memory.stat", "cache 9\ninactive_file 1\ntotal_inactive_file 2000000000\n")
    assert available_gb() == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "runs", "expected"),
    [
        # 16 processors, 64 GB: one a run
        ({}, 100, (16, 1)),
        ({}, 1, (1, 8)),
        ({}, 2, (2, 8)),
        ({}, 0, (1, 8)),
        ({"nprocs": 8}, 100, (8, 2)),
        ({"nprocs": 1}, 100, (1, 8)),
        ({"threads": 2}, 100, (8, 2)),
        ({"threads": 16}, 100, (1, 16)),
        ({"nprocs": 3, "threads": 5}, 100, (3, 5)),
        ({"nprocs": 8}, 3, (3, 5)),
        # two GB a run
        ({"mem_gb": 4.5}, 100, (2, 8)),
        ({"mem_gb": 0.5}, 100, (1, 8)),
        ({"nprocs": 8, "mem_gb": 6}, 100, (3, 5)),
    ],
)
def test_shares(cgroup: Path, asked: dict, runs: int, expected: tuple[int, int]) -> None:
    given = {"nprocs": None, "threads": None, "mem_gb": None, **asked}
    assert share(**given, runs=runs) == expected


def test_memory_of_the_control_group_bounds_the_runs(cgroup: Path) -> None:
    put(cgroup, "memory.max", "5000000000")
    assert share(nprocs=None, threads=None, mem_gb=None, runs=100) == (2, 8)


@pytest.mark.parametrize(
    ("membership", "place"),
    [("0::/slurm/job_7/step_0\n", "slurm/job_7"), ("0::/slurm/job_7\n", "slurm/job_7"),
     ("0::/../other\n", "")],
)  # fmt: skip
def test_a_job_has_the_limits_of_its_own_group(cgroup: Path, membership: str, place: str) -> None:
    (cgroup.parent / "membership").write_text(membership)
    put(cgroup / place, "cpu.max", "400000 100000")
    put(cgroup / place, "memory.max", "6000000000")
    assert available_cpus() == 4
    assert available_gb() == pytest.approx(6)


def test_a_job_of_version_1(cgroup: Path) -> None:
    (cgroup.parent / "membership").write_text("4:cpu,cpuacct:/job\n5:memory:/job\n")
    put(cgroup, "cpu/job/cpu.cfs_quota_us", "500000")
    put(cgroup, "cpu/job/cpu.cfs_period_us", "100000")
    put(cgroup, "memory/job/memory.limit_in_bytes", "3000000000")
    assert available_cpus() == 5
    assert available_gb() == pytest.approx(3)


def test_what_is_granted_tells_processors_apart(cgroup: Path, monkeypatch) -> None:
    """Workers of one machine: the same processors, others, or a quota of their own."""
    everything = granted()
    assert granted() == everything
    put(cgroup, "cpu.max", "200000 100000\n")
    put(cgroup.parent, "membership", "0::/job1\n")
    first = granted()
    put(cgroup.parent, "membership", "0::/job2\n")
    assert len({everything, first, granted()}) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert granted() != first
