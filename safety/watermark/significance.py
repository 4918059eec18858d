"""How unlikely a reading is by chance: exact tails or bounds, multiplied by everything that was tried."""

from __future__ import annotations

import math

import numpy as np

from safety.watermark.payload import PAYLOAD_BITS

SMALLEST = 1e-300
# Bentkus and Dzindzalieta (2015), "A tight Gaussian bound for weighted sums of Rademacher random variables":
# P[Σ a_i s_i ≥ x ‖a‖] ≤ c · P[N(0,1) ≥ x] for every x and all weights, with c = 1 / (4 P[N(0,1) ≥ √2]).
RADEMACHER_CONSTANT = 1 / (2 * math.erfc(1.0))


def p_value(agreeing: int, positions: int, hypotheses: int) -> float:
    """The chance that any of 2^64 payloads in any of ``hypotheses`` readings agrees so well with coin tosses.

    ``min(1, hypotheses · 2^64 · P[Binomial(positions, 1/2) ≥ agreeing])``: a union bound, exact in the
    tail and valid for every picture when the key is random and unknown to whoever made it. Never below 1e-300.
    """
    return over_all_payloads(log_tail(agreeing, positions), hypotheses)


def over_all_payloads(log_probability: float, hypotheses: int) -> float:
    """``min(1, hypotheses · 2^64 · exp(log_probability))``, never below 1e-300."""
    logarithm = log_probability + PAYLOAD_BITS * math.log(2) + math.log(hypotheses)
    return 1.0 if logarithm >= 0 else max(math.exp(max(logarithm, -745.0)), SMALLEST)


def log_rademacher_tail(score: float) -> float:
    """A bound on the logarithm of P[Σ a_i s_i ≥ score · ‖a‖] for independent fair signs and any weights."""
    return min(0.0, math.log(RADEMACHER_CONSTANT) + log_normal_tail(score))


def log_normal_tail(score: float) -> float:
    """The logarithm of P[N(0,1) ≥ score]; from 25 on by its upper bound φ(x)/x."""
    if score < 25:
        return math.log(math.erfc(score / math.sqrt(2)) / 2)
    return -score * score / 2 - math.log(score * math.sqrt(2 * math.pi))


def log_tail(agreeing: int, positions: int) -> float:
    """The natural logarithm of P[Binomial(positions, 1/2) ≥ agreeing]."""
    if agreeing <= 0:
        return 0.0
    if agreeing > positions:
        return -math.inf
    first = math.lgamma(positions + 1) - math.lgamma(agreeing + 1) - math.lgamma(positions - agreeing + 1)
    counts = np.arange(agreeing, positions)
    ratios = np.cumsum(np.log((positions - counts) / (counts + 1)))
    return first + float(np.log1p(np.exp(ratios).sum())) - positions * math.log(2)
