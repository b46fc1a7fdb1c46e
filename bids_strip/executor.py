"""Where runs execute: in this process, or in a pool of spawned workers."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import wait

from bids_strip.card import Card
from bids_strip.participant.pipeline import Failed, Job, Outcome, attempt, describe, recorded
from bids_strip.participant.predict import OnnxPredictor, load_predictor


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
    outcomes = _pooled(jobs, network, nprocs) if nprocs > 1 else (work(j, network) for j in jobs)
    for outcome in outcomes:
        yield outcome
        if stop_on_failure and isinstance(outcome, Failed):
            return


def _pooled(jobs: Sequence[Job], network: Network, nprocs: int) -> Iterator[Outcome]:
    """A pool, and a new one each time a worker dies.

    The runs that were under way then, the first ones not finished, are tried again each on its own:
    if its process dies once more, the run is to blame.
    """
    left = {job.run.path: job for job in jobs}
    while left:
        try:
            for outcome in _pool(tuple(left.values()), network, nprocs):
                del left[outcome.run.path]
                yield outcome
        except BrokenProcessPool:
            for job in tuple(left.values())[: nprocs + 1]:
                del left[job.run.path]
                yield _alone(job, network)


def _alone(job: Job, network: Network) -> Outcome:
    """One run in a process of its own."""
    try:
        return next(_pool((job,), network, 1))
    except BrokenProcessPool:
        reason = (
            f"{job.run.path}: the process working on it died, most likely for want of memory; "
            "give fewer --nprocs or more memory"
        )
        return recorded(job, Failed(job.run, "run", reason, 1), describe(job, None))


def _pool(jobs: Sequence[Job], network: Network, nprocs: int) -> Iterator[Outcome]:
    """Outcomes of a pool of spawned workers, none of which outlives this call."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(nprocs, mp_context=context, initializer=_follow_parent)
    try:
        for future in as_completed([pool.submit(work, job, network) for job in jobs]):
            yield future.result()
    finally:
        workers = set(multiprocessing.active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()


def _follow_parent() -> None:
    """End this worker when its parent is gone, however it went."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
