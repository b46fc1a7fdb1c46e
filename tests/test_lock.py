"""One holder at a time, and what is no holder."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bids_strip.output.lock import _taken, locked, sweep

ROOT = Path(__file__).parents[1]


def test_a_lock_has_one_holder_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x" / "run.lock"
    order: list[str] = []

    def second() -> None:
        with locked(path, wait_s=10) as alone:
            order.append(f"second {alone}")

    with locked(path, wait_s=0) as alone:
        assert alone
        with locked(path, wait_s=0) as again:
            assert not again
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second True"]
    assert not path.exists()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    code = (
        "import sys, time; from pathlib import Path; from bids_strip.output.lock import locked\n"
        "with locked(Path(sys.argv[1]), wait_s=0): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    sweep(tmp_path)
    assert path.exists()
    holder.kill()
    holder.communicate()
    sweep(tmp_path)
    assert not path.exists()


def test_a_file_that_cannot_be_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no locking then: the block goes on without."""
    stat = Path.stat

    def refused(path: Path, **how: bool):
        if path.suffix == ".lock":
            raise PermissionError(13, "Permission denied")
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refused)
    begun = time.monotonic()
    with locked(tmp_path / "run.lock", wait_s=5) as alone:
        assert alone
    assert time.monotonic() - begun < 2


def test_a_lock_on_a_file_that_was_replaced_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removed it and another made it anew between our opening and locking it."""
    path = tmp_path / "run.lock"
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        (tmp_path / "new").touch()  # while the old one exists: another inode
        (tmp_path / "new").replace(path)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert _taken(path) is None
    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(path, wait_s=0) as alone:  # and nothing is held
        assert alone
