"""What a process does with a run, and the network it keeps open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from threading import Lock

from bids_strip.card import Card, card_of
from bids_strip.errors import ModelError
from bids_strip.execution.turns import Held
from bids_strip.machine.heap import freed_kept
from bids_strip.machine.resources import available_gb
from bids_strip.output.lock import locked
from bids_strip.participant.attempt import attempt
from bids_strip.participant.job import Done, Failed, Job, Outcome
from bids_strip.participant.predict import OnnxPredictor, load_predictor
from bids_strip.participant.resume import (
    Listings,
    asked_for,
    done_but_for_border,
    done_but_for_more,
    kinds_there,
    known,
)


@dataclass(frozen=True, slots=True)
class Network:
    """How a process opens the network, whichever machine it is on.

    Attributes
    ----------
    model
        Name of an embedded network, found where that machine has it installed, or a file's
        absolute path.
    sha256
        Of the file.
    device
        ``auto``, ``cpu`` or ``gpu``.
    threads
        Of one prediction.
    memory_gb
        What a foreign network may take for one; None for what its machine has.
    """

    model: str
    sha256: str
    device: str
    threads: int
    memory_gb: float | None = None


def network_of(card: Card, *, device: str, threads: int, memory_gb: float | None = None) -> Network:
    """The way to a card's network."""
    return Network(card.reference, card.sha256, device, threads, memory_gb)


_OPENING = Lock()
"""Threads of one worker wait for the first to open the network."""


def opened(network: Network) -> OnnxPredictor:
    """The network of this process, opened once.

    Raises
    ------
    ModelError, ProviderError
        If it cannot be opened here, or is another one.
    """
    with _OPENING:
        return _opened(network)


@lru_cache(maxsize=1)
def _opened(network: Network) -> OnnxPredictor:
    card = card_of(network.model)
    if card.sha256 != network.sha256:
        raise ModelError(
            f"{card.path}: another network ({card.sha256[:12]}...) than the one asked for "
            f"({network.sha256[:12]}...); install the same version everywhere"
        )
    memory_gb = available_gb() if network.memory_gb is None else network.memory_gb
    return load_predictor(card, device=network.device, threads=network.threads, memory_gb=memory_gb)


def work(job: Job, network: Network, wait_s: float = 0.0) -> Outcome | Held:
    """One run, in whichever process this is; one process at a time works on it.

    Other calls may share OUTPUT_DIR: a run that another has done meanwhile is not done again.

    Its matrix products are small: one thread each. Threads that wait for one another there cost
    seconds where other programs share the processors.

    Parameters
    ----------
    job, network
        What to do, and by what.
    wait_s
        How long to wait for another call that works on the run. One that was waited for in vain
        fails here and is not touched; `Held` is one that was not waited for.
    """
    from threadpoolctl import threadpool_limits

    lock = job.place.staging.parent / f"{job.run.name}.lock"
    with threadpool_limits(limits=1, user_api="blas"), locked(lock, wait_s=wait_s) as alone:
        if not alone:
            return _busy(job, wait_s) if wait_s else Held(job.run)
        with freed_kept():
            return _done_elsewhere_or_here(job, network)


def _done_elsewhere_or_here(job: Job, network: Network) -> Outcome:
    """What another call made of the run, if that is what this one wants; else an attempt.

    A redo makes the kinds of output that lie there too, but for those that stay beside new ones.
    """
    open_network, listings = partial(opened, network), Listings()
    there = kinds_there(job.run, job.place.output_dir, listings)
    redo = replace(job, recipe=job.recipe.with_kinds(there))
    if job.forced:
        return attempt(redo, open_network)
    asked = asked_for(job.place.output_dir, job.recipe, network=network.sha256,
                      version=job.version)  # fmt: skip
    state = known(job.run, asked, listings)
    if state.record and not state.why:
        return Done(job.run, state.record, elsewhere=True)
    earlier = done_but_for_border(job.run, state, asked)
    standing = None if earlier else done_but_for_more(state, asked)
    if standing:
        return attempt(replace(job, standing=standing), open_network)
    return attempt(replace(redo, earlier=earlier), open_network)


def _busy(job: Job, wait_s: float) -> Failed:
    """Not recorded: the run is another call's."""
    reason = (
        f"{job.run.path}: another call has been working on it for {wait_s / 60:.0f} minutes; "
        "call again when that one has ended"
    )
    return Failed(job.run, "run", reason, 1)
