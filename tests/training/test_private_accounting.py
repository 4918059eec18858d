from __future__ import annotations

import math
import sys
import warnings
from dataclasses import replace

import pytest

from training.config import TrainConfig
from training.errors import ConfigError, TrainingError
from training.private.accounting import ORDERS, epsilon_spent, plan_privacy

# 12 % of 50 pictures in each of 200 steps: the best order for this budget is a whole number.
PRIVATE = TrainConfig(steps=200, batch_size=3, accumulate=2, dp_epsilon=1.0, dp_delta=1e-5)


def bound_by_hand(sigma: float, rate: float, steps: int, delta: float) -> float:
    """Section 3.3 of arXiv:1908.10530 for whole orders, and theorem 21 of arXiv:1905.09982, with exact binomials."""

    def renyi(order: int) -> float:
        if rate == 1:
            return order / (2 * sigma**2)
        terms = (
            math.comb(order, k) * (1 - rate) ** (order - k) * rate**k * math.exp((k * k - k) / (2 * sigma**2))
            for k in range(order + 1)
        )
        return math.log(math.fsum(terms)) / (order - 1)

    return min(
        steps * renyi(order) + math.log((order - 1) / order) - (math.log(delta) + math.log(order)) / (order - 1)
        for order in range(2, 64)
    )


@pytest.mark.parametrize("rate", [0.12, 1.0])
def test_the_epsilon_spent_is_the_bound_computed_by_hand(rate: float) -> None:
    config = replace(PRIVATE, batch_size=25 if rate == 1 else 3)
    plan = plan_privacy(config, 50)
    assert plan.sample_rate == rate
    by_hand = bound_by_hand(plan.sigma, rate, 200, 1e-5)
    assert plan.spent == pytest.approx(by_hand, rel=2e-3)
    # More orders than whole ones are tried, so the accountant may only be lower.
    assert plan.spent <= by_hand * (1 + 1e-9)


def test_the_epsilon_spent_is_what_opacus_counts_step_by_step() -> None:
    from opacus.accountants import RDPAccountant

    plan = plan_privacy(PRIVATE, 50)
    accountant = RDPAccountant()
    for _ in range(plan.steps):
        accountant.step(noise_multiplier=plan.sigma, sample_rate=plan.sample_rate)
    assert plan.spent == pytest.approx(accountant.get_epsilon(1e-5, alphas=list(ORDERS)), rel=1e-12)
    assert plan.spent == epsilon_spent(plan.sigma, plan.sample_rate, plan.steps, plan.delta)
    assert plan.spent == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)
    assert epsilon_spent(plan.sigma, plan.sample_rate, 0, 1e-5) == 0


@pytest.mark.parametrize("epsilon", [0.05, 1.0, 8.0])
def test_the_noise_is_the_least_that_keeps_the_budget(epsilon: float) -> None:
    plan = plan_privacy(replace(PRIVATE, dp_epsilon=epsilon), 50)
    assert 0.98 * epsilon < plan.spent <= epsilon
    assert epsilon_spent(0.98 * plan.sigma, plan.sample_rate, plan.steps, plan.delta) > epsilon


def test_a_plan_names_accountant_and_release_and_its_expected_batch() -> None:
    import opacus

    plan = plan_privacy(PRIVATE, 50)
    assert (plan.accountant, plan.opacus, plan.expected_batch) == ("rdp", opacus.__version__, 6.0)
    assert plan.to_json()["items"] == 50


def test_a_batch_larger_than_the_dataset_draws_all_of_it() -> None:
    plan = plan_privacy(PRIVATE, 5)
    assert (plan.sample_rate, plan.expected_batch) == (1.0, 5.0)


def test_more_pictures_need_less_noise() -> None:
    sigmas = [plan_privacy(PRIVATE, items).sigma for items in (5, 50, 500)]
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] > 10 * sigmas[2]


def test_a_delta_that_gives_one_picture_away_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 fault") as refused:
        plan_privacy(replace(PRIVATE, dp_delta=0.02), 50)
    assert "must be below 1 / 50" in str(refused.value)


def test_a_budget_that_no_noise_keeps_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        plan_privacy(replace(PRIVATE, dp_epsilon=1e-7, steps=10_000_000), 5)
    assert "cannot be kept over 10000000 steps" in str(refused.value)


def test_orders_at_the_end_of_the_range_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plan_privacy(replace(PRIVATE, dp_epsilon=1000.0), 50).spent <= 1000


def test_without_opacus_the_refusal_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(TrainingError) as refused:
        plan_privacy(PRIVATE, 50)
    assert "pip install 'prov[private]'" in str(refused.value)
