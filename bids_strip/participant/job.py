"""A run as work: what it needs, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bids_strip.domain import Run
from bids_strip.output.place import Place
from bids_strip.recipe import Recipe
from bids_strip.record import Record
from bids_strip.templates import TemplateFiles

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """What one run needs besides the network; small, so that it can be sent to a worker.

    Attributes
    ----------
    run
        The image.
    recipe
        What to make of it.
    place
        Where to write.
    version
        Of this program.
    threads
        Threads of the network.
    earlier
        The run's record where it is done but for the border: its stored distances are read instead
        of predicted. None otherwise, and before the run is its worker's alone: until then another
        call may change what lies there.
    templates
        Where the templates of the recipe's spaces lie.
    identity
        True if a descriptor of the brain is to be kept.
    memory_gb
        What the run may take; None for what is free where and when it is done.
    standing
        Its record where only other kinds of output, or other spaces, are asked for: its files stay.
    forced
        True if it is done again though another call may have done it meanwhile.
    """

    run: Run
    recipe: Recipe
    place: Place
    version: str
    threads: int
    earlier: Record | None = None
    templates: tuple[TemplateFiles, ...] = ()
    identity: bool = False
    memory_gb: float | None = None
    forced: bool = False
    standing: Record | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A run whose outputs are written.

    Attributes
    ----------
    run, record
        Which one, and what is known of it.
    remark
        One line about what did not work beside it, "" if all did.
    elsewhere
        True if another call did it while this one was under way.
    """

    run: Run
    record: Record
    remark: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that failed.

    Attributes
    ----------
    run
        Which one.
    stage, reason
        Where, and the one line to show.
    exit_code
        What the error would make of the whole invocation.
    details
        The traceback, for the log.
    remark
        As of `Done`.
    kept
        True if the result of an earlier call stays.
    elapsed_s
        Wall time up to the failure; None if it is not known.
    """

    run: Run
    stage: str
    reason: str
    exit_code: int
    details: str = ""
    remark: str = ""
    kept: bool = False
    elapsed_s: float | None = None

    @property
    def told(self) -> str:
        """The reason, and what becomes of an earlier result."""
        return self.reason + ("; the result of an earlier call stays" if self.kept else "")


Outcome = Done | Failed


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time of each stage, s; the last one is where a failure happened.

    A stage that is done again counts with both times, and as the last one.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(
        self, stage: str, function: Callable[..., T], *args: object, **kwargs: object
    ) -> T:
        """Call a stage and note how long it took."""
        begun = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            before = self.seconds.pop(stage, 0.0)
            self.seconds[stage] = round(before + time.perf_counter() - begun, 3)
