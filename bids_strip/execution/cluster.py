"""The workers of a Dask scheduler: connect, see that they can do the work, send the runs."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_strip import __version__
from bids_strip.card import Card
from bids_strip.dataset.words import counted
from bids_strip.errors import ClusterError
from bids_strip.execution.futures import execute, other_version, unseen
from bids_strip.execution.worker import Network, network_of, opened
from bids_strip.machine.resources import MOST_THREADS, available_cpus, granted
from bids_strip.output.place import Place
from bids_strip.participant.job import Job, Outcome
from bids_strip.printable import first_line
from bids_strip.settings import Settings

LOG = logging.getLogger(__name__)
_NOT_THERE = ("ModuleNotFoundError", "ImportError", "AttributeError")
"""Where a worker cannot unpack the question, Dask answers with the words of its exception."""
_CONNECT_S = 10.0
_WORKERS_S = 60.0
"""How long a cluster without workers is waited for, at first and when all have gone."""
_ANSWER_S = 120.0
"""How long workers may take to import the program and open the network."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Runs on a cluster.

    Attributes
    ----------
    client
        The ``distributed.Client``.
    address
        Of the scheduler.
    network
        Opened once in each worker.
    at_once
        Runs sent at a time; None sends all.
    slots
        Runs the workers do at a time.
    where
        What the network runs on, for the user.
    """

    client: Any
    address: str
    network: Network
    at_once: int | None
    slots: int
    where: str

    @property
    def memory_gb(self) -> None:
        """What a run may take: what is free on its worker's machine."""
        return None

    def execute(self, jobs: Sequence[Job], *, stop_on_failure: bool) -> Iterator[Outcome]:
        """Work through jobs; see `bids_strip.execution.futures.execute`."""
        at_once = self.at_once or (self.slots if stop_on_failure else None)
        with contextlib.closing(_Watch(self.client, self.address)) as watch:
            yield from execute(
                jobs, self.network, watch.executor, at_once=at_once, look=watch.look,
                stop_on_failure=stop_on_failure,
            )  # fmt: skip


class _Watch:
    """The executor of a client, and an eye on whether anybody is left to work."""

    def __init__(self, client: Any, address: str) -> None:
        self.executor: Executor = client.get_executor(pure=False)
        self._client = client
        self._address = address
        self._empty_since: float | None = None

    def look(self, unfinished: int) -> None:
        """Give up when the scheduler is gone, or has had no worker for a while.

        Raises
        ------
        ClusterError
            Then.
        """
        lost = (
            f"--dask-scheduler {self._address}: the connection was lost, "
            f"{counted(unfinished, 'run')} not finished; call again when it is back, what is "
            "done stays done"
        )
        if self._client.status != "running":
            raise ClusterError(lost)
        try:
            workers = _workers(self._client)
        except OSError as error:
            raise ClusterError(lost) from error
        now = time.monotonic()
        if workers:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = now
        elif now - self._empty_since > _WORKERS_S:
            raise ClusterError(
                f"--dask-scheduler {self._address}: no worker left for {_WORKERS_S:.0f} s, "
                f"{counted(unfinished, 'run')} not finished; start workers and call again"
            )

    def close(self) -> None:
        """Withdraw what has not begun; what a worker is in the middle of is finished there."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.executor.shutdown(wait=False)


@contextlib.contextmanager
def connected(
    settings: Settings, card: Card, place: Place, *, image: Path, opens: bool = True
) -> Iterator[Cluster]:
    """Connect to the scheduler and make sure that its workers can do the work.

    Parameters
    ----------
    settings
        The address; bounds.
    card
        The network.
    place
        Workers must see it.
    image
        A file of the raw dataset, which workers must see.
    opens
        False if no run is known to need the network: it is not opened before one does.

    Raises
    ------
    ClusterError
        If they cannot.
    """
    address = settings.dask_scheduler or ""
    with contextlib.closing(_client(address)) as client:
        slots = _slots(client, address)
        said = _ask(client, address, survey, place.staging, image)
        _check(address, said, place, image)
        threads = settings.omp_nthreads or threads_each(said, slots)
        network = network_of(card, device=settings.device, threads=threads)
        providers = ["stored distances"]
        if opens:
            providers = sorted(set(_ask(client, address, provider_of, network).values()))
        total = sum(slots.values())
        at_once = min(total, settings.nprocs) if settings.nprocs else None
        where = (
            f"{', '.join(providers)}, {counted(len(slots), 'worker')} of {address}, "
            f"{at_once or total} at a time, {counted(threads, 'thread')} each"
        )
        yield Cluster(client, address, network, at_once, total, where)


def survey(staging: Path, image: Path) -> dict[str, Any]:
    """What a worker has and sees; called there."""
    return {
        "version": __version__,
        "output": staging.is_dir(),
        "image": image.is_file(),
        "cpus": available_cpus(),
        "granted": granted(),
    }


def provider_of(network: Network) -> str:
    """Open the network; called in a worker."""
    return opened(network).where


def threads_each(said: Mapping[str, Mapping[str, Any]], slots: Mapping[str, int]) -> int:
    """Threads of a run: the processors, over the runs that workers do on them at a time.

    Parameters
    ----------
    said
        By worker, what `survey` gave.
    slots
        By worker, runs at a time.
    """
    sharing: dict[str, int] = defaultdict(int)
    cpus: dict[str, int] = {}
    for worker, answer in said.items():
        sharing[answer["granted"]] += slots.get(worker, 1)
        cpus[answer["granted"]] = answer["cpus"]
    return max(1, min(MOST_THREADS, *(cpus[key] // n for key, n in sharing.items())))


def _client(address: str) -> Any:
    """Connect.

    Raises
    ------
    ClusterError
        If Dask is not installed, or nobody answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            f"--dask-scheduler {address}: the package distributed is not installed; "
            "pip install 'bids_strip[dask]'"
        ) from error
    for name in ("distributed", "distributed.client"):  # what goes wrong is said in our lines
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise ClusterError(
            f"--dask-scheduler {address}: no scheduler there ({first_line(error)}); give the "
            "address that the scheduler prints, like tcp://host:8786"
        ) from error


