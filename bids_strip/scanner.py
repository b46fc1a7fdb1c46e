"""What the source's sidecars say of the scanner, by a whitelist.

Nothing else of a sidecar is kept, and of what is free text nothing that could tell of a person, a
day or a device: of the maker's and the model's names the words without long numbers, of the
protocol the words of `PROTOCOL_WORDS` and short numbers, of StationName, which tells sites apart, a
digest. InstitutionName stays out.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bids_strip.domain import Run
from bids_strip.text_file import read_json

TERMS = (
    "Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "StationName",
    "ProtocolName",
)  # fmt: skip
"""Keys that are read; the protocol under the name that dcm2niix gives it."""
STRATUM = TERMS[:4]
"""Runs that agree in these were made on one scanner."""
LONGEST = 64
"""Characters of a text that are kept."""
PROTOCOL_WORDS = frozenset((
    "2d", "3d", "accelerated", "adni", "adni2", "adni3", "anat", "anatomical", "asset", "ax",
    "axial", "brain", "bravo", "caipi", "cor", "coronal", "cs", "cube", "dir", "epi", "ffe",
    "flair", "flash", "fs", "fse", "fspgr", "gd", "grappa", "gre", "head", "hires", "hr", "ir",
    "irfspgr", "iso", "isotropic", "me", "memprage", "mp2rage", "mpr", "mprage", "navigated",
    "norm", "optimized", "p2", "p3", "pd", "pdw", "post", "pre", "ref", "sag", "sagittal", "se",
    "sense", "space", "spc", "spgr", "spir", "stir", "structural", "survey", "t1", "t1w", "t2",
    "t2star", "t2w", "tfe", "tir", "tra", "transverse", "tse", "uni", "vista", "vnav", "we",
    "whole",
))  # fmt: skip
"""What a protocol's name is cut down to; with voxel sizes such as ``0.8mm`` or ``1x1x1``."""

_SIZE = re.compile(r"\d(?:\.\d{1,2})?mm|\d(?:\.\d)?x\d(?:\.\d)?(?:x\d(?:\.\d)?)?")
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_TELLING = re.compile(
    r"\d{5}"  # a date without separators, a number of a person, an examination or a device
    r"|(?<!\d)(?:19|20)\d\d(?!\d)"
    r"|\d{1,2}[-/._ ]\d{1,2}[-/._ ]\d{1,2}"
    rf"|(?<![a-z])(?:{_MONTH})[a-z]*[-/._ ]*\d|\d[-/._ ]*(?:{_MONTH})"
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
        The source. Of its sidecars the nearest counts; in one folder the one with the most
        entities.

    Returns
    -------
    dict
        Terms that are told, in the order of `TERMS`. Sidecars that are absent or damaged tell
        nothing.
    """
    merged: dict[str, Any] = {}
    for path in sidecars_of(run):
        merged |= _terms_in(path)
    label = run.label("sub") or ""
    cleaned = {term: _cleaned(term, merged[term], label) for term in TERMS if term in merged}
    return {term: text for term, text in cleaned.items() if text}


def json_names(folder: Path) -> tuple[str, ...]:
    """Names of the JSON files in a folder; none where it cannot be opened."""
    try:
        with os.scandir(folder) as entries:
            return tuple(entry.name for entry in entries if entry.name.endswith(".json"))
    except OSError:
        return ()


def sidecars_of(
    run: Run, names_in: Callable[[Path], tuple[str, ...]] = json_names
) -> tuple[Path, ...]:
    """The sidecars that apply to a run by BIDS' inheritance principle, the nearest last.

    They are (specification, common principles) the JSON files in its folder and those above it up
    to BIDS_DIR, of its suffix, with no entity that it lacks or has otherwise; in one folder the one
    with the most entities comes last.

    Parameters
    ----------
    run
        The source.
    names_in
        Lists a folder, as `json_names`: who asks for many runs need not list one again.
    """
    return tuple(
        path for folder in _folders(run) for path in _applicable(folder, names_in(folder), run)
    )


def stratum_of(scanner: Mapping[str, str]) -> tuple[str, ...] | None:
    """What tells one scanner from another; None where nothing is told."""
    known = tuple(scanner.get(term, "") for term in STRATUM)
    return known if any(known) else None


def _folders(run: Run) -> list[Path]:
    """From BIDS_DIR down to the run's own."""
    depth = len(PurePosixPath(run.relative).parts)
    return [*run.path.parents[:depth]][::-1]


def _applicable(folder: Path, names: Iterable[str], run: Run) -> list[Path]:
    """Those of a folder's JSON files that apply to a run, the most specific last."""
    own = set(run.entities)
    found = [
        (len(entities), name)
        for name, entities in _sidecars(names, run.suffix)
        if own.issuperset(entities)
    ]
    return [folder / name for _, name in sorted(found)]


def _sidecars(names: Iterable[str], suffix: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for name in names:
        *parts, last = name.removesuffix(".json").split("_")
        if last == suffix:
            pairs = (part.partition("-") for part in parts)
            yield name, [(key, label) for key, _, label in pairs]


def _terms_in(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return {term: found[term] for term in TERMS if term in found} if isinstance(found, dict) else {}


def _cleaned(term: str, value: object, label: str) -> str:
    """What is kept of a term; "" if that is nothing."""
    if term == "MagneticFieldStrength":
        return _number(value)
    text = _line(value)
    if term == "StationName":
        return hashlib.sha256(text.casefold().encode()).hexdigest()[:8] if text else ""
    if term == "ProtocolName":
        return _protocol(text)
    return "" if _names(text, label) or _TELLING.search(text) else text[:LONGEST].rstrip()


def _number(value: object) -> str:
    """A field strength in tesla, ``3`` for 3, 3.0, "3.0" and "3T"."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    try:
        number = float(str(value).strip().rstrip("Tt"))
    except ValueError:
        return ""
    return f"{number:.3g}" if math.isfinite(number) else ""


def _line(value: object) -> str:
    """A text, or a number, as one line of printable characters."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    printable = (" " if unicodedata.category(c)[0] in "CZ" else c for c in str(value))
    return " ".join("".join(printable).split())


def _names(text: str, label: str) -> bool:
    """True if a text holds a participant's label, whatever separates its parts."""
    plain, own = (re.sub(r"[\W_]", "", one).casefold() for one in (text, label))
    return len(own) >= _LEAST_LABEL and own in plain


def _protocol(text: str) -> str:
    """The words of a protocol's name that tell a sequence."""
    words = re.split(r"[^A-Za-z0-9.]+", text)
    kept = (w for w in words if w.casefold() in PROTOCOL_WORDS or _SIZE.fullmatch(w.casefold()))
    return "_".join(kept)[:LONGEST]
