"""On this machine: in this process, or in a pool of spawned workers."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as finished
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from bids_strip.card import Card
from bids_strip.dataset.words import counted
from bids_strip.execution.room import Room, usual_gb
from bids_strip.execution.turns import Held, Turns
from bids_strip.execution.worker import Network, network_of, opened, work
from bids_strip.machine.resources import available_gb, share
from bids_strip.participant.attempt import recorded
from bids_strip.participant.describe import describe
from bids_strip.participant.job import Failed, Job, Outcome
from bids_strip.participant.predict import CUDA
from bids_strip.settings import Settings

_END_S = 5.0
"""How long a worker that was told to end is waited for."""


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """Runs on this machine.

    Attributes
    ----------
    network
        Opened once in each process.
    nprocs
        Processes; 1 works in this one.
    where
        What the network runs on, for the user.
    room
        Memory that they share.
    """

    network: Network
    nprocs: int
    where: str
    room: Room

    @property
    def memory_gb(self) -> float:
        """What a run may take, if need be alone."""
        return self.room.memory_gb

    def execute(self, jobs: Sequence[Job], *, stop_on_failure: bool) -> Iterator[Outcome]:
        """See `execute`."""
        return execute(jobs, self.network, nprocs=self.nprocs, stop_on_failure=stop_on_failure,
                       room=self.room)  # fmt: skip


def this_machine(
    settings: Settings, card: Card, *, runs: int, opens: bool = True, heads: Sequence[Path] = ()
) -> ThisMachine:
    """Share this machine out and open the network, before any work.

    Where `opens` is false no run is known to need it: it stays closed until one does.

    As many runs at a time as memory holds of the usual head among `heads`; a larger one waits
    until there is room for it.

    On a GPU one process works unless the user says otherwise: each more holds a context and
    buffers of its own in the GPU's memory.

    Raises
    ------
    ModelError, ProviderError
        If the network cannot be opened.
    """
    memory_gb = available_gb() if settings.mem_gb is None else settings.mem_gb
    nprocs, threads = share(
        nprocs=settings.nprocs, threads=settings.omp_nthreads, mem_gb=memory_gb, runs=runs,
        run_gb=usual_gb(heads, card, settings.recipe),
    )  # fmt: skip
    room = Room(memory_gb, card)
    network = network_of(card, device=settings.device, threads=threads,
                         memory_gb=memory_gb / nprocs)  # fmt: skip
    if not opens:
        where = f"stored distances, {nprocs} at a time"
        return ThisMachine(network, nprocs, where, room)
    predictor = opened(network)
    if predictor.provider == CUDA and settings.nprocs is None:
        nprocs = 1
    where = f"{predictor.where}, {nprocs} at a time, {counted(threads, 'thread')} each"
    return ThisMachine(network, nprocs, where, room)


def execute(
    jobs: Sequence[Job], network: Network, *, nprocs: int, stop_on_failure: bool,
    room: Room | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Work through jobs.

    Parameters
    ----------
    jobs
        What to do.
    network
        Opened once in each process.
    nprocs
        Processes; 1 works here.
    stop_on_failure
        Start nothing more after a failure.
    room
        Memory that the processes share: a run begins when what it needs is free. None for no bound.

    Yields
    ------
    Done or Failed
        As they finish, in any order.
    """
    if nprocs > 1:
        with closing(_pooled(jobs, network, nprocs, stop_on_failure, room)) as outcomes:
            yield from outcomes
        return
    turns = Turns(jobs)
    while turns:
        job, wait_s = turns.take()
        ended = work(job, network, wait_s)
        if isinstance(ended, Held):
            turns.back(job)
            continue
        yield ended
        if stop_on_failure and isinstance(ended, Failed):
            return


class _WorkerDiedError(Exception):
    """A worker died; with it ended what was under way."""

    def __init__(self, under_way: tuple[Job, ...]) -> None:
        super().__init__("a worker died")
        self.under_way = under_way


def _pooled(
    jobs: Sequence[Job], network: Network, nprocs: int, stop_on_failure: bool, room: Room | None
) -> Generator[Outcome]:
    """A pool, and a new one each time a worker dies.

    The runs that were under way then are tried again each on its own: if its process dies once
    more, the run is to blame. What another call has goes to the end.
    """
    left = {job.run.path: job for job in jobs}
    stopped = False
    while left and not stopped:
        try:
            again = _pool(tuple(left.values()), network, nprocs, stop_on_failure, room)
            with closing(again) as outcomes:
                for ended in outcomes:
                    job = left.pop(ended.run.path)
                    if isinstance(ended, Held):
                        left[ended.run.path] = job
                    else:
                        stopped |= stop_on_failure and isinstance(ended, Failed)
                        yield ended
            return
        except _WorkerDiedError as died:
            for job in died.under_way:
                del left[job.run.path]
                ended = _alone(job, network)
                stopped |= stop_on_failure and isinstance(ended, Failed)
                yield ended


def _alone(job: Job, network: Network) -> Outcome:
    """One run in a process of its own."""
    try:
        with closing(_pool((job,), network, 1, stop_on_failure=False)) as outcomes:
            return next(ended for ended in outcomes if not isinstance(ended, Held))
    except _WorkerDiedError:
        reason = (
            f"{job.run.path}: the process working on it died, most likely for want of memory; "
            "give fewer --nprocs or more memory"
        )
        return recorded(job, Failed(job.run, "run", reason, 1), describe(job, None))


def _pool(
    jobs: Sequence[Job], network: Network, nprocs: int, stop_on_failure: bool,
    room: Room | None = None,
) -> Generator[Outcome | Held]:  # fmt: skip
    """Outcomes of a pool of spawned workers, none of which outlives this call.

    After a failure that stops, what is under way is finished and nothing more is started. When a
    worker dies, what is done already comes first.

    Raises
    ------
    _WorkerDiedError
        Then.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(nprocs, mp_context=context, initializer=_follow_parent)
    turns = Turns(jobs)
    under_way: dict[Future[Outcome | Held], tuple[Job, float]] = {}
    try:
        while turns or under_way:
            while turns and len(under_way) < nprocs:
                needed_mb = room.needed_mb(turns.first) if room else 0.0
                taken_mb = [mb for _, mb in under_way.values()]
                if room and not room.holds(needed_mb, taken_mb, nprocs=nprocs):
                    break
                job, wait_s = turns.take()
                under_way[pool.submit(work, job, network, wait_s)] = (job, needed_mb)
            for future in finished(under_way, return_when=FIRST_COMPLETED).done:
                ended = future.result()
                job, _ = under_way.pop(future)
                if isinstance(ended, Held):
                    turns.back(job)
                elif stop_on_failure and isinstance(ended, Failed):
                    turns.clear()
                yield ended
    except BrokenProcessPool as error:
        done = [one for one in under_way if one.done() and one.exception() is None]
        for future in done:
            del under_way[future]
            yield future.result()
        raise _WorkerDiedError(tuple(job for job, _ in under_way.values())) from error
    finally:
        workers = set(multiprocessing.active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(_END_S)
            if worker.is_alive():
                worker.kill()


def _follow_parent() -> None:
    """End this worker when its parent is gone, however it went."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
