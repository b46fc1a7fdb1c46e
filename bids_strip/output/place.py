"""Where outputs go: each file appears whole, under its final name."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from bids_strip.errors import WriteError
from bids_strip.record import OutputFile

_CANNOT_FLUSH = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that have nothing to flush."""


@dataclass(frozen=True)
class Place:
    """Where outputs go.

    Attributes
    ----------
    output_dir
        OUTPUT_DIR.
    staging
        Folder on the same file system for files that are not finished.
    """

    output_dir: Path
    staging: Path

    def put(self, name: str, content: bytes) -> OutputFile:
        """Write a file, have the disk keep it, and give it its final name by rename.

        Parameters
        ----------
        name
            Relative to OUTPUT_DIR.
        content
            All of it.

        Raises
        ------
        WriteError
            If the file system refuses.
        """
        with _writing(self.output_dir / name):
            unfinished = self._staged(name, content)
            try:
                _flush(unfinished)
                _move(unfinished, self.output_dir / name)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
        return OutputFile(name, len(content))

    def _staged(self, name: str, content: bytes) -> Path:
        """Write a file among the unfinished ones; none stays if that fails."""
        # a name of its own: workers of several machines share the folder
        unfinished = self.staging / f"{uuid.uuid4().hex[:8]}-{name.rpartition('/')[2]}"
        try:
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        return unfinished


class Batch(Place):
    """Files that are to appear together: `put` writes each to `staging`, `publish` moves them all.

    Parameters
    ----------
    place
        Where they are to go.
    """

    held: dict[str, Path]
    """Name below OUTPUT_DIR -> unfinished file, in the order they came."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.output_dir, place.staging)
        self.held = {}

    def put(self, name: str, content: bytes) -> OutputFile:
        """Write a file and hold it back.

        Parameters
        ----------
        name, content
            As of `Place.put`.

        Raises
        ------
        WriteError
            If the file system refuses.
        """
        with _writing(self.output_dir / name):
            self.held[name] = self._staged(name, content)
        return OutputFile(name, len(content))

    def flush(self) -> None:
        """Have the disk keep what is held: after a power cut no file holds zeros under its name.

        Raises
        ------
        WriteError
            If the file system refuses.
        """
        _flush_all({path: self.output_dir / name for name, path in self.held.items()})

    def publish(self) -> None:
        """Move every file to its name, in the order they came.

        The disk keeps the names of all others before the last one, which says that they are there.

        Raises
        ------
        WriteError
            If the file system refuses.
        """
        names = tuple(self.held)
        for name in names:
            if name == names[-1]:
                folders = _folders(self.output_dir, names[:-1])
                _flush_all({folder: folder for folder in folders})
            with _writing(self.output_dir / name):
                _move(self.held[name], self.output_dir / name)
            del self.held[name]

    def discard(self) -> None:
        """Remove what is still held."""
        for unfinished in self.held.values():
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
        self.held.clear()


def remove(path: Path) -> None:
    """Remove a file, if there is one.

    Raises
    ------
    WriteError
        If something is in the way that is no file, or the file system refuses.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be removed ({error.strerror or error}); move it away"
        ) from error


@contextlib.contextmanager
def batched(place: Place) -> Iterator[Batch]:
    """Hold files back until all are there; those not published by the end are removed."""
    batch = Batch(place)
    try:
        yield batch
    finally:
        batch.discard()


def _folders(output_dir: Path, names: Iterable[str]) -> set[Path]:
    """Every folder on the way to some names, OUTPUT_DIR too: any may be new."""
    return {output_dir / folder for name in names for folder in PurePath(name).parents}


def _flush_all(finals: Mapping[Path, Path]) -> None:
    """Flush files and folders, at once: a journal takes them together, in the time of two or three.

    Parameters
    ----------
    finals
        What to flush -> the file to name in what goes wrong.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(finals))) as pool:
        flushed = {path: pool.submit(_flush, path) for path in finals}
    for path, future in flushed.items():
        with _writing(finals[path]):
            future.result()


def _move(unfinished: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(final)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(final: Path) -> Iterator[None]:
    """Name the file in what goes wrong.

    Raises
    ------
    WriteError
        For an `OSError` of the block.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{final}: cannot be written ({error.strerror or error}); is the disk full or "
            "read-only, or something in its place?"
        ) from error
