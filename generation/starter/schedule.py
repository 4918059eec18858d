"""The one learning-rate schedule every stage follows."""

from __future__ import annotations


def level_then_down(spent: float, step: int, warm_up: int = 20, level_until: float = 0.4) -> float:
    """The learning rate's factor: a short warm-up, level, then a line down to 1 % as the budget is spent."""
    return min(1.0, (step + 1) / warm_up) * max(0.01, min(1.0, (1 - spent) / (1 - level_until)))
