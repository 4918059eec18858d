"""How well pictures show what was asked for: CLIP scores before and after, with paired bootstrap intervals.

The score is torchmetrics' (Hessel et al., arXiv:2104.08718, without their factor 2.5): 100 × the cosine of picture and
prompt, averaged, and not below 0. Like there, the tokenizer cuts a prompt that is too long for the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from provenance.canonical import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE, RESAMPLINGS = 0.95, 2000
CHUNK = 100


@dataclass(frozen=True)
class Estimate:
    """A mean with the interval that its resamplings leave."""

    mean: float
    low: float
    high: float

    def to_json(self, least: float = -np.inf) -> Json:
        """As plain values, none below ``least``."""
        return {name: round(max(least, getattr(self, name)), 6) for name in ("mean", "low", "high")}


@dataclass(frozen=True)
class Scores:
    """Mean scores before and after, and of the difference after less before; ``groups`` were resampled."""

    before: Estimate
    after: Estimate
    difference: Estimate
    groups: int

    def to_json(self) -> Json:
        """As plain values; a mean below 0 counts as 0, as torchmetrics has it."""
        return {
            "before": self.before.to_json(0.0),
            "after": self.after.to_json(0.0),
            "difference": self.difference.to_json(),
            "confidence": CONFIDENCE,
            "resamplings": RESAMPLINGS,
            "groups": self.groups,
        }


def scores(pictures: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float64]:
    """100 × the cosine (N,) of directions (N, D) of pictures and of their prompts, all of length 1."""
    return np.asarray(100.0 * np.einsum("nd,nd->n", pictures, texts, dtype=np.float64))


def compare(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    prompts: Sequence[int],
    seed: int,
    *,
    most: int = RESAMPLINGS,
) -> Scores:
    """Compares scores (N,) of the same draws; ``prompts[i]`` numbers the prompt of the i-th.

    Whole prompts are resampled, with both scores of every picture of theirs: pictures of one prompt have much in
    common. With one prompt alone its pictures are resampled. Intervals are percentiles.
    """
    numbers = np.asarray(prompts)
    if len(set(numbers.tolist())) < 2:
        numbers = np.arange(len(before))
    _, places = np.unique(numbers, return_inverse=True)
    counts = np.bincount(places).astype(np.float64)
    sums = np.stack([np.bincount(places, each) for each in (before, after, after - before)], axis=1)
    draw, found = np.random.default_rng(seed), []
    for start in range(0, most, CHUNK):
        chosen = draw.integers(len(counts), size=(min(CHUNK, most - start), len(counts)))
        found.append(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1, keepdims=True))
    means = np.concatenate(found)
    tail = (1 - CONFIDENCE) / 2
    bounds = np.quantile(means, (tail, 1 - tail), axis=0)
    first, second, change = (
        Estimate(float(mean), float(min(low, mean)), float(max(high, mean)))
        for mean, low, high in zip(sums.sum(axis=0) / counts.sum(), *bounds, strict=True)
    )
    return Scores(first, second, change, len(counts))
