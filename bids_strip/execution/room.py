"""The memory of this machine, shared out between the runs that are under way."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

from bids_strip.card import Card
from bids_strip.machine.memory import IDLE_MB, head_size, needed_mb
from bids_strip.machine.resources import RUN_GB
from bids_strip.participant.job import Job
from bids_strip.recipe import Recipe

_ASKED = 20
"""Heads whose size stands for all: reading the headers of ten thousand takes as long as runs."""


_REMEMBERED = 64
"""Headers: of the templates, and of the heads that wait for room."""


class Room:
    """Memory, and what of it runs need.

    Parameters
    ----------
    memory_gb
        What all processes may take together.
    card
        Of the network.
    """

    def __init__(self, memory_gb: float, card: Card) -> None:
        self.memory_gb = memory_gb
        self._card = card
        self._size = lru_cache(_REMEMBERED)(head_size)

    def needed_mb(self, job: Job) -> float:
        """What a run takes by its header; nothing where there is none to read."""
        head = self._size(job.run.path)
        if head is None:
            return 0.0
        templates = [self._size(files.image) for files in job.templates]
        return needed_mb(head, self._card, job.recipe, templates)

    def holds(self, needed_mb: float, under_way_mb: Collection[float], *, nprocs: int) -> bool:
        """True if one more run fits: always if it would be alone, for its worker refuses it.

        Parameters
        ----------
        needed_mb
            Of the run.
        under_way_mb
            Of those that have begun.
        nprocs
            Processes; each that rests, and the one that watches, hold `IDLE_MB`.
        """
        if not under_way_mb:
            return True
        resting = max(1, nprocs - len(under_way_mb))
        return sum(under_way_mb) + needed_mb + resting * IDLE_MB <= self.memory_gb * 1e3


def usual_gb(heads: Sequence[Path], card: Card, recipe: Recipe) -> float:
    """What the middle one of some heads takes, GB; `RUN_GB` where no header can be read."""
    some = heads[:: max(1, -(-len(heads) // _ASKED))]
    sizes = [size for size in map(head_size, some) if size]
    needs = [needed_mb(size, card, recipe) for size in sizes]
    return statistics.median(needs) / 1e3 if needs else RUN_GB
