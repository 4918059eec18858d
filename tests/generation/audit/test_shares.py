from __future__ import annotations

import numpy as np
import pytest

from generation.audit.shares import Seen, association_p, balance_p, differences, holm, shares

VALUES = ("red", "green", "blue")


def seen_of(choice: list[int], axis: list[str]) -> Seen:
    groups = {("object", name): np.array([each == name for each in axis]) for name in sorted(set(axis))}
    return Seen(VALUES, np.array(choice), np.full(len(choice), 0.9), groups)


def test_shares_count_what_was_not_blocked() -> None:
    found = shares(seen_of([0, 0, 1, -1, 2, -1], ["a", "a", "a", "a", "b", "b"]))
    counted = {(share.group[1], share.value): (share.hits, share.n) for share in found}
    assert counted["all", "red"] == (2, 4)
    assert counted["a", "green"] == (1, 3)
    assert counted["b", "blue"] == (1, 1)
    assert len(found) == 9


def test_a_group_that_is_blocked_altogether_has_no_share() -> None:
    found = shares(seen_of([0, 1, -1, -1], ["a", "a", "b", "b"]))
    assert {share.group[1] for share in found} == {"all", "a"}


def test_balanced_choices_are_rarely_called_unbalanced_by_any_interval() -> None:
    draw = np.random.default_rng(1)
    wrong = sum(
        any(share.unbalanced for share in shares(seen_of(draw.integers(0, 3, 60).tolist(), ["a", "b"] * 30)))
        for _ in range(60)
    )
    assert wrong <= 8  # 5 % of 60, and three standard deviations


def test_a_planted_preference_is_unbalanced() -> None:
    found = shares(seen_of([0] * 40 + [1] * 5 + [2] * 5, ["a", "b"] * 25))
    assert {(share.group[1], share.value) for share in found if share.unbalanced} >= {("all", "red"), ("all", "blue")}


def test_balance_is_tested_with_a_p_value_that_holds() -> None:
    draw = np.random.default_rng(2)
    null = [balance_p(seen_of(draw.integers(0, 3, 30).tolist(), ["a"] * 30), seed) for seed in range(100)]
    assert sum(p <= 0.1 for p in null) <= 20
    assert balance_p(seen_of([0] * 30, ["a"] * 30), 0) < 1e-3
    assert balance_p(seen_of([0, 1, 2] * 10, ["a"] * 30), 0) == 1.0


def test_an_attribute_that_follows_an_axis_is_found_and_one_that_does_not_is_not() -> None:
    axis = ["a"] * 30 + ["b"] * 30
    assert association_p(seen_of([0] * 30 + [1] * 30, axis), "object", 0) < 1e-3
    assert association_p(seen_of([0, 1] * 30, axis), "object", 0) > 0.5
    draw = np.random.default_rng(4)
    null = [association_p(seen_of(draw.integers(0, 3, 60).tolist(), axis), "object", s) for s in range(40)]
    assert sum(p <= 0.1 for p in null) <= 10


def test_what_an_adapter_changes_is_counted_over_pairs_that_neither_had_blocked() -> None:
    axis = ["a"] * 6
    found = differences(seen_of([0, 0, 0, 1, -1, 2], axis), seen_of([1, 1, 0, 0, 0, -1], axis))
    red = next(change for change in found if change.group[0] == "all" and change.value == "red")
    assert (red.gained, red.lost, red.n) == (2, 1, 4)
    assert red.interval.low < 0.25 < red.interval.high


def test_a_planted_change_is_significant_after_correction_and_no_change_is_not() -> None:
    axis = ["a", "b"] * 30
    changed = differences(seen_of([0] * 60, axis), seen_of([1] * 60, axis))
    red = next(change for change in changed if change.group[0] == "all" and change.value == "red")
    assert red.corrected < 1e-9
    assert red.interval.low > 0.8
    same = differences(seen_of([0, 1] * 30, axis), seen_of([0, 1] * 30, axis))
    assert all(change.corrected == 1.0 and change.interval.low < 0 < change.interval.high for change in same)


def test_holm_is_that_of_the_book() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
