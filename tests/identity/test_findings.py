"""What made-up similarities say."""

from __future__ import annotations

import numpy as np
import pytest

from bids_strip.identity.findings import Compared, Limits, compare, read_limits

LIMITS = Limits(one=0.6, two=0.4)


def judged(truth: str, labels: str, inputs: str = "", **pairs: float) -> list[Compared]:
    """Runs of the people in `truth`, under other labels; `pairs` change single similarities."""
    same = np.array([[a == b for b in truth] for a in truth], bool).reshape((len(truth),) * 2)
    similarity = np.where(same, 0.9, 0.1).astype(np.float32)
    similarity += np.float32(0.1) * np.eye(len(truth), dtype=np.float32)
    for pair, value in pairs.items():
        i, j = (int(n) for n in pair[1:].split("_"))
        similarity[i, j] = similarity[j, i] = value
    return list(compare(similarity, list(labels), list(inputs) or [""] * len(labels), LIMITS))


def told(runs: list[Compared]) -> dict[int, tuple[str, ...]]:
    return {at: run.findings for at, run in enumerate(runs) if run.findings}


def test_labels_that_are_right_give_no_finding() -> None:
    runs = judged("AABBC", "AABBC")
    assert told(runs) == {}
    assert (runs[0].own, runs[0].other) == (1, 2)
    assert runs[0].own_similarity == pytest.approx(0.9)
    assert runs[4].own is None
    assert runs[4].own_similarity is None


def test_a_session_of_someone_else() -> None:
    assert told(judged("AABCDD", "AABBDD")) == {2: ("looks_like_two",), 3: ("looks_like_two",)}


def test_one_of_three_sessions_is_the_odd_one() -> None:
    assert told(judged("AAXBB", "AAABB")) == {2: ("looks_like_two",)}


def test_a_person_under_two_labels() -> None:
    runs = judged("ABA", "ABC")
    assert told(runs) == {0: ("looks_like_one",), 2: ("looks_like_one",)}
    assert runs[0].partners == (2,)


def test_a_swap_among_three_sessions_names_the_two() -> None:
    runs = judged("AABBBA", "AAABBB")
    assert told(runs) == {2: ("likely_swap",), 5: ("likely_swap",)}
    assert (runs[2].partners, runs[5].partners) == ((5,), (2,))


def test_a_swap_among_two_sessions_names_all_four() -> None:
    """Either exchange heals it: nothing tells which."""
    runs = judged("ABAB", "AABB")
    assert told(runs) == dict.fromkeys(range(4), ("likely_swap",))
    assert [run.partners for run in runs] == [(3,), (2,), (1,), (0,)]


def test_a_third_label_for_one_of_two_swapped_people_is_told_of() -> None:
    """The swap explains how like the two participants are, not that a third is like them."""
    runs = judged("ABABA", "AABBC", _0_4=0.8, _2_4=0.8)
    assert told(runs) == {**dict.fromkeys(range(4), ("likely_swap",)), 4: ("looks_like_one",)}
    assert runs[4].partners == (0,)


def test_a_swapped_run_that_is_likest_to_a_third_is_told_of_for_both() -> None:
    runs = judged("AABBBAA", "AAABBBC", _5_6=0.95)
    assert told(runs) == {
        2: ("likely_swap",), 5: ("likely_swap", "looks_like_one"), 6: ("looks_like_one",),
    }  # fmt: skip
    assert (runs[2].partners, runs[5].partners) == ((5,), (2, 6))


def test_a_session_put_to_someone_else_is_no_swap() -> None:
    """Participant B has A's second scan beside two of its own."""
    runs = judged("AABBA", "AABBB")
    assert told(runs) == {
        0: ("looks_like_one",), 1: ("looks_like_one",), 4: ("looks_like_one", "looks_like_two"),
    }  # fmt: skip


def test_the_same_bytes_are_a_copy_though_no_brain_is_alike() -> None:
    runs = judged("ABCD", "ABCD", "xyxz")
    assert told(runs) == {0: ("copy",), 2: ("copy",)}
    assert runs[0].partners == (2,)


def test_an_image_stored_anew_is_a_copy() -> None:
    runs = judged("AABC", "AABC", "pqrs", _0_1=0.999)
    assert told(runs) == {0: ("copy",), 1: ("copy",)}


def test_a_copy_under_another_label_looks_like_one_too() -> None:
    assert told(judged("ABA", "ABC", _0_2=0.999))[0] == ("copy", "looks_like_one")


@pytest.mark.parametrize("value", [0.41, 0.59])
def test_between_the_limits_nothing_is_said(value: float) -> None:
    assert told(judged("AAB", "AAB", _0_1=value)) == {}
    assert told(judged("AB", "AB", _0_1=value)) == {}


@pytest.mark.parametrize("runs", [0, 1])
def test_nothing_to_compare(runs: int) -> None:
    found = judged("A" * runs, "A" * runs)
    assert [(one.own, one.other, one.findings) for one in found] == [(None, None, ())] * runs


def test_the_limits_part_rescans_from_different_heads() -> None:
    limits = read_limits()
    assert 0.3 < limits.two < limits.one < 0.8
