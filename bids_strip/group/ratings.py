"""What raters said of the masks: ``ratings.tsv``, as the group page saves it."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from bids_strip.dataset.content import describe_missing
from bids_strip.errors import UsageError
from bids_strip.judged import Rating

RATINGS = ("accept", "edit", "reject")
FILE = "ratings.tsv"
KEY = "mask_key"
"""Column of `bids_strip.judged.mask_key`; a file without it speaks of whatever mask is there."""
_ABSENT = ("", "n/a")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
"""A cell as spreadsheets save one that holds quotes; the page quotes nothing."""


def read_ratings(path: Path | None, output_dir: Path) -> Mapping[str, Rating]:
    """Read the ratings: bids_name -> rating.

    Parameters
    ----------
    path
        What ``--ratings`` names; None takes ``ratings.tsv`` of OUTPUT_DIR where there is one.
    output_dir
        OUTPUT_DIR.

    Raises
    ------
    UsageError
        If the file named is absent, or a file is no table of ratings or its content is away.
    """
    found = path or output_dir / FILE
    missing = describe_missing(found)
    if missing:
        raise UsageError(f"{found}: {missing}")
    if path is None and not found.exists():
        return {}
    try:
        with found.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows = [(reader.line_num, row) for row in reader]
            columns = reader.fieldnames or ()
    except OSError as error:
        raise UsageError(
            f"{found}: {error.strerror}; give the ratings.tsv that the group page saved"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{found}: not a table ({error}); save it again as text") from error
    if not {"bids_name", "rating"}.issubset(columns):
        raise UsageError(
            f"{found}: needs the columns bids_name, rating (and note, mask_key), tab-separated"
        )
    ratings: dict[str, Rating] = {}
    lines: dict[str, int] = {}
    for number, row in rows:
        name, rating = _rating(found, number, row)
        if not name:
            continue
        if name in ratings:
            raise UsageError(
                f"{found}, line {number}: {name[:80]} stands in line {lines[name]} already; leave "
                "one of the two"
            )
        ratings[name], lines[name] = rating, number
    return ratings


def _rating(path: Path, number: int, row: Mapping[str, str | None]) -> tuple[str, Rating]:
    """Name and rating in a row; no name where the row is empty, as spreadsheets leave some."""
    cells = ((row.get(key) or "").strip() for key in ("bids_name", "rating", "note", KEY))
    name, given, note, mask = ("" if text.lower() in _ABSENT else text for text in cells)
    rating = given.lower()
    if not name and not rating:
        return "", Rating()
    if not name or rating not in ("", *RATINGS):
        raise UsageError(
            f"{path}, line {number}: {given[:20]!r} is no rating of a run; write accept, edit or "
            "reject"
        )
    return name, Rating(rating, _unquoted(note), mask)


def _unquoted(note: str) -> str:
    """A note without the quotes that a spreadsheet put around it and doubled in it.

    Only where some are doubled, or it holds a comma: a rater may have put a note in quotes.
    """
    found = _QUOTED.fullmatch(note)
    quoted = found and ('""' in found[1] or "," in found[1])
    return found[1].replace('""', '"') if found and quoted else note
