"""Statements about distributions fail by chance with a probability below 1e-9 each (Dvoretzky–Kiefer–Wolfowitz)."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from training.private.secret import Secret

CHANCE = 1e-9
NUMBERS = 200_000


def farthest(values: torch.Tensor, distribution: torch.Tensor) -> float:
    """The largest distance of the empirical distribution of sorted values from a distribution at these values."""
    count = len(values)
    above = torch.arange(1, count + 1, dtype=torch.float64) / count - distribution
    below = distribution - torch.arange(count, dtype=torch.float64) / count
    return float(torch.maximum(above, below).max())


def bound(count: int) -> float:
    return math.sqrt(math.log(2 / CHANCE) / (2 * count))


def test_normals_have_the_standard_normal_distribution() -> None:
    values = Secret().normals(3, "noise", NUMBERS).sort().values
    assert farthest(values, torch.special.ndtr(values)) < bound(NUMBERS)


def test_chances_are_uniform_and_below_one() -> None:
    values = Secret().chances(3, "who", NUMBERS).sort().values
    assert farthest(values, values) < bound(NUMBERS)
    assert 0 <= values[0] < values[-1] < 1


def test_draws_of_two_steps_or_purposes_do_not_depend_on_each_other() -> None:
    secret = Secret()
    drawn = [secret.normals(step, purpose, NUMBERS) for step in (0, 1) for purpose in ("a", "b")]
    limit = 6.2 / math.sqrt(NUMBERS)
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert abs(float((one * other).mean())) < limit


def test_the_same_key_draws_the_same_and_a_fresh_one_does_not() -> None:
    same = [Secret(b"k" * 32).normals(1, "noise", 8) for _ in range(2)]
    assert torch.equal(*same)
    fresh = {tuple(Secret().normals(1, "noise", 8).tolist()) for _ in range(3)}
    assert len(fresh) == 3
    assert Secret(b"k" * 32).seed(1, "dropout") == Secret(b"k" * 32).seed(1, "dropout") < 2**63


def test_a_secret_is_not_printed_pickled_or_copied() -> None:
    secret = Secret(b"k" * 32)
    assert "k" * 4 not in f"{secret!r} {secret}"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in the process"):
            attempt(secret)
    assert not hasattr(secret, "__dict__")
