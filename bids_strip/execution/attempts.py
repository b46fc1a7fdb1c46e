"""Traces of attempts, in the call's own folder: workers of a cluster see one another's.

A scheduler hands a dead worker's task to the next one, again and again, and a task of a worker
that was only cut off is done twice. So an attempt is claimed before it begins and closed after its
record is written; whoever finds it claimed leaves the run alone.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from bids_strip.domain import Run
from bids_strip.naming import names_of
from bids_strip.output.place import Place
from bids_strip.participant.job import Done, Failed, Job, Outcome
from bids_strip.record import OK, read_record


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An attempt that was begun before and has not ended: most likely its process died."""

    run: Run


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one run.

    Attributes
    ----------
    run
        The image.
    number
        1, then 2 when it is tried again.
    place
        Where traces and outputs are.
    """

    run: Run
    number: int
    place: Place

    @property
    def _begun(self) -> Path:
        return self.place.staging / f"{self.run.name}.begun-{self.number}"

    def claim(self) -> bool:
        """Begin it; False if somebody has.

        Raises
        ------
        FileNotFoundError
            If the call's folder is not there: it is over, or this machine does not see it.
        """
        try:
            self._begun.open("x").close()
        except FileExistsError:
            return False
        return True

    def release(self) -> None:
        """Leave it to be begun again: another call has the run."""
        with contextlib.suppress(OSError):
            self._begun.unlink()

    def close(self, outcome: Outcome) -> None:
        """Note that the record is written, and the exit code it stands for."""
        if not self._begun.exists():  # the call is over; writing made its folder anew
            for folder in (self.place.staging, self.place.staging.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            return
        code = outcome.exit_code if isinstance(outcome, Failed) else 0
        ended = self._ended(self.number)
        partial = ended.with_name(f"{ended.name}.partial")
        with contextlib.suppress(OSError):  # a full disk: the outcome is on its way all the same
            partial.write_text(str(code), encoding="ascii")
            partial.replace(ended)

    def outcome(self) -> Outcome | None:
        """What this attempt or an earlier one came to, from the record; None if none has ended."""
        codes = [_read(self._ended(number)) for number in range(1, self.number + 1)]
        code = next(filter(None, codes), None)
        record = read_record(self.place.output_dir / names_of(self.run)["qc"])
        if code is None or record is None:
            return None
        if record.status == OK:
            return Done(self.run, record)
        return Failed(self.run, record.stage or "run", record.reason or "", int(code))

    def _ended(self, number: int) -> Path:
        return self.place.staging / f"{self.run.name}.ended-{number}"


def attempt_of(job: Job, number: int) -> Attempt:
    """An attempt at a job."""
    return Attempt(job.run, number, job.place)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None
