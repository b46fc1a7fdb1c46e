"""Figures that are asked for, beside what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tables import Cell

HEADER = ("asked for", "found", "limit", "met")


@dataclass(frozen=True, slots=True)
class Asked:
    """A figure that is asked for: what was found, the limit in words, and whether it is met."""

    what: str
    found: float
    limit: str
    met: bool


def at_most(what: str, found: float, limit: float) -> Asked:
    """A figure that must not exceed a limit."""
    return Asked(what, found, f"at most {limit:g}", found <= limit)


def at_least(what: str, found: float, limit: float) -> Asked:
    """A figure that must reach a limit."""
    return Asked(what, found, f"at least {limit:g}", found >= limit)


def asked_rows(asked: Sequence[Asked]) -> list[list[Cell]]:
    """Rows below `HEADER`."""
    return [[one.what, one.found, one.limit, "yes" if one.met else "no"] for one in asked]
