"""A run as the group level sees it: its record, what stands out in it, what a rater said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bids_strip.identity.findings import FINDINGS
from bids_strip.record import OK, Record
from bids_strip.verdict import CHECK, FINE, reasons, words_of_reasons

UNREADABLE = "failed"


@dataclass(frozen=True, slots=True)
class Outlier:
    """One metric of one run that stands out from the group.

    Attributes
    ----------
    key
        The metric.
    z
        Its robust z-score: how many standard deviations above (+) or below (-) the median.
    """

    key: str
    z: float


@dataclass(frozen=True, slots=True)
class Rating:
    """What a rater said of a mask: ``accept``, ``edit``, ``reject`` or "", and a note."""

    rating: str = ""
    note: str = ""


UNRATED = Rating()


@dataclass(frozen=True)
class Judged:
    """A run and what is thought of it.

    Attributes
    ----------
    record
        What the participant level left.
    outliers
        Metrics that stand out from the group, the farthest first.
    rating
        What was said of it before.
    identity
        What the identity check found of it, of `bids_strip.identity.findings.FINDINGS`.
    """

    record: Record
    outliers: tuple[Outlier, ...] = ()
    rating: Rating = UNRATED
    identity: tuple[str, ...] = ()

    @cached_property
    def reasons(self) -> tuple[str, ...]:
        """Names of the rules of `bids_strip.verdict` that hold, and what identity found."""
        if self.record.status != OK:
            return ()
        return (*reasons(self.record.metrics, self.record.flags), *self.identity)

    @property
    def verdict(self) -> str:
        """``failed``, ``check`` or ``ok``."""
        if self.record.status != OK:
            return UNREADABLE
        return CHECK if self.reasons or self.outliers else FINE

    @property
    def rank(self) -> float:
        """How much it wants eyes: reasons first, then how far its metrics stand out."""
        far = sum(abs(one.z) for one in self.outliers)
        return len(self.reasons) + far / (1 + far)


def reason_words() -> dict[str, str]:
    """What each reason means to a rater: of the rules, and of the identity check."""
    return {**words_of_reasons(), **FINDINGS}
