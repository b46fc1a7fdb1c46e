"""What a file was when it was read, and whether it still is."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from bids_strip.dataset.content import describe_missing
from bids_strip.domain import Run


@dataclass(frozen=True, slots=True)
class InputFile:
    """What the source file was: size in bytes, modification time in ns, SHA-256."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


def fingerprint(run: Run) -> InputFile | None:
    """What a source file is now; None if it cannot be read."""
    return file_fingerprint(run.path, run.relative)


def file_fingerprint(path: Path, name: str) -> InputFile | None:
    """What a file is now, under a name; None if it cannot be read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
    return InputFile(name, status.st_size, status.st_mtime_ns, digest)


def same_input(run: Run, known: InputFile) -> bool | None:
    """As `same_file`, of a run's source file."""
    return same_file(run.path, known)


def other_input(run: Run, known: InputFile) -> bool:
    """True if a source file can be read and is another than the one recorded."""
    return same_input(run, known) is False


def same_file(path: Path, known: InputFile) -> bool | None:
    """True if a file is the one recorded: by size and time, else by content.

    None if it cannot be read: nobody knows.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_size != known.size:
        return None if describe_missing(path) else False
    if status.st_mtime_ns == known.mtime_ns:
        return True
    now = file_fingerprint(path, known.path)
    return None if now is None else now.sha256 == known.sha256
