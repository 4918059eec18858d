from __future__ import annotations

import numpy as np
import pytest

from generation.audit.neighbours import leave_one_out, nearest
from generation.audit.verdict import Space, judge, spread_of

COUNT = 4


def world(captions: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Centres of captions, samples around them, and each sample's caption."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(captions, 64))
    samples = np.repeat(centres, COUNT, axis=0) + spread * draw.normal(size=(captions * COUNT, 64))
    return centres, samples.astype(np.float32), np.repeat(np.arange(captions), COUNT).tolist()


def judged(captions: int, copied: float, seed: int = 1) -> Space:
    """A training picture for each caption; a share of the captions give it back, and the others draw it anew."""
    draw = np.random.default_rng(seed + 100)
    centres, base, numbers = world(captions, 0.5, seed)
    training = (centres + 0.5 * draw.normal(size=centres.shape)).astype(np.float32)
    samples = (np.repeat(centres, COUNT, axis=0) + 0.5 * draw.normal(size=base.shape)).astype(np.float32)
    back = np.repeat(np.arange(captions) < copied * captions, COUNT)
    samples[back] = (np.repeat(training, COUNT, axis=0) + 0.05 * draw.normal(size=base.shape))[back]
    everything = np.ones(len(samples), bool)
    reference = leave_one_out(training, [str(i) for i in range(captions)], 100)
    spread = spread_of(base, numbers, ~everything)
    return judge(nearest(samples, training), reference, spread, numbers, everything)


def test_pictures_given_back_are_found() -> None:
    found = judged(20, 1.0)
    assert found.copied.all()
    assert found.memorised


def test_a_few_copied_captions_are_named_without_a_verdict_on_all() -> None:
    found = judged(40, 0.05)
    assert found.copied[: 2 * COUNT].all()
    assert found.captions_copied == 2
    assert not found.memorised


@pytest.mark.parametrize("seed", range(5))
def test_the_same_scenes_drawn_anew_are_no_copies(seed: int) -> None:
    found = judged(20, 0.0, seed)
    assert (found.rank < 0.06).mean() > 0.9  # by distances among scenes alone, all of them would be
    assert found.copied.mean() < 0.05
    assert not found.memorised


def test_four_pictures_are_enough_when_all_come_back() -> None:
    found = judged(4, 1.0)
    assert found.memorised
    assert found.p == pytest.approx((2 / 25) ** 4)  # 24 pairs of the base rank nothing below 1 / 25


def test_samples_that_are_not_counted_decide_nothing() -> None:
    _, samples, numbers = world(5, 0.5, 3)
    none = np.zeros(len(samples), bool)
    counted = ~none
    counted[::COUNT] = False
    training = samples[::COUNT].copy()
    reference = leave_one_out(training, list("abcde"), 100)
    found = judge(nearest(samples, training), reference, spread_of(samples, numbers, none), numbers, counted)
    assert found.copied[::COUNT].all()
    assert found.captions_copied == 0


def test_spread_is_between_samples_of_one_caption_that_were_drawn() -> None:
    rows = np.array([[0.0], [3.0], [10.0], [100.0], [104.0]], np.float32)
    blocked = np.array([False, False, True, False, False])
    assert sorted(spread_of(rows, [0, 0, 0, 1, 1], blocked)) == [3.0, 4.0]
