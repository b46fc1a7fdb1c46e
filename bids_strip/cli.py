"""The command line: argv and environment -> settings, wiring, exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_strip import __version__
from bids_strip.dataset.words import counted
from bids_strip.errors import BidsStripError, ExitCode, LevelError, MissingInputError
from bids_strip.printable import folded, one_line
from bids_strip.settings import (
    LEVEL_SYNONYMS,
    LEVELS,
    SLURM_SCRIPT,
    Settings,
    build_parser,
)
from bids_strip.termination import MESSAGE, Terminated, overdue, terminable

if TYPE_CHECKING:
    from bids_strip.card import Card
    from bids_strip.execution.cluster import Cluster
    from bids_strip.execution.local import ThisMachine
    from bids_strip.output.place import Place
    from bids_strip.participant.job import Outcome
    from bids_strip.participant.level import Worklist

_STREAMS = (0, 1, 2)
"""Numbers of stdin, stdout and stderr."""


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
    _keep_streams()
    try:
        code = _worked(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # a disk that is full is told in a line as well
        return code
    except BidsStripError as error:
        return _stopped(str(error), error.exit_code)
    except Terminated:
        return _stopped(MESSAGE, ExitCode.TERMINATED)
    except KeyboardInterrupt:
        return _stopped("interrupted; runs that were done stay done", ExitCode.INTERRUPTED)
    except BrokenPipeError:  # whoever read the list has seen enough
        sys.stdout = None  # nothing is left to flush at exit
        return int(ExitCode.OK)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _stopped(f"{where}{error.strerror or error}", ExitCode.IO_ERROR)
    except Exception as error:  # noqa: BLE001 - no traceback on the terminal
        kind = f"{type(error).__name__}: {error}"
        return _stopped(
            f"internal error ({kind}); please report it with the newest file in OUTPUT_DIR/logs",
            ExitCode.FAILED,
        )


def _keep_streams() -> None:
    """Where stdin, stdout or stderr was closed, send to nowhere what goes there.

    Their numbers are taken: the next files would get them, and what libraries write to the numbers
    of stdout and stderr would land in these.
    """
    for number in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            free = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
            os.set_inheritable(free, True)  # the workers' too
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end


def _worked(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for."""
    if arguments[:1] == [SLURM_SCRIPT]:
        return slurm_script(arguments[1:])
    settings = parse(arguments)
    with terminable(), overdue(()):  # reading a dataset, too, may take a while
        return group(settings) if settings.level == "group" else participant(settings)


def parse(arguments: Sequence[str]) -> Settings:
    """Arguments -> settings.

    Raises
    ------
    UsageError
        If they are not understood.
    LevelError
        If the level is unknown.
    """
    values = vars(build_parser(__version__).parse_args(arguments))
    level = LEVEL_SYNONYMS.get(values["level"], values["level"])
    if level not in LEVELS:
        raise LevelError(f"unknown analysis level '{level}'; choose from {', '.join(LEVELS)}")
    known = set(Settings.__dataclass_fields__)
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in known and value is not None
    }
    return Settings(**{**chosen, "level": level}, command_line=tuple(arguments))


def group(settings: Settings) -> int:
    """Group level, from OUTPUT_DIR to exit code; BIDS_DIR is not opened."""
    from bids_strip.group.pipeline import collect, preview, summarize
    from bids_strip.invocation import LOG, invocation
    from bids_strip.output.folders import check_output_dir, check_owner, check_work_dir

    check_output_dir(settings.bids_dir, settings.output_dir)
    check_work_dir(settings.bids_dir, settings.work_dir)
    check_owner(settings.output_dir)
    if not settings.output_dir.is_dir():
        raise MissingInputError(
            f"{settings.output_dir}: no such folder; run the participant level first"
        )
    found = collect(settings)  # before a folder or a log is made
    if settings.dry_run:
        print("\n".join(preview(settings, found)))
        return int(ExitCode.OK)
    with invocation(settings) as staging:
        for note in found.notes:
            LOG.warning("%s", note)
        LOG.info("%s", summarize(settings, found, staging))
    return int(ExitCode.OK)


