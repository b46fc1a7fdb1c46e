"""One at a time, among all processes that share a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_S = 0.1
_NONE = -1
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
"""What a kernel says of a lock that another holds; some servers say the second."""


@contextlib.contextmanager
def locked(path: Path, *, wait_s: float) -> Iterator[bool]:
    """Hold a lock for the time of a block.

    The kernel lets go of it when its process ends, however that goes, so that a killed one leaves
    none behind; over NFS the server does. Where no lock can be had for another reason than a
    holder (a full disk, a file system that knows none) the block goes on without.

    Parameters
    ----------
    path
        A file to lock; made if need be, removed by its holder.
    wait_s
        How long to wait for another holder.

    Yields
    ------
    bool
        False if another holds it all the time.
    """
    until = time.monotonic() + wait_s
    while (descriptor := _taken(path)) is None and time.monotonic() < until:
        time.sleep(_LOOK_S)
    try:
        yield descriptor is not None
    finally:
        if descriptor not in (None, _NONE):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # before it is free: who waits sees that it went
            os.close(descriptor)


def _taken(path: Path) -> int | None:
    """A descriptor that holds the lock; `_NONE` if there is no locking, None if it is held."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return _NONE
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        return None if error.errno in _HELD else _NONE
    try:
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        found = None
    except FileNotFoundError:  # gone with its holder
        found = None
    except OSError:
        found = _NONE
    os.close(descriptor)
    return found


def sweep(folder: Path) -> None:
    """Remove the files of locks that nobody holds: processes that were killed left them."""
    for path in folder.glob("*.lock"):
        with locked(path, wait_s=0.0):
            pass
