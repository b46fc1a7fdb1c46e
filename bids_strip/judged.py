"""A run as the group level sees it: its record, what stands out in it, what a rater said."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bids_strip.identity.findings import FINDINGS
from bids_strip.naming import names_of
from bids_strip.record import OK, Record, digest_of, run_of
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
    """What a rater said of a mask.

    Attributes
    ----------
    rating
        ``accept``, ``edit``, ``reject`` or "".
    note
        "" for none.
    mask
        `mask_key` of the mask it was given to; "" where that is not told: it counts for any.
    """

    rating: str = ""
    note: str = ""
    mask: str = ""


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
        What was said of it before, be it of another mask.
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

    @cached_property
    def mask(self) -> str:
        """`mask_key` of its mask."""
        return mask_key(self.record)

    @property
    def rated_another(self) -> bool:
        """True if the rating was given to another mask of the run: it says nothing of this one."""
        return bool(self.rating.rating) and self.rating.mask not in ("", self.mask)

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


def mask_key(record: Record) -> str:
    """What a rating is given to: another scan, or another way to its mask, gives another key."""
    mask = names_of(run_of(record))["mask"]
    made_of = {
        "input": record.input.sha256 if record.input else None,
        "network": record.network.get("sha256"),
        "manual": record.manual.sha256 if record.manual else None,
        "surface": record.surface.get("origin"),
        "size": [one.size for one in record.outputs if one.name == mask],
        **{name: record.options.get(name) for name in ("border_mm", "no_csf")},
    }
    return digest_of(made_of)[:12]


def reason_words() -> dict[str, str]:
    """What each reason means to a rater: of the rules, and of the identity check."""
    return {**words_of_reasons(), **FINDINGS}
