"""Where runs execute: in this process, or in a pool of spawned workers."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import wait

from bids_strip.card import Card
from bids_strip.participant.pipeline import Failed, Job, Outcome, attempt, describe, recorded
from bids_strip.participant.predict import OnnxPredictor, load_predictor

_END_S = 5.0
"""How long a worker that was told to end is waited for."""


@dataclass(frozen=True, slots=True)
class Network:
    """How a worker opens the network."""

    card: Card
    device: str
    threads: int


@cache
def opened(network: Network) -> OnnxPredictor:
    """The network of this process, opened once."""
    return load_predictor(network.card, device=network.device, threads=network.threads)


def work(job: Job, network: Network) -> Outcome:
    """One run, in whichever process this is."""
    return attempt(job, opened(network))


def execute(
    jobs: Sequence[Job], network: Network, *, nprocs: int, stop_on_failure: bool
) -> Iterator[Outcome]:
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

    Yields
    ------
    Done or Failed
        As they finish, in any order.
    """
    if nprocs > 1:
        with closing(_pooled(jobs, network, nprocs, stop_on_failure)) as outcomes:
            yield from outcomes
        return
    for job in jobs:
        outcome = work(job, network)
        yield outcome
        if stop_on_failure and isinstance(outcome, Failed):
            return


def _pooled(
    jobs: Sequence[Job], network: Network, nprocs: int, stop_on_failure: bool
) -> Generator[Outcome]:
    """A pool, and a new one each time a worker dies.

    The runs that were under way then, the first ones not finished, are tried again each on its own:
    if its process dies once more, the run is to blame.
    """
    left = {job.run.path: job for job in jobs}
    while left:
        try:
            with closing(_pool(tuple(left.values()), network, nprocs, stop_on_failure)) as outcomes:
                for outcome in outcomes:
                    del left[outcome.run.path]
                    yield outcome
            return
        except BrokenProcessPool:
            for job in tuple(left.values())[: nprocs + 1]:
                del left[job.run.path]
                yield _alone(job, network)


def _alone(job: Job, network: Network) -> Outcome:
    """One run in a process of its own."""
    try:
        with closing(_pool((job,), network, 1, stop_on_failure=False)) as outcomes:
            return next(outcomes)
    except BrokenProcessPool:
        reason = (
            f"{job.run.path}: the process working on it died, most likely for want of memory; "
            "give fewer --nprocs or more memory"
        )
        return recorded(job, Failed(job.run, "run", reason, 1), describe(job, None))


def _pool(
    jobs: Sequence[Job], network: Network, nprocs: int, stop_on_failure: bool
) -> Generator[Outcome]:
    """Outcomes of a pool of spawned workers, none of which outlives this call.

    After a failure that stops, what is under way is finished and nothing more is started.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(nprocs, mp_context=context, initializer=_follow_parent)
    try:
        futures = [pool.submit(work, job, network) for job in jobs]
        for future in as_completed(futures):
            if future.cancelled():
                continue
            outcome = future.result()
            if stop_on_failure and isinstance(outcome, Failed):
                for other in futures:
                    other.cancel()
            yield outcome
    finally:
        workers = set(multiprocessing.active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(_END_S)


def _follow_parent() -> None:
    """End this worker when its parent is gone, however it went."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
