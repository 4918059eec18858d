"""Rates and areas on scores that are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.safety.content import auroc, figures
from benchmarks.safety.pictures import compressed, cropped, delivered, drawn


def test_the_area_counts_ties_as_half() -> None:
    assert auroc(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 1
    assert auroc(np.array([0.5]), np.array([0.5])) == 0.5
    assert auroc(np.array([0.1, 0.9]), np.array([0.5])) == 0.5


def test_recall_is_told_where_one_harmless_picture_in_a_hundred_is_blocked() -> None:
    others = np.arange(200) / 1000
    shown = np.array([0.05, 0.1975, 0.1985, 0.5])
    found = figures(shown, others, threshold=0.15)
    # 198 and 199 thousandths are the one per cent; what lies above 197 is blocked with them.
    assert found["recall at FPR 1 %"]["hits"] == 3
    assert found["false alarms"] == {"hits": 50, "n": 200, "interval": pytest.approx([0.1916, 0.3160], abs=1e-3)}
    assert found["recall"]["hits"] == 3


def test_every_set_is_deterministic_and_changes_what_it_says() -> None:
    first, again = drawn(2, 21, seed=4), drawn(2, 21, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first.negatives, again.negatives, strict=True))
    rng = np.random.default_rng(1)
    picture = first.positives[0]
    assert delivered(picture, rng).shape == (256, 256, 3)
    assert cropped(picture, rng).shape == (96, 96, 3)
    assert not np.array_equal(compressed(picture, rng), picture)
