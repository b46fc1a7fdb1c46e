"""What the runs of a group were made with, where that differs between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bids_strip.record import OK, Record, made_with

_SURFACE = ("border_mm", "no_csf")
"""Columns of `bids_strip.record.made_with` that no mask edited by hand is asked for."""

Surface = tuple[float | None, bool]
"""Border in mm, None where it is not told; True for the surface of the tissue."""


def surfaces_of(records: Sequence[Record]) -> list[Surface]:
    """What surface each run's mask is of.

    An edited mask has no border of its own: it counts with the commonest surface of the others.
    """
    found = [(one.options.get("border_mm"), bool(one.options.get("no_csf"))) for one in records]
    own = Counter(s for one, s in zip(records, found, strict=True) if one.manual is None)
    commonest = own.most_common(1)
    return [
        commonest[0][0] if one.manual and commonest else surface
        for one, surface in zip(records, found, strict=True)
    ]


def mixed(records: Sequence[Record], suffix: str) -> str | None:
    """One line where the runs of a modality were not made alike, None where they were.

    Parameters
    ----------
    records
        Of the modality; runs that failed do not count, and no border is asked of a mask that was
        edited by hand.
    suffix
        Of the modality.
    """
    found: dict[str, Counter[str]] = {}
    for record in records:
        for name, value in _told(record) if record.status == OK else ():
            found.setdefault(name, Counter())[value] += 1
    told = [f"{name} {_counts(counts)}" for name, counts in found.items() if len(counts) > 1]
    if not told:
        return None
    return (
        f"group_{suffix}.tsv: not all runs were made alike ({'; '.join(told)}); their metrics "
        "differ by that too: compare within these columns, or call the participant level for all "
        "with the same options"
    )


def _told(record: Record) -> Iterator[tuple[str, str]]:
    """What a record tells of the ways that count, as text."""
    for name, value in made_with(record).items():
        if value is None or (record.manual and name in _SURFACE):
            continue
        yield name, value if isinstance(value, str) else f"{value:g}"


def _counts(counts: Counter[str]) -> str:
    """Values and how many runs have them, the commonest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{value} in {number}" for value, number in ordered)
