from __future__ import annotations

import numpy as np
import pytest

from generation.audit.pull import compare, pull_of


def test_the_pull_of_a_caption_is_the_mean_over_its_samples_against_the_base() -> None:
    norms = np.array([[2.0, 4.0], [3.0, 3.0], [1.0, 1.0], [1.0, 1.0]], np.float32)
    base = np.ones((4, 2), np.float32)
    assert pull_of(norms, [0, 0, 1, 1], base) == pytest.approx([np.log(3), 0.0])
    assert pull_of(norms, [0, 0, 1, 1], None) == pytest.approx([np.log(3), 0.0])


def test_captions_that_pull_harder_are_found() -> None:
    draw = np.random.default_rng(0)
    found = compare(1 + 0.2 * draw.normal(size=12), 0.2 * draw.normal(size=12), 0)
    assert found.auc == 1.0
    assert found.to_json()["trained_mean"] - found.to_json()["control_mean"] == pytest.approx(1, abs=0.2)
    assert found.p < 1e-3


def test_captions_that_pull_alike_give_p_values_that_hold() -> None:
    draw = np.random.default_rng(1)
    found = [compare(draw.normal(size=8), draw.normal(size=8), seed).p for seed in range(60)]
    assert sum(p <= 0.1 for p in found) <= 14


def test_ties_count_half() -> None:
    found = compare(np.array([1.0, 1.0]), np.array([1.0, 1.0]), 0)
    assert (found.auc, found.p) == (0.5, 1.0)
