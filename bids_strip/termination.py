"""SIGTERM: the call ends itself in order, and within seconds though a library be slow to return."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bids_strip.errors import ExitCode

MESSAGE = "terminated; runs that were done stay done"
GRACE_S = 7.0
"""How long the orderly way may take: schedulers send SIGKILL some ten seconds after SIGTERM."""


class Terminated(BaseException):
    """SIGTERM came."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` for the time of a block."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: let the clean-up finish
        raise Terminated

    try:
        before: Any = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: the caller's own handling stays
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def overdue(folders: Sequence[Path], *, grace_s: float = GRACE_S) -> Iterator[None]:
    """End the process when a block has not ended some seconds after SIGTERM.

    Python calls a signal's handler between two of its own instructions: a network or a filter that
    computes for a minute would keep it waiting. The interpreter's C handler writes to a socket at
    once, and a thread reads that.

    Parameters
    ----------
    folders
        To remove then.
    grace_s
        How long the block may take to end.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    try:
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    except ValueError:  # not the main thread
        reader.close()
        writer.close()
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        with reader:
            while received := reader.recv(1):
                if received[0] == signal.SIGTERM and not ended.wait(grace_s):
                    _end(folders)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        writer.close()


def _end(folders: Sequence[Path]) -> None:
    """Remove what is not finished and be gone."""
    for child in multiprocessing.active_children():
        child.kill()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()
    print(f"bids_strip: {MESSAGE}", file=sys.stderr, flush=True)
    os._exit(ExitCode.TERMINATED)
