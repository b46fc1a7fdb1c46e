"""What the runs of a group were made by, where that differs between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bids_strip.record import OK, Record

_WAYS: Mapping[str, Callable[[Record], str | None]] = MappingProxyType({
    "border_mm": lambda record: None if record.manual else _length(record, "border_mm"),
    "no_csf": lambda record: None if record.manual else _tissue(record),
    "bias_smoothness_mm": lambda record: _length(record, "bias_smoothness_mm"),
    "network": lambda record: _network(record) or None,
    "software": lambda record: record.software or None,
})  # fmt: skip
"""Column of the group table -> what it says of a run; None where that does not count."""


def surface_of(record: Record) -> tuple[float | None, bool]:
    """What surface a run's mask is of: its border, and whether it is that of the tissue."""
    return record.options.get("border_mm"), bool(record.options.get("no_csf"))


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
    done = [record for record in records if record.status == OK]
    found = {name: Counter(filter(None, map(way, done))) for name, way in _WAYS.items()}
    told = [f"{name} {_counts(counts)}" for name, counts in found.items() if len(counts) > 1]
    if not told:
        return None
    return (
        f"group_{suffix}.tsv: not all runs were made alike ({'; '.join(told)}); their metrics "
        "differ by that too: compare within these columns, or call the participant level for all "
        "with the same options"
    )


def _counts(counts: Counter[str]) -> str:
    """Values and how many runs have them, the commonest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{value} in {number}" for value, number in ordered)


def _length(record: Record, name: str) -> str | None:
    """An option in mm as text; None where it is not told."""
    return f"{record.options[name]:g}" if name in record.options else None


def _tissue(record: Record) -> str | None:
    """1 for the tissue surface, else 0; None where it is not told."""
    return str(int(bool(record.options["no_csf"]))) if "no_csf" in record.options else None


def _network(record: Record) -> str:
    return " ".join(record.network.get(key, "") for key in ("name", "version")).strip()
