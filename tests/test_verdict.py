"""Rules: data that hold together, and do as they say."""

from __future__ import annotations

import pytest

from benchmarks.qc import FITTING, NO_BRAIN
from bids_strip.metrics import FLAGS, METRICS
from bids_strip.verdict import CHECK, FINE, RULES, Rule, reasons, verdict

KNOWN = {metric.key: metric for metric in METRICS}


def by_rule(rules: tuple[Rule, ...] = RULES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rule", rules, ids=lambda rule: f"{rule.reason}-{rule.key}")


@by_rule()
def test_a_rule_is_on_something_that_is_measured(rule: Rule) -> None:
    assert rule.key in {*KNOWN, *FLAGS}
    assert rule.least is not None or rule.most is not None


@by_rule()
def test_a_rule_holds_beyond_its_range_alone(rule: Rule) -> None:
    if rule.most is not None:
        assert rule.holds(rule.most + 1e-6)
        assert not rule.holds(rule.most)
    if rule.least is not None:
        assert rule.holds(rule.least - 1e-6)
        assert not rule.holds(rule.least)


@by_rule(tuple(rule for rule in RULES if rule.key in KNOWN))
def test_a_rule_looks_to_the_worse_side(rule: Rule) -> None:
    metric = KNOWN[rule.key]
    if metric.better == "lower":
        assert rule.least is None
    if metric.better == "higher":
        assert rule.most is None
    for limit, bound in ((rule.most, metric.most), (rule.least, metric.least)):
        assert limit is None or bound is None or limit != bound, "it could never hold"


def test_a_reason_has_one_meaning() -> None:
    for reason in {rule.reason for rule in RULES}:
        assert len({rule.words for rule in RULES if rule.reason == reason}) == 1


def test_what_fits_a_failure_is_a_reason() -> None:
    known = {NO_BRAIN, *(rule.reason for rule in RULES)}
    for kind, fitting in FITTING.items():
        assert fitting, kind
        assert {*fitting} <= known


@pytest.mark.parametrize(("margin_mm", "held"), [
    (0.0, ()), (-0.1, ()), (-1.6, ("at_tissue",)), (-4.0, ("at_tissue",)),
])  # fmt: skip
def test_at_tissue_holds_of_a_shifted_mask_and_not_of_one_along_tissue(
    margin_mm: float, held: tuple[str, ...]
) -> None:
    """Margins of untouched heads and of masks shifted by 6 mm lie on the two sides."""
    assert reasons({"tissue_margin_low_mm": margin_mm}, {}) == held


RULES_OF_TWO = (
    Rule("leak", "a", "words", most=3),
    Rule("loss", "b", "other words", least=1),
    Rule("leak", "flagged", "words", most=0.5),
)


def test_reasons_are_named_once_in_the_order_of_the_rules() -> None:
    found = reasons({"a": 4.0, "b": 0.0}, {"flagged": True}, RULES_OF_TWO)
    assert found == ("leak", "loss")
    assert verdict(found) == CHECK


def test_a_rule_on_what_is_absent_does_not_hold() -> None:
    assert reasons({}, {}, RULES_OF_TWO) == ()
    assert reasons({"a": 1.0}, {"flagged": False}, RULES_OF_TWO) == ()
    assert verdict(()) == FINE
