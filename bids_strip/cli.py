"""The command line: argv and environment -> settings, wiring, exit code."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from bids_strip import __version__
from bids_strip.errors import BidsStripError, ExitCode, MissingInputError, OutputError, UsageError
from bids_strip.settings import LEVELS, OPTIONS, Settings, build_parser

if TYPE_CHECKING:
    from bids_strip.participant.pipeline import Outcome

LOG = logging.getLogger("bids_strip")


class Terminated(BaseException):
    """SIGTERM came."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    argv
        Arguments; None takes the process's own.

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        settings = parse(arguments)
        with terminable():
            return _dispatch(settings)
    except BidsStripError as error:
        print(f"bids_strip: {error}", file=sys.stderr)
        return int(error.exit_code)
    except Terminated:
        print("bids_strip: terminated; runs that were done stay done", file=sys.stderr)
        return int(ExitCode.TERMINATED)
    except KeyboardInterrupt:
        print("bids_strip: interrupted; runs that were done stay done", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"bids_strip: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return int(ExitCode.IO_ERROR)


def parse(arguments: Sequence[str]) -> Settings:
    """Arguments -> settings.

    Raises
    ------
    UsageError
        If they are not understood, or ask for what this version does not have.
    BidsStripError
        With exit code 17 if the level is unknown.
    """
    values = vars(build_parser(__version__).parse_args(arguments))
    level = values["level"]
    if level not in LEVELS:
        error = UsageError(f"unknown analysis level '{level}'; choose from {', '.join(LEVELS)}")
        error.exit_code = ExitCode.UNKNOWN_LEVEL
        raise error
    for option in OPTIONS:
        if option.later and values[option.dest] not in (option.default, None, False):
            raise UsageError(f"{option.flags[0]}: not in this version ({__version__}) yet")
    known = set(Settings.__dataclass_fields__)
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
              if k in known and v is not None}  # fmt: skip
    return Settings(**chosen, command_line=tuple(arguments))


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` for the time of a block."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
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


def _dispatch(settings: Settings) -> int:
    if settings.level == "group":
        from bids_strip.group.pipeline import summarize

        if not settings.output_dir.is_dir():
            raise MissingInputError(
                f"{settings.output_dir}: no such folder; run the participant level first"
            )
        with invocation(settings) as staging:
            LOG.info("%s", summarize(settings, staging))
        return int(ExitCode.OK)
    return participant(settings)


def participant(settings: Settings) -> int:
    """Participant level, from selection to exit code."""
    from bids_strip.card import find_card
    from bids_strip.naming import check_output_dir, folder_note
    from bids_strip.participant.level import plan

    check_output_dir(settings.bids_dir, settings.output_dir)
    card = find_card(settings.model)
    runs = plan(settings, card)
    if settings.dry_run:
        for state, listed in (("done", runs.done), ("to do", runs.to_do)):
            for run in listed:
                print(f"{state}\t{run.relative}")
        return int(ExitCode.OK)
    with invocation(settings) as staging:
        note = folder_note(settings.bids_dir, settings.output_dir)
        if note:
            LOG.warning("%s", note)
        outcomes = _work_through(settings, card, runs, staging)
        return _conclude(settings, outcomes, skipped=len(runs.done), planned=len(runs.to_do))


def _work_through(settings: Settings, card: Any, runs: Any, staging: Path) -> list[Outcome]:
    """Do the runs that are to do."""
    from bids_strip.executor import Network, execute, opened
    from bids_strip.participant.level import write_dataset_files
    from bids_strip.participant.pipeline import Job
    from bids_strip.participant.write import Place
    from bids_strip.resources import share

    place = Place(settings.output_dir, staging)
    write_dataset_files(settings, place, __version__)
    nprocs, threads = share(
        nprocs=settings.nprocs, threads=settings.omp_nthreads, mem_gb=settings.mem_gb,
        runs=len(runs.to_do),
    )  # fmt: skip
    network = Network(card, settings.device, threads)
    if runs.to_do:
        LOG.info(
            "%d runs to do, %d done before; network %s %s on %s, %d at a time, %d threads each",
            len(runs.to_do), len(runs.done), card.name, card.version, opened(network).provider,
            nprocs, threads,
        )  # fmt: skip
    jobs = [
        Job(run, settings.outputs, settings.border_mm, place, __version__, threads)
        for run in runs.to_do
    ]
    found = execute(jobs, network, nprocs=nprocs, stop_on_failure=settings.stop_on_first_crash)
    return list(shown(found, len(jobs)))


def shown(outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
    """Pass outcomes on, with a bar on a terminal and a line each otherwise."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    bar = tqdm(total=total, disable=not terminal, unit="run", leave=False, file=sys.stderr)
    with bar:
        for number, outcome in enumerate(outcomes, 1):
            with (
                tqdm.external_write_mode(file=sys.stderr) if terminal else contextlib.nullcontext()
            ):
                _say(outcome, f"[{number}/{total}]")
            bar.update()
            yield outcome


def _say(outcome: Outcome, place: str) -> None:
    from bids_strip.participant.pipeline import Done

    if isinstance(outcome, Done):
        record = outcome.record
        stripped = ", already stripped" if record.flags.get("already_stripped") else ""
        LOG.info("%s %s: %.0f ml in %.1f s%s", place, record.bids_name,
                 record.metrics["brain_volume_ml"], record.elapsed_s or 0.0, stripped)  # fmt: skip
    else:
        LOG.error("%s failed at %s: %s", place, outcome.stage, outcome.reason)
        LOG.debug("%s", outcome.details)


def _conclude(settings: Settings, outcomes: list[Outcome], *, skipped: int, planned: int) -> int:
    """The last line, and the exit code that goes with it."""
    from bids_strip.participant.pipeline import Failed

    failed = [o for o in outcomes if isinstance(o, Failed)]
    counts = {
        "done": len(outcomes) - len(failed),
        "done before": skipped,
        "failed": len(failed),
        "not started": planned - len(outcomes),
    }
    said = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    LOG.info("%s; results in %s", said, settings.output_dir)
    return int(exit_code([f.exit_code for f in failed], len(outcomes) - len(failed) + skipped))


def exit_code(failures: Sequence[int], done: int) -> ExitCode:
    """Exit code of an invocation: 65 only if every selected run was unreadable."""
    if not failures:
        return ExitCode.OK
    if not done and set(failures) == {int(ExitCode.BAD_DATA)}:
        return ExitCode.BAD_DATA
    if set(failures) == {int(ExitCode.IO_ERROR)}:
        return ExitCode.IO_ERROR
    return ExitCode.FAILED


@contextlib.contextmanager
def invocation(settings: Settings) -> Iterator[Path]:
    """Log and temporary folder of one call; the folder is removed at the end.

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
    try:
        staging.mkdir(parents=True)
        logs.mkdir(exist_ok=True)
        handlers = _handlers(logs / f"bids_strip-{name}.log", settings.verbose)
    except OSError as error:
        raise OutputError(
            f"{settings.output_dir}: cannot be written ({error.strerror or error}); give a folder "
            "that you may write (in a container: is it bound, and not read-only?)"
        ) from error
    LOG.setLevel(logging.DEBUG)
    for handler in handlers:
        LOG.addHandler(handler)
    LOG.debug("bids_strip %s: %s", __version__, " ".join(settings.command_line))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            staging.parent.rmdir()
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


def _handlers(log_file: Path, verbose: bool) -> list[logging.Handler]:
    """Everything to the file, lines without tracebacks to the terminal."""
    to_file = logging.FileHandler(log_file, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.INFO)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    if verbose:
        to_terminal.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return [to_file, to_terminal]
