"""Runs on any engine behind the interface of ``concurrent.futures``.

Engines give what a dead worker was doing to the next one. Two rules keep that from doing a run
twice or killing worker after worker: an attempt that was begun is not begun again (`attempts`), and
what it leaves unfinished is tried once more when nothing else of ours is under way; if its worker
dies again, the run is to blame.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path

from bids_strip import __version__
from bids_strip.errors import ClusterError
from bids_strip.execution.attempts import Unfinished, attempt_of
from bids_strip.execution.turns import PATIENCE_S, Held, Turns
from bids_strip.execution.worker import Network, work
from bids_strip.participant.attempt import failure, recorded
from bids_strip.participant.describe import describe
from bids_strip.participant.job import Failed, Job, Outcome

_LOOK_S = 2.0
_DEATHS = ("KilledWorker", "BrokenProcessPool")
"""Exceptions by which engines say that a worker died; Dask may not be installed."""

Ended = Outcome | Unfinished | Held


def execute(
    jobs: Sequence[Job], network: Network, executor: Executor, *, at_once: int | None,
    look: Callable[[int], None], stop_on_failure: bool,
) -> Iterator[Outcome]:  # fmt: skip
    """Work through jobs on any engine behind the interface of ``concurrent.futures``.

    Parameters
    ----------
    jobs
        What to do.
    network
        Opened once in each worker.
    executor
        The engine.
    at_once
        Runs under way at a time; None sends all.
    look
        Called every few seconds with the number of runs not finished; raises to give up.
    stop_on_failure
        Start nothing more after a failure.

    Yields
    ------
    Done or Failed
        As they finish, in any order.
    """
    again: list[Job] = []

    def first(job: Job, wait_s: float) -> Future[Ended]:
        return executor.submit(attempt_on_worker, job, network=network, number=1, wait_s=wait_s)

    def second(job: Job, _wait_s: float) -> Future[Ended]:
        return executor.submit(attempt_on_worker, job, network=network, number=2,
                               wait_s=PATIENCE_S)  # fmt: skip

    turns = Turns(jobs)
    for job, future in _ending(turns, first, at_once or len(jobs), look):
        ended = _outcome(job, future)
        if isinstance(ended, Unfinished):
            again.append(job)
        elif isinstance(ended, Held):
            turns.back(job)
        else:
            yield ended
            if stop_on_failure and isinstance(ended, Failed):
                turns.clear()
                again.clear()
    for job, future in _ending(Turns(again), second, 1, look):
        ended = _outcome(job, future)
        yield _blamed(job) if isinstance(ended, Unfinished | Held) else ended


def _ending(
    turns: Turns, submit: Callable[[Job, float], Future[Ended]], at_once: int,
    look: Callable[[int], None],
) -> Generator[tuple[Job, Future[Ended]]]:  # fmt: skip
    """Submit jobs, so many at a time, and give each with its future when that has ended."""
    under_way: dict[Future[Ended], Job] = {}
    while turns or under_way:
        while turns and len(under_way) < at_once:
            job, wait_s = turns.take()
            under_way[submit(job, wait_s)] = job
        ended, _ = wait(under_way, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
        if not ended or any(future.cancelled() for future in ended):
            look(len(turns) + len(under_way))
        for future in ended:
            yield under_way.pop(future), future


def _outcome(job: Job, future: Future[Ended]) -> Ended:
    """What a future came to; what the engine says went wrong is the run's failure.

    Raises
    ------
    ClusterError
        If a worker refused: it would refuse one run after the other.
    """
    if future.cancelled():
        return Unfinished(job.run)
    error = future.exception()
    if error is None:
        return future.result()
    if type(error).__name__ in _DEATHS:
        return Unfinished(job.run)
    if isinstance(error, ClusterError):
        raise error
    return recorded(job, failure(job, error, stage="run"), describe(job, None))


def _blamed(job: Job) -> Outcome:
    """A run whose workers died, or that somebody finished after all."""
    known = attempt_of(job, 2).outcome()
    if known is not None:
        return known
    reason = (
        f"{job.run.path}: the worker processing it died, and so did the next one, most likely for "
        "want of memory; give workers more memory or fewer threads"
    )
    return recorded(job, Failed(job.run, "run", reason, 1), describe(job, None))


def attempt_on_worker(job: Job, *, network: Network, number: int, wait_s: float = 0.0) -> Ended:
    """One attempt at a run, in a worker; see `bids_strip.execution.worker.work`.

    Returns
    -------
    Done or Failed
        Of this attempt, or of an earlier one that was thought lost.
    Unfinished
        If the attempt was begun by somebody before.
    Held
        If another call is working on the run and was not waited for.

    Raises
    ------
    ClusterError
        If this worker cannot do the work; it joined after the others were looked at.
    """
    here = f"a worker that joined later ({socket.gethostname()}) "
    if job.version != __version__:
        raise ClusterError(here + other_version(__version__, job.version))
    if not _root_of(job).is_dir():
        raise ClusterError(here + unseen("BIDS_DIR", _root_of(job)))
    attempt = attempt_of(job, number)
    try:
        known = attempt.outcome()
        if known is not None:
            return known
        if not attempt.claim():
            return Unfinished(job.run)
    except FileNotFoundError:
        raise ClusterError(here + unseen("OUTPUT_DIR", job.place.staging)) from None
    ended = work(job, network, wait_s)
    if isinstance(ended, Held):
        attempt.release()
    else:
        attempt.close(ended)
    return ended


def _root_of(job: Job) -> Path:
    """The raw dataset that a run lies in."""
    return job.run.path.parents[len(Path(job.run.relative).parts) - 1]


def other_version(there: str, here: str) -> str:
    """What to do about a worker's version."""
    return f"has bids_strip {there}, this is {here}; install the same everywhere"


def unseen(what: str, path: Path) -> str:
    """What to do about a folder that a worker does not see."""
    return (
        f"does not see {what} ({path}); give a folder that all machines share under one path, and "
        "bind it in containers"
    )
