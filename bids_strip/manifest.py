"""The manifest of a call: what became of every selected run, and why it was done.

``logs/bids_strip-<call>_runs.tsv``. While the call works, ``..._runs.partial.tsv`` names what is to
do and grows by a line for each run that ended; a call that is killed leaves that one.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bids_strip.domain import Run
from bids_strip.errors import WriteError
from bids_strip.output.place import Place
from bids_strip.participant.job import Done, Outcome
from bids_strip.printable import folded, one_line
from bids_strip.record import without_places

HEADER = "run\tstate\twhy\tstage\treason\tseconds"
TO_DO, DONE, SKIPPED, FAILED, NOT_STARTED = "to do", "done", "skipped", "failed", "not started"
STOPPED = "stopped"
"""Begun or not, when the call was ended."""
_NOTHING = "n/a"
_GROWING = ".partial.tsv"
_WITHOUT_END = (TO_DO, STOPPED, NOT_STARTED)
_IMAGE = re.compile(r"(.*/)?sub-[^/]+_[A-Za-z0-9]+\.nii(\.gz)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a run.

    Attributes
    ----------
    run
        Path of the source below BIDS_DIR.
    state
        ``done``, ``skipped``, ``failed``, ``not started`` or ``stopped``; ``to do`` in the lines of
        a call that works, before the run's own.
    why
        Why it was to be done, "" if it was not.
    stage, reason
        Where and why it failed, "" if it did not.
    seconds
        Wall time; None if nothing was done or it is not known.
    """

    run: str
    state: str
    why: str = ""
    stage: str = ""
    reason: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        """As a row of the table, without its end."""
        seconds = "" if self.seconds is None else f"{self.seconds:.3f}"
        cells = (self.run, self.state, self.why, self.stage, self.reason, seconds)
        return "\t".join(one_line(folded(cell)) or _NOTHING for cell in cells)


class Manifest:
    """The entries of a call as they come.

    Parameters
    ----------
    output_dir
        OUTPUT_DIR, which no entry names.
    why
        Why each run that is to do is to be done.
    file
        Where the lines are noted as they come; None if the disk takes nothing.
    """

    def __init__(
        self, output_dir: Path, why: Mapping[Run, str], file: TextIO | None = None
    ) -> None:
        self.output_dir = output_dir
        self.why = why
        self.file = file
        self.entries: dict[str, Entry] = {}
        """Of the runs that have ended, by path of the source."""

    def skip(self, runs: Iterable[Run]) -> None:
        """Note runs that are done already."""
        self._note(*(Entry(run.relative, SKIPPED) for run in runs))

    def each(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Pass outcomes on and note them."""
        for outcome in outcomes:
            self._note(self._entry(outcome))
            yield outcome

    def rest(self, state: str) -> None:
        """Note what has not ended."""
        left = ((run, why) for run, why in self.why.items() if run.relative not in self.entries)
        self._note(*(Entry(run.relative, state, why) for run, why in left))

    def table(self) -> bytes:
        """The whole, runs by path."""
        rows = [HEADER, *(str(self.entries[name]) for name in sorted(self.entries))]
        return ("\n".join(rows) + "\n").encode("utf-8", "backslashreplace")

    def summary(self) -> str:
        """How many runs came to what: the last line of a call."""
        counts = Counter(entry.state for entry in self.entries.values())
        always, if_any = (DONE, SKIPPED, FAILED), (NOT_STARTED,)
        states = (*always, *(state for state in if_any if counts[state]))
        return ", ".join(f"{counts[state]} {state}" for state in states)

    def _entry(self, outcome: Outcome) -> Entry:
        run, why = outcome.run, self.why.get(outcome.run, "")
        if isinstance(outcome, Done):
            if outcome.elsewhere:
                return Entry(run.relative, SKIPPED, "another call did it meanwhile")
            return Entry(run.relative, DONE, why, seconds=outcome.record.elapsed_s)
        reason = without_places(outcome.told, run, self.output_dir)
        return Entry(run.relative, FAILED, why, outcome.stage, reason, outcome.elapsed_s)

    def begin(self) -> None:
        """Say on the disk what is to do."""
        self._write(*(Entry(run.relative, TO_DO, why) for run, why in self.why.items()))

    def _note(self, *entries: Entry) -> None:
        self.entries.update((entry.run, entry) for entry in entries)
        self._write(*entries)

    def _write(self, *entries: Entry) -> None:
        if self.file is not None:
            with contextlib.suppress(OSError):  # a full disk: the runs' own lines tell of it
                self.file.writelines(f"{entry}\n" for entry in entries)
                self.file.flush()


@contextlib.contextmanager
def manifest(place: Place, why: Mapping[Run, str], done: Iterable[Run]) -> Iterator[Manifest]:
    """Keep the manifest of a call; however the call ends, every selected run stands in it.

    Parameters
    ----------
    place
        Of the call.
    why
        Why each run that is to do is to be done.
    done
        Runs that are skipped.

    Yields
    ------
    Manifest
        To be told what becomes of the runs.
    """
    name = f"logs/bids_strip-{place.staging.name}_runs"
    growing = place.output_dir / f"{name}{_GROWING}"
    with contextlib.ExitStack() as stack:
        file: TextIO | None = None
        with contextlib.suppress(OSError):
            file = growing.open("w", encoding="utf-8", errors="backslashreplace")
            file.write(f"{HEADER}\n")
        found = Manifest(place.output_dir, why, file=file)
        stack.callback(_close, found, place, f"{name}.tsv", growing)
        found.begin()
        found.skip(done)
        left = STOPPED
        try:
            yield found
            left = NOT_STARTED
        finally:
            found.rest(left)


def unended(output_dir: Path) -> dict[str, Path]:
    """Sources that a call had to do and did not end, each with its manifest.

    The call works still, was killed, or was ended (SIGTERM, ``--stop-on-first-crash``) before.
    """
    found: dict[str, Path] = {}
    for path in sorted((output_dir / "logs").glob("*_runs*.tsv")):
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
            rows = (line.split("\t") for line in text.splitlines(keepends=True) if line[-1] == "\n")
            states = {row[0]: row[1] for row in rows if len(row) > 1 and _IMAGE.fullmatch(row[0])}
            found |= {run: path for run, state in states.items() if state in _WITHOUT_END}
    return found


def _close(found: Manifest, place: Place, name: str, growing: Path) -> None:
    """Put the whole in its place; where that fails what has grown stays."""
    if found.file is not None:
        with contextlib.suppress(OSError):
            found.file.close()
    with contextlib.suppress(WriteError, OSError):
        place.put(name, found.table())
        growing.unlink(missing_ok=True)
