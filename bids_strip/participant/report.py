"""Keep a participant's page in step with the records of its runs."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from bids_strip.naming import page_name
from bids_strip.output.place import Place
from bids_strip.page.subject import subject_page
from bids_strip.record import Record, record_in

_TRIES = 20
State = frozenset[tuple[str, int, int, int]]
"""Of record files: name, inode, size, time of change."""


def renew_page(subject: str, place: Place, *, software: str) -> None:
    """Write the page of a participant anew from all the records that lie there.

    Parameters
    ----------
    subject
        Label.
    place
        Where to.
    software
        Name and version, for the foot of the page.

    Raises
    ------
    WriteError
        If the file system refuses.

    Notes
    -----
    Any number of processes, on any number of machines, may finish runs of one participant at the
    same time. No lock is needed, and none is left behind by a process that dies: whoever has put a
    page in its place looks whether the records are still those it was made of, and makes it again
    if not. A record that is written before that look is seen by it; one that is written after it
    is followed by its own writer's page.
    """
    for _ in range(_TRIES):
        before = _state(subject, place.output_dir)
        records = sorted(
            (record_in(place.output_dir / name) for name, *_ in before), key=_by_number
        )
        place.put(
            page_name(subject),
            subject_page(subject, records, output_dir=place.output_dir, software=software),
        )
        if _state(subject, place.output_dir) == before:
            return


def _state(subject: str, output_dir: Path) -> State:
    """What lies there of a participant's records."""
    folder = f"sub-{glob.escape(subject)}"
    found = set()
    for pattern in (f"{folder}/anat/*_qc.json", f"{folder}/ses-*/anat/*_qc.json"):
        for path in output_dir.glob(pattern):
            try:
                status = path.stat()
            except OSError:  # being made anew
                continue
            name = path.relative_to(output_dir).as_posix()
            found.add((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return frozenset(found)


def _by_number(record: Record) -> list[tuple[int, str]]:
    """Names in the order of a reader: session 2 before session 10."""
    parts = re.split(r"(\d+)", record.bids_name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