def participant(settings: Settings) -> int:
    """Participant level, from selection to exit code."""
    _begin(settings)
    from bids_strip.card import find_card
    from bids_strip.invocation import LOG, invocation
    from bids_strip.manifest import manifest
    from bids_strip.output.folders import check_output_dir, check_owner, check_work_dir, folder_note
    from bids_strip.output.place import Place
    from bids_strip.participant.level import mixed_note, plan, shift_note

    check_output_dir(settings.bids_dir, settings.output_dir)
    check_work_dir(settings.bids_dir, settings.work_dir)
    card = find_card(settings.model)
    runs = plan(settings, card)
    check_owner(settings.output_dir)
    told = _told(runs, mixed_note(settings))
    if settings.dry_run:
        _say_on_stderr(told)
        if runs.to_do:
            _say_on_stderr(_of_templates(settings))
        for state, listed in (("done", runs.done), ("to do", runs.to_do)):
            for run in listed:
                print(f"{state}\t{one_line(run.relative)}")
        return int(ExitCode.OK)
    with invocation(settings) as staging:
        notes = (
            *told,
            folder_note(settings.bids_dir, settings.output_dir),
            shift_note(settings, runs),
        )
        for note in filter(None, notes):
            LOG.warning("%s", note)
        # absolute: a worker of another machine stands in another folder
        place = Place(settings.output_dir.absolute(), staging.absolute())
        with (
            manifest(place, runs.why, runs.done) as found,
            contextlib.closing(_work_through(settings, card, runs, place)) as ended,
        ):
            outcomes = list(found.each(ended))
        LOG.info("%s; results in %s", found.summary(), settings.output_dir)
        return int(_exit_code(outcomes, runs))


def _begin(settings: Settings) -> None:
    """Say at once, to who sits before a terminal, that something happens: pybids takes a while."""
    if sys.stderr.isatty():
        where = one_line(str(settings.bids_dir))
        print(f"bids_strip {__version__}: reading {where}", file=sys.stderr, flush=True)


def slurm_script(arguments: Sequence[str]) -> int:
    """Print a job array for what is to do at participant level; submits nothing."""
    from bids_strip.card import find_card
    from bids_strip.group.ratings import read_ratings
    from bids_strip.output.folders import check_output_dir, check_owner, check_work_dir
    from bids_strip.participant.level import mixed_note, plan
    from bids_strip.slurm.arguments import read_arguments
    from bids_strip.slurm.jobs import make_logs, note, plan_work, templates_note
    from bids_strip.slurm.script import script

    cluster, command = read_arguments(arguments)
    settings = parse(command)
    check_output_dir(settings.bids_dir, settings.output_dir)
    check_work_dir(settings.bids_dir, settings.work_dir)
    if settings.ratings:  # the group job would find out when all others have ended
        read_ratings(settings.ratings, settings.output_dir)
    runs = plan(settings, find_card(settings.model))
    check_owner(settings.output_dir)
    _say_on_stderr(_told(runs, mixed_note(settings)))
    labels = (dict(run.entities)["sub"] for run in runs.to_do)
    work = plan_work(cluster, settings, labels, runs.to_do)
    if not work.tasks:
        done = counted(len(runs.done), "run")
        print(f"{done}, all done before: no script is needed", file=sys.stderr)
        return int(ExitCode.OK)
    text = script(cluster, work)
    make_logs(settings.output_dir)
    print(text, end="")
    _say_on_stderr([*filter(None, [templates_note(cluster, settings)]), note(work)])
    return int(ExitCode.OK)


def _say_on_stderr(lines: Sequence[str]) -> None:
    """Lines beside what goes to stdout."""
    for line in lines:
        print(one_line(line), file=sys.stderr)


