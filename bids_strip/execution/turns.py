"""The order of runs: those that another call is working on come last, and are waited for then."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from bids_strip.domain import Run
from bids_strip.participant.job import Job

PATIENCE_S = 1800.0
"""How long to wait for another call that works on the same run, when nothing else is left."""


@dataclass(frozen=True, slots=True)
class Held:
    """A run that another call is working on."""

    run: Run


class Turns:
    """Jobs that are to do; many calls over one list take different ones this way.

    Parameters
    ----------
    jobs
        In their order.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._fresh = deque(jobs)
        self._held: deque[Job] = deque()

    def __bool__(self) -> bool:
        return bool(self._fresh or self._held)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._held)

    @property
    def first(self) -> Job:
        """The next one."""
        return (self._fresh or self._held)[0]

    def take(self) -> tuple[Job, float]:
        """The next one, and how long to wait for another call that has it, s."""
        if self._fresh:
            return self._fresh.popleft(), 0.0
        return self._held.popleft(), PATIENCE_S

    def back(self, job: Job) -> None:
        """Put one at the end that another call has."""
        self._held.append(job)

    def clear(self) -> None:
        """Take none any more."""
        self._fresh.clear()
        self._held.clear()
