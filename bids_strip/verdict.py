"""The verdict on a run: which of its metrics and flags say that someone should look.

Words:

rule
    What a metric or a flag has to be for a reason to hold; a row of `RULES`.
reason
    The name of a rule that held, for example ``cut_brain``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CHECK = "check"
FINE = "ok"


@dataclass(frozen=True, slots=True)
class Rule:
    """One cause to look at a mask.

    Attributes
    ----------
    reason
        Its name; several rules may share one.
    key
        A metric of `bids_strip.metrics` or a flag (then 0 or 1).
    words
        What it means to a rater, one clause.
    least, most
        The range in which all is well; None where that side is open.
    """

    reason: str
    key: str
    words: str
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        """True if a value lies outside the range in which all is well."""
        below = self.least is not None and value < self.least
        return below or (self.most is not None and value > self.most)


RULES: tuple[Rule, ...] = (
    Rule("already_stripped", "already_stripped", "the input was stripped already", most=0.5),
    Rule("sheared", "sheared", "the voxel axes are not at right angles", most=0.5),
    Rule("no_orientation", "no_orientation", "the header does not tell left from right", most=0.5),
)


def reasons(
    metrics: Mapping[str, float], flags: Mapping[str, bool], rules: Sequence[Rule] = RULES
) -> tuple[str, ...]:
    """Names of the reasons that hold, each once, in the order of the rules.

    Parameters
    ----------
    metrics, flags
        Of a record; a rule on what is absent does not hold.
    """
    known = {**{key: float(value) for key, value in flags.items()}, **metrics}
    held = (rule.reason for rule in rules if rule.key in known and rule.holds(known[rule.key]))
    return tuple(dict.fromkeys(held))


def verdict(found: Sequence[str]) -> str:
    """``check`` where there is a reason, else ``ok``."""
    return CHECK if found else FINE


def words_of_reasons(rules: Sequence[Rule] = RULES) -> dict[str, str]:
    """What each reason means to a rater; of several rules of one name, all."""
    words: dict[str, str] = {}
    for rule in rules:
        known = words.get(rule.reason)
        words[rule.reason] = rule.words if known in (None, rule.words) else f"{known}; {rule.words}"
    return words
