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

from bids_strip.metrics import AXES

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


_LEAK = "the mask reaches beyond the brain, into an eye, the neck or the scalp"
_LOSS = "a part of the brain lies outside the mask"
_LOWER = "the mask reaches the lower edge of the image: it leaks down the neck, or the brain is cut"
_ALONG = (
    "the surface runs through what looks like brain: the mask lies beside it, is too small, or "
    "leaks with it"
)
_UNLIKE = "the mask is not shaped like a brain"
_TURNED = "the head lies turned over: the header may have its axes the wrong way round"

RULES: tuple[Rule, ...] = (
    # far from where brains end, by the coarse reference: needs neither the image nor the tissues
    Rule("leak", "reference_beyond_ml", _LEAK, most=1.5),
    Rule("leak", "reference_shift_out_mm", _LEAK, most=8.0),
    Rule("loss", "reference_missing_ml", _LOSS, most=3.5),
    Rule("loss", "reference_shift_in_mm", _LOSS, most=9.0),
    # against the tissues, which the network tells from the same image in a way of its own
    Rule("leak", "other_inside_lump_ml", _LEAK, most=6.4),
    Rule("loss", "tissue_outside_lump_ml", _LOSS, most=3.0),
    Rule("too_large", "tissue_margin_mm", "the mask is too large all round", most=6.9),
    Rule("too_small", "tissue_margin_mm", "the mask is too small all round", least=1.4),
    Rule("at_tissue", "tissue_margin_low_mm", _ALONG, least=-0.5),
    # whether there is a head at all, and the right way up
    Rule("unlike_a_brain", "reference_misfit_mm", _UNLIKE, most=2.6),
    *(Rule("turned", f"rotation_{axis}_deg", _TURNED, least=-60.0, most=60.0) for axis in AXES),
    Rule("beside_nothing", "surface_on_air", "no head lies around a part of the brain", most=0.2),
    # the field of view
    Rule("cut_brain", "reference_in_view", "brain lies outside the field of view", least=0.98),
    Rule("lower_edge", "fov_contact_inferior_cm2", _LOWER, most=10.0),
    # what the input is
    Rule("already_stripped", "already_stripped", "the input was stripped already", most=0.5),
    Rule("sheared", "sheared", "the voxel axes are not at right angles", most=0.5),
    Rule("no_orientation", "no_orientation", "the header does not tell left from right", most=0.5),
    Rule("form_mismatch", "form_mismatch", "the header places the head twice, apart", most=0.5),
)  # fmt: skip


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
