"""What the source's sidecars say of the scanner, by a whitelist.

Nothing else of a sidecar is kept: no names of persons, dates or identifiers. InstitutionName is a
name and stays out; StationName, what an institution calls the machine, tells sites apart. A text
that looks as if it told of a person or a day is left out as a whole.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bids_strip.domain import Run

TERMS = (
    "Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "StationName",
    "ProtocolName",
)  # fmt: skip
"""Keys that are read; the protocol under the name that dcm2niix gives it."""
STRATUM = TERMS[:4]
"""Runs that agree in these were made on one scanner."""
LONGEST = 64
"""Characters of a text that are kept."""

_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_TELLING = re.compile(
    r"\d{6}"  # a date without separators, a number of a person or an examination
    r"|(?:19|20)\d\d[-/._ ]\d{1,2}[-/._ ]\d{1,2}"
    r"|\d{1,2}[-/._ ]\d{1,2}[-/._ ](?:19|20)\d\d"
    r"|(?<!\d)\d\d[-/.]\d\d[-/.]\d\d(?!\d)"
    rf"|\d[-/._ ]?(?:{_MONTH})[a-z]*[-/._ ]?\d"
    r"|[\^@]",  # DICOM parts names of persons so; an address
    re.IGNORECASE,
)
_LEAST_LABEL = 3
"""Shorter labels of participants stand in other words by chance."""


def scanner_of(run: Run) -> dict[str, str]:
    """Read the terms of the whitelist from the sidecars that apply to a run.

    Parameters
    ----------
    run
        The source. Its sidecars are those of BIDS' inheritance principle (specification, common
        principles): JSON files in its folder and those above it up to BIDS_DIR, of its suffix,
        with no entity that it lacks or has otherwise. The nearest counts; in one folder the one
        with the most entities.

    Returns
    -------
    dict
        Terms that are told, in the order of `TERMS`. Sidecars that are absent or damaged tell
        nothing.
    """
    merged: dict[str, Any] = {}
    for folder in _folders(run):
        for path in _applicable(folder, run):
            merged |= _terms_in(path)
    label = run.label("sub") or ""
    cleaned = {term: _clean(merged[term], label) for term in TERMS if term in merged}
    return {term: text for term, text in cleaned.items() if text}


def stratum_of(scanner: Mapping[str, str]) -> tuple[str, ...] | None:
    """What tells one scanner from another; None where nothing is told."""
    known = tuple(scanner.get(term, "") for term in STRATUM)
    return known if any(known) else None


def _folders(run: Run) -> list[Path]:
    """From BIDS_DIR down to the run's own."""
    depth = len(PurePosixPath(run.relative).parts)
    return [*run.path.parents[:depth]][::-1]


def _applicable(folder: Path, run: Run) -> list[Path]:
    """Sidecars in a folder that apply to a run, the most specific last."""
    own = set(run.entities)
    found = [
        (len(entities), name)
        for name, entities in _sidecars(folder, run.suffix)
        if own.issuperset(entities)
    ]
    return [folder / name for _, name in sorted(found)]


def _sidecars(folder: Path, suffix: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(".json")]
    except OSError:
        return
    for name in names:
        *parts, last = name.removesuffix(".json").split("_")
        if last == suffix:
            pairs = (part.partition("-") for part in parts)
            yield name, [(key, label) for key, _, label in pairs]


def _terms_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {term: found[term] for term in TERMS if term in found} if isinstance(found, dict) else {}


def _clean(value: object, label: str) -> str:
    """A value as one line of text; "" if it is none, or may tell of a person or a day."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.3g}" if math.isfinite(value) else ""
    if not isinstance(value, str):
        return ""
    printable = (" " if unicodedata.category(c)[0] in "CZ" else c for c in value)
    text = " ".join("".join(printable).split())
    named = len(label) >= _LEAST_LABEL and label.casefold() in text.casefold()
    return "" if named or _TELLING.search(text) else text[:LONGEST].rstrip()