def _told(runs: Worklist, mixed: str | None) -> list[str]:
    """Lines about what a dataset holds and is not worked on, and about another one's results."""
    return [*runs.notes, *runs.closed, *filter(None, [_left_out(runs.not_bids), mixed])]


def _of_templates(settings: Settings) -> list[str]:
    """A line about templates that are not there; without a network their absence is an error.

    Raises
    ------
    TemplateError
        Then.
    """
    from bids_strip.templates import find_templates, to_fetch_note

    if settings.offline:
        find_templates(settings.recipe.spaces, offline=True)
    return [*filter(None, [to_fetch_note(settings.recipe.spaces)])]


def _left_out(names: Sequence[str]) -> str | None:
    """One line about files that were not taken."""
    if not names:
        return None
    return (
        f"{counted(len(names), 'file')} left out by name, not raw BIDS or not that of the folder "
        f"(for example {names[0]}); rename the file or the folder"
    )


def _work_through(
    settings: Settings, card: Card, runs: Worklist, place: Place
) -> Generator[Outcome]:
    """Do the runs that are to do."""
    from bids_strip.invocation import LOG, shown
    from bids_strip.participant.job import Job
    from bids_strip.participant.level import write_dataset_files
    from bids_strip.templates import sound_templates

    if not runs.to_do:
        write_dataset_files(settings, card, place)
        return
    templates = sound_templates(settings.recipe.spaces, offline=settings.offline)
    with _site(settings, card, runs, place) as site:
        LOG.info("%s to do, %d skipped; network %s %s on %s",
                 counted(len(runs.to_do), "run"), len(runs.done),
                 card.name, card.version, site.where)  # fmt: skip
        write_dataset_files(settings, card, place)
        jobs = [
            Job(run, settings.recipe, place, __version__, site.network.threads,
                templates=templates, identity=settings.identity_check,
                memory_gb=site.memory_gb, forced=settings.force)
            for run in runs.to_do
        ]  # fmt: skip
        found = site.execute(jobs, stop_on_failure=settings.stop_on_first_crash)
        yield from shown(found, len(jobs))


@contextlib.contextmanager
def _site(
    settings: Settings, card: Card, runs: Worklist, place: Place
) -> Iterator[ThisMachine | Cluster]:
    """Where the runs execute, ready for work: the network is open there."""
    if settings.dask_scheduler is None:
        from bids_strip.execution.local import this_machine

        yield this_machine(settings, card, runs=len(runs.to_do), opens=runs.opens_network,
                           heads=[run.path for run in runs.to_do])  # fmt: skip
        return
    from bids_strip.execution.cluster import connected

    with connected(
        settings, card, place, image=runs.to_do[0].path, opens=runs.opens_network
    ) as cluster:
        yield cluster


def _exit_code(outcomes: Sequence[Outcome], runs: Worklist) -> ExitCode:
    """Exit code of what the runs came to."""
    from bids_strip.participant.job import Failed

    failed = [o.exit_code for o in outcomes if isinstance(o, Failed)]
    code = exit_code(failed, len(runs.to_do) + len(runs.done) - len(failed))
    return ExitCode.FAILED if runs.closed and code == ExitCode.OK else code


def exit_code(failures: Sequence[int], others: int) -> ExitCode:
    """Exit code of an invocation.

    Parameters
    ----------
    failures
        Exit codes of the runs that failed.
    others
        Runs that are done, or were not tried: 65 and 74 stand for every selected run having failed
        that way.
    """
    if not failures:
        return ExitCode.OK
    kinds = set(failures)
    if not others and kinds in ({int(ExitCode.BAD_DATA)}, {int(ExitCode.IO_ERROR)}):
        return ExitCode(kinds.pop())
    return ExitCode.FAILED


def _stopped(message: str, code: ExitCode) -> int:
    """One line on stderr."""
    print(f"bids_strip: {one_line(folded(message))}", file=sys.stderr)
    return int(code)
