from __future__ import annotations

import numpy as np
import pytest

from generation.audit import neighbours
from generation.audit.neighbours import leave_one_out, nearest, ranks


def points(n: int, seed: int, size: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


def test_the_nearest_is_that_of_every_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CHUNK", 7)
    queries, known = points(20, 1), points(33, 2)
    distances = np.sqrt(np.square(queries[:, None].astype(float) - known).mean(axis=2))
    found = nearest(queries, known)
    assert found.index.tolist() == distances.argmin(axis=1).tolist()
    assert found.distance == pytest.approx(distances.min(axis=1), rel=1e-6)


def test_a_copy_is_at_distance_zero_exactly() -> None:
    known = points(10, 3) + 100
    assert nearest(known[4:5], known).distance[0] == 0.0


def test_a_point_that_may_take_no_other_is_infinitely_far() -> None:
    known = points(2, 4)
    found = nearest(known[:1], known, [[0, 1]])
    assert (found.index[0], found.distance[0]) == (-1, np.inf)


def test_a_picture_that_lies_twice_in_a_set_is_not_its_own_neighbour() -> None:
    known = points(6, 5)
    twice = np.concatenate([known, known[:2]])
    kinds = [*"abcdef", "a", "b"]
    assert leave_one_out(twice, kinds, 100) == pytest.approx(leave_one_out(known, list("abcdef"), 100))
    assert (leave_one_out(twice, kinds, 100) > 0.1).all()


def test_a_set_of_one_picture_has_no_distances_within() -> None:
    assert len(leave_one_out(points(1, 6)[[0, 0, 0]], ["a", "a", "a"], 100)) == 0


def test_only_so_many_are_left_out() -> None:
    assert len(leave_one_out(points(50, 7), [str(i) for i in range(50)], 8)) == 8


def test_ranks_of_one_more_draw_are_p_values_and_those_of_a_copy_the_least() -> None:
    small = 0
    for seed in range(300):
        draw = points(40, seed)
        reference = leave_one_out(draw[:-1], [str(i) for i in range(39)], 100)
        small += ranks(nearest(draw[-1:], draw[:-1]).distance, reference)[0] <= 0.1
    assert small <= 45  # a tenth of 300, and three standard deviations
    draw = points(39, 900)
    reference = leave_one_out(draw, [str(i) for i in range(39)], 100)
    assert ranks(nearest(draw[:1], draw).distance, reference)[0] == pytest.approx(1 / 40)