def _slots(client: Any, address: str) -> dict[str, int]:
    """Workers and how many runs each does at a time.

    Raises
    ------
    ClusterError
        If there are none for a while.
    """
    if not _workers(client):
        LOG.info("%s has no workers; waiting up to %.0f s for one", address, _WORKERS_S)
    until = time.monotonic() + _WORKERS_S
    while not (found := _workers(client)):
        if time.monotonic() > until:
            raise ClusterError(
                f"--dask-scheduler {address}: no worker came in {_WORKERS_S:.0f} s; start some "
                f"(dask worker {address})"
            )
        time.sleep(0.2)
    return found


def _workers(client: Any) -> dict[str, int]:
    """By address of a worker, its threads: what Dask gives as many tasks at a time."""
    return dict(client.nthreads())


def _ask(client: Any, address: str, question: Callable[..., Any], *about: Any) -> dict[str, Any]:
    """Answers of all workers.

    Raises
    ------
    ClusterError
        If one has none.
    """
    try:
        answers: dict[str, Any] = client.run(
            question, *about, on_error="return", callback_timeout=_ANSWER_S
        )
    except (OSError, TimeoutError) as error:
        raise ClusterError(
            f"--dask-scheduler {address}: not all workers answered in {_ANSWER_S:.0f} s "
            f"({type(error).__name__}); restart them"
        ) from error
    for worker, answer in answers.items():
        if isinstance(answer, Exception) and any(kind in repr(answer) for kind in _NOT_THERE):
            raise ClusterError(
                f"worker {worker}: bids_strip is not installed there, or another version "
                f"({answer}); install {__version__}"
            )
        if isinstance(answer, Exception):
            raise ClusterError(f"worker {worker}: {answer}")
    return answers


def _check(address: str, said: Mapping[str, Mapping[str, Any]], place: Place, image: Path) -> None:
    """Refuse workers that cannot do the work.

    Raises
    ------
    ClusterError
        With the worker, what is wrong and what to do.
    """
    for worker, answer in said.items():
        wrong = None
        if answer["version"] != __version__:
            wrong = other_version(answer["version"], __version__)
        elif not answer["output"]:
            wrong = unseen("OUTPUT_DIR", place.staging)
        elif not answer["image"]:
            wrong = unseen("BIDS_DIR", image)
        if wrong:
            raise ClusterError(f"worker {worker} of {address}: {wrong}")
