"""CMMD against its formula written out pair by pair, and its intervals against leaving out one prompt at a time."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from generation.errors import GenerationError
from generation.evaluation import cmmd
from generation.evaluation.cmmd import compare


def directions(count: int, size: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, size)) + shift
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return math.exp(-float(np.square(x.astype(np.float64) - y).sum()) / (2 * 10.0**2))


def mean(first: np.ndarray, second: np.ndarray, *, other_than_itself: bool = False) -> float:
    pairs = [
        kernel(x, y) for i, x in enumerate(first) for j, y in enumerate(second) if not (other_than_itself and i == j)
    ]
    return sum(pairs) / len(pairs)


def biased(reference: np.ndarray, found: np.ndarray) -> float:
    return 1000 * (mean(reference, reference) + mean(found, found) - 2 * mean(reference, found))


def unbiased(reference: np.ndarray, found: np.ndarray) -> float:
    own = [mean(rows, rows, other_than_itself=True) for rows in (reference, found)]
    return 1000 * (sum(own) - 2 * mean(reference, found))


def test_both_estimates_are_the_formula_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmmd, "CHUNK", 4)
    reference, before, after = directions(9, 6, 14), directions(7, 6, 15), directions(7, 6, 16, 0.5)
    found = compare(reference, before, after, list(range(7)))
    assert found.biased_before == pytest.approx(biased(reference, before), rel=1e-9)
    assert found.biased_after == pytest.approx(biased(reference, after), rel=1e-9)
    assert found.before.mean == pytest.approx(unbiased(reference, before), rel=1e-8)
    assert found.after.mean == pytest.approx(unbiased(reference, after), rel=1e-8)
    assert found.difference.mean == pytest.approx(found.after.mean - found.before.mean, rel=1e-9)


def test_the_interval_is_the_jackknife_over_prompts_done_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmmd, "CHUNK", 3)
    reference, before, after = directions(8, 5, 17), directions(9, 5, 18), directions(9, 5, 19, 0.4)
    prompts = np.array([4, 2, 4, 2, 7, 7, 7, 2, 4])
    left_out = [
        unbiased(reference, after[prompts != each]) - unbiased(reference, before[prompts != each])
        for each in sorted(set(prompts.tolist()))
    ]
    deviation = math.sqrt(2 / 3 * float(np.square(np.array(left_out) - np.mean(left_out)).sum()))
    found = compare(reference, before, after, prompts.tolist()).difference
    assert found.high - found.mean == pytest.approx(NormalDist().inv_cdf(0.975) * deviation, rel=1e-7)
    assert found.mean - found.low == pytest.approx(found.high - found.mean, rel=1e-9)


def test_the_same_pictures_are_at_no_distance() -> None:
    rows = directions(80, 16, 7)
    found = compare(rows, rows, rows, list(range(80)))
    assert found.biased_before == pytest.approx(0, abs=1e-9)
    assert found.before.mean < 0
    assert (found.difference.low, found.difference.high) == pytest.approx((0, 0), abs=1e-9)


def test_the_interval_covers_the_true_discrepancy_as_often_as_it_says() -> None:
    reference = directions(200, 8, 20)
    population = directions(20_000, 8, 21, 0.3)
    truth = compare(reference, population[:4000], population[:4000], list(range(4000))).before.mean
    hits = 0
    for start in range(4000, 20_000, 80):
        rows = population[start : start + 80]
        found = compare(reference, rows, rows, list(range(80))).before
        hits += found.low <= truth <= found.high
    assert 180 <= hits <= 199


def test_one_prompt_alone_and_one_that_has_nearly_all_are_told_by_picture() -> None:
    reference, rows = directions(9, 6, 22), directions(5, 6, 23)
    by_picture = compare(reference, rows, rows, list(range(5)))
    assert compare(reference, rows, rows, [0] * 5) == by_picture
    assert compare(reference, rows, rows, [0, 0, 0, 0, 1]) == by_picture


def test_directions_that_are_no_numbers_are_refused() -> None:
    rows, broken = directions(8, 4, 24), directions(8, 4, 25)
    broken[3, 1] = np.nan
    with pytest.raises(GenerationError, match="CMMD"):
        compare(rows, rows, broken, list(range(8)))
