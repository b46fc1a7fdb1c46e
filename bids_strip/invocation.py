"""One call of the program: its log, its temporary folder, what it says on the terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bids_strip import __version__
from bids_strip.errors import BidsStripError, OutputError
from bids_strip.output.lock import sweep
from bids_strip.printable import one_line
from bids_strip.settings import Settings
from bids_strip.termination import overdue

if TYPE_CHECKING:
    from bids_strip.participant.job import Outcome

LOG = logging.getLogger("bids_strip")
_FILE_ONLY = {"file_only": True}
"""Marks what belongs in the log file alone: tracebacks."""
_NOTES: Mapping[str, str] = MappingProxyType({
    "already_stripped": "already stripped",
    "manual": "edited by hand",
    "template_mismatch": "fits no template: nothing written there",
})  # fmt: skip
"""Flags that are told beside a run on the terminal."""
_STALE_S = 7 * 24 * 3600.0
_LIBRARY_FOLDERS = ("TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR")


class _LogFile(logging.FileHandler):
    """A log that gives up quietly when the disk is full: the runs' own lines tell of it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Write no traceback to the terminal."""

    def close(self) -> None:
        """Close, though what is left may not fit on the disk."""
        with contextlib.suppress(OSError):
            super().close()


class _Lines(logging.Formatter):
    """One line a message, whatever names of files put into it; tracebacks stay as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The message with what is not printable spelled out."""
        if not getattr(record, "file_only", False):
            record.message = one_line(record.message)
        return super().formatMessage(record)


@contextlib.contextmanager
def invocation(settings: Settings) -> Iterator[Path]:
    """Open the log and the temporary folder of one call; the folder is removed at the end.

    Yields
    ------
    Path
        Folder for unfinished files, on OUTPUT_DIR's file system.

    Raises
    ------
    OutputError
        If OUTPUT_DIR cannot be made or written.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    staging = settings.output_dir / ".work" / name
    logs = settings.output_dir / "logs"
    work = (settings.work_dir or settings.output_dir / ".work") / name
    if settings.work_dir is not None:
        _make_work_dir(work)
    try:
        _make(staging)
        _remove_stale(staging.parent)
        logs.mkdir(exist_ok=True)
        handlers = _handlers(logs / f"bids_strip-{name}.log", settings.verbose)
    except OSError as error:
        _remove(work)
        _remove(staging)
        raise OutputError(
            f"{settings.output_dir}: cannot be written ({error.strerror or error}); give a folder "
            "that you may write (in a container: is it bound, and not read-only?)"
        ) from error
    LOG.setLevel(logging.DEBUG)
    for handler in handlers:
        LOG.addHandler(handler)
    LOG.debug("bids_strip %s: %s", __version__, " ".join(settings.command_line))
    try:
        with overdue((work, staging)), _libraries_in(work):
            yield staging
    except Exception as error:
        known = isinstance(error, BidsStripError)
        LOG.debug("stopped: %s", error, exc_info=not known, extra=_FILE_ONLY)
        raise
    finally:
        _remove(work)
        _remove(staging)
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


def shown(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    """Pass outcomes on, with a bar on a terminal and a line each otherwise."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    bar = tqdm(total=total, disable=not terminal, unit="run", leave=False, file=sys.stderr)
    with bar:
        for number, outcome in enumerate(outcomes, 1):
            aside = tqdm.external_write_mode(file=sys.stderr)
            with aside if terminal else contextlib.nullcontext():
                _say(outcome, f"[{number}/{total}]")
            bar.update()
            yield outcome


def _say(outcome: Outcome, place: str) -> None:
    """One line on the terminal; the rest to the log."""
    from bids_strip.participant.job import Done

    if outcome.remark:
        LOG.warning("%s page not renewed: %s", place, outcome.remark)
    if not isinstance(outcome, Done):
        LOG.error("%s failed at %s: %s", place, outcome.stage, outcome.told)
        LOG.debug("%s", outcome.details, extra=_FILE_ONLY)
        return
    record = outcome.record
    if outcome.elsewhere:
        LOG.info("%s %s: done by another call meanwhile", place, record.bids_name)
        return
    notes = [note for flag, note in _NOTES.items() if record.flags.get(flag)]
    LOG.info("%s %s: %.0f ml in %.1f s%s", place, record.bids_name,
             record.metrics["brain_volume_ml"], record.elapsed_s or 0.0,
             "".join(f", {note}" for note in notes))  # fmt: skip
    stages = ", ".join(f"{stage} {s:.2f}" for stage, s in record.stage_seconds.items())
    LOG.debug("%s seconds: %s; %s MB at most", place, stages, record.peak_memory_mb)


@contextlib.contextmanager
def _libraries_in(work: Path) -> Iterator[None]:
    """Send libraries' caches and temporary files to a folder, of workers too."""
    before = {name: os.environ.get(name) for name in _LIBRARY_FOLDERS}
    os.environ.update(dict.fromkeys(_LIBRARY_FOLDERS, str(work)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _make_work_dir(work: Path) -> None:
    """Make this call's folder in ``--work-dir``.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        _make(work)
    except OSError as error:
        raise OutputError(
            f"--work-dir {work.parent}: cannot be written ({error.strerror or error}); give "
            "another folder, or leave the option out"
        ) from error


def _make(folder: Path) -> None:
    """Make a folder; another call may be removing the one around it just now."""
    for last in (False, False, True):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:
            if last:
                raise
        else:
            return


def _remove_stale(parent: Path) -> None:
    """Remove what calls that were killed left behind, once nothing was written there for a week."""
    for folder in parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_S:
                shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove a temporary folder, and the ``.work`` around it when no other call uses it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.name == ".work":
        sweep(folder.parent)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


def _handlers(log_file: Path, verbose: bool) -> list[logging.Handler]:
    """Everything to the file; lines without tracebacks to the terminal."""
    to_file = _LogFile(log_file, encoding="utf-8", errors="backslashreplace")
    to_file.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.DEBUG if verbose else logging.INFO)
    to_terminal.setFormatter(_Lines("%(message)s"))
    to_terminal.addFilter(lambda record: not getattr(record, "file_only", False))
    return [to_file, to_terminal]
