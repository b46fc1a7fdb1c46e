"""What the similarities say: whose runs are not one person's, and whose are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bids_strip.identity.likeness import Similarity

FILE = Path(__file__).parents[1] / "models" / "identity.json"
"""Quantiles of simulated rescans, from ``python -m training.rescans``."""

Codes = NDArray[np.int64]

COPY_SIMILARITY = 0.995
"""Nearer than a second scan comes, which has noise and a position of its own."""
LIKELY_SWAP = "likely_swap"
COPY = "copy"
LOOKS_LIKE_ONE = "looks_like_one"
LOOKS_LIKE_TWO = "looks_like_two"
FINDINGS: Mapping[str, str] = MappingProxyType({
    LIKELY_SWAP: "unlike the other runs of its own participant and like those of another one, "
                 "whose run is like those of this one: labels are likely exchanged",
    COPY: "the same image as another run: the same bytes, or nearer than two scans come",
    LOOKS_LIKE_ONE: "as like a run of another participant as two scans of one head",
    LOOKS_LIKE_TWO: "like no other run of its own participant: the scan is likely of someone else",
})  # fmt: skip
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Similarities that part one person from two.

    Attributes
    ----------
    one
        Two scans are of one head from here on: few simulated rescans lie below.
    two
        Two scans are of two heads below: halfway between rescans and different heads.
    """

    one: float
    two: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A run among all others.

    Attributes
    ----------
    own, other
        The likest run of the same participant, and of another; None without one.
    own_similarity, other_similarity
        How like they are.
    findings
        Of `FINDINGS`, in their order.
    partners
        The runs that the findings are about.
    """

    own: int | None
    own_similarity: float | None
    other: int | None
    other_similarity: float | None
    findings: tuple[str, ...] = ()
    partners: tuple[int, ...] = ()


def read_limits(path: Path = FILE) -> Limits:
    """The limits that follow from the simulated rescans."""
    quantiles = json.loads(path.read_text(encoding="utf-8"))
    same, different = quantiles["same_head"], quantiles["different_heads"]
    return Limits(
        one=float(same["0.01"]),
        two=(float(same["0.01"]) + float(different["0.99"])) / 2,
    )


def compare(
    similarity: Similarity, people: Sequence[str], inputs: Sequence[str], limits: Limits
) -> tuple[Compared, ...]:
    """Find what does not fit.

    Parameters
    ----------
    similarity : (R, R) float32
        From `bids_strip.identity.likeness.similarities`.
    people
        Whose each run is said to be.
    inputs
        Hash of each source file, "" where it is not known.
    limits
        From `read_limits`.
    """
    _, person = np.unique(people, return_inverse=True)
    runs = [_closest(similarity, person, run) for run in range(len(person))]
    swapped = {
        run: partner
        for run in range(len(runs))
        if (partner := _swapped_with(run, runs, similarity, person, limits)) is not None
    }
    # one of the two may be likest to a third participant, and look for its partner there
    swapped = {partner: run for run, partner in swapped.items()} | swapped
    copies = _copies(inputs)
    return tuple(
        _judged(run, runs, copies.get(run), similarity, limits, person, swapped)
        for run in range(len(runs))
    )


def _closest(similarity: Similarity, person: Codes, run: int) -> Compared:
    """The likest runs, without a finding."""
    same = person == person[run]
    other = _likest(similarity[run], ~same)
    same[run] = False
    return Compared(*_likest(similarity[run], same), *other)


def _likest(row: NDArray[np.float32], among: NDArray[np.bool_]) -> tuple[int | None, float | None]:
    where = np.flatnonzero(among)
    if not where.size:
        return None, None
    found = int(where[np.argmax(row[where])])
    return found, float(row[found])


def _swapped_with(
    run: int, runs: Sequence[Compared], similarity: Similarity, person: Codes, limits: Limits
) -> int | None:
    """The run with which a run's label is likely exchanged.

    Neither is like the others of its own participant; each is like the others of the other one.
    """
    other = runs[run].other
    if other is None or not _stranger(runs[run], limits):
        return None
    theirs = np.flatnonzero(person == person[other])
    ours = np.flatnonzero(person == person[run])
    for partner in theirs.tolist():
        if not _stranger(runs[partner], limits):
            continue
        there = similarity[run, theirs[theirs != partner]]
        here = similarity[partner, ours[ours != run]]
        if there.size and here.size and min(there.max(), here.max()) >= limits.one:
            return partner
    return None


def _stranger(one: Compared, limits: Limits) -> bool:
    """True if a run is like no other of its participant."""
    return one.own_similarity is not None and one.own_similarity < limits.two


def _copies(inputs: Sequence[str]) -> dict[int, int]:
    """Runs whose source files are the same, and with which."""
    holders: dict[str, list[int]] = {}
    for run, content in enumerate(inputs):
        if content:
            holders.setdefault(content, []).append(run)
    return {
        run: next(one for one in same if one != run)
        for same in holders.values()
        if len(same) > 1
        for run in same
    }


def _judged(
    run: int, runs: Sequence[Compared], same_bytes: int | None, similarity: Similarity,
    limits: Limits, person: Codes, swapped: Mapping[int, int],
) -> Compared:  # fmt: skip
    """A run with its findings; what a swap explains is not told twice."""
    one = runs[run]
    likest = same_bytes if same_bytes is not None else _likest_of_all(run, one, similarity)
    is_copy = same_bytes is not None or (
        likest is not None and similarity[run, likest] >= COPY_SIMILARITY
    )
    alike = one.other_similarity is not None and one.other_similarity >= limits.one
    explained = _in_one_swap(run, one.other, person, swapped)
    found = {
        LIKELY_SWAP: swapped.get(run),
        COPY: likest if is_copy else None,
        LOOKS_LIKE_ONE: one.other if alike and not explained else None,
        LOOKS_LIKE_TWO: one.own if _stranger(one, limits) and run not in swapped else None,
    }
    told = {name: partner for name, partner in found.items() if partner is not None}
    return replace(one, findings=tuple(told), partners=tuple(dict.fromkeys(told.values())))


def _in_one_swap(run: int, other: int | None, person: Codes, swapped: Mapping[int, int]) -> bool:
    """True if either's label was exchanged with one of the other's participant."""
    return any(
        one in swapped and person[swapped[one]] == person[whose]
        for one, whose in ((run, other), (other, run))
        if one is not None and whose is not None
    )


def _likest_of_all(run: int, one: Compared, similarity: Similarity) -> int | None:
    """The likest run, whosever it is."""
    known = [other for other in (one.own, one.other) if other is not None]
    return max(known, key=lambda other: float(similarity[run, other]), default=None)
