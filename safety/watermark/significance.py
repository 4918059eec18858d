"""How unlikely a reading is by chance: exact binomial tails, multiplied by everything that was tried."""

from __future__ import annotations

import math

import numpy as np

from safety.watermark.payload import PAYLOAD_BITS

SMALLEST = 1e-300


def p_value(agreeing: int, positions: int, hypotheses: int) -> float:
    """The chance that any of 2^64 payloads in any of ``hypotheses`` readings agrees so well with coin tosses.

    ``min(1, hypotheses · 2^64 · P[Binomial(positions, 1/2) ≥ agreeing])``: a union bound, exact in the
    tail and valid for every picture when the key is random and unknown to whoever made it. Never below 1e-300.
    """
    logarithm = log_tail(agreeing, positions) + PAYLOAD_BITS * math.log(2) + math.log(hypotheses)
    return 1.0 if logarithm >= 0 else max(math.exp(max(logarithm, -745.0)), SMALLEST)


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
