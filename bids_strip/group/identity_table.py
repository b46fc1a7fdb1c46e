"""``group_identity.tsv``: for each run who is likest, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bids_strip.identity.compared import Identity
from bids_strip.identity.findings import FINDINGS, Compared, read_limits
from bids_strip.record import Record

_ABSENT = "n/a"


def identity_table(groups: Iterable[Identity]) -> bytes:
    """``group_identity.tsv``: one row a run of any modality."""
    lines = [list(describe_columns()), *(row for group in groups for row in _rows(group))]
    text = "".join("\t".join(" ".join(cell.split()) for cell in line) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace")


def describe_columns() -> dict[str, dict[str, Any]]:
    """BIDS dictionary of all columns, in order."""
    limits = read_limits()
    return {
        "bids_name": {"Description": "file name of the source without extension"},
        "participant_id": {"Description": "participant of the source"},
        "session_id": {"Description": "session of the source"},
        "finding": {"Description": "what does not fit, separated by commas",
                    "Levels": dict(FINDINGS)},
        "partner": {"Description": "the runs that the findings are about, separated by commas"},
        "own_closest": {"Description": "the likest other run of the same participant"},
        "own_similarity": {
            "Description": "how like it is: correlation of what is a person's own in the two "
                           f"brains; below {limits.two:.2f} they look like two people"},
        "other_closest": {"Description": "the likest run of another participant"},
        "other_similarity": {
            "Description": f"how like it is; from {limits.one:.2f} on they look like one person"},
        "left_out": {"Description": "why a run was not compared"},
    }  # fmt: skip


def _rows(group: Identity) -> Iterator[list[str]]:
    where = {index: at for at, index in enumerate(group.compared)}
    for index, record in enumerate(group.records):
        start = [record.bids_name, *(_label(record, key) for key in ("sub", "ses"))]
        if index in where:
            yield [*start, *_told(group, group.results[where[index]]), _ABSENT]
        else:
            yield [*start, *[_ABSENT] * 6, group.left_out[index]]


def _told(group: Identity, one: Compared) -> list[str]:
    def name(at: int | None) -> str:
        return _ABSENT if at is None else group.name(at)

    def number(value: float | None) -> str:
        return _ABSENT if value is None else f"{value:.3f}"

    return [
        ",".join(one.findings) or _ABSENT,
        ",".join(name(at) for at in one.partners) or _ABSENT,
        name(one.own), number(one.own_similarity), name(one.other), number(one.other_similarity),
    ]  # fmt: skip


def _label(record: Record, key: str) -> str:
    return f"{key}-{record.entities[key]}" if key in record.entities else _ABSENT
