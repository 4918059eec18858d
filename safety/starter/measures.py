"""How well a CLIP tells things apart: zero-shot accuracy, and a score's separation of two sets of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safety.clip_model import ClipModel, unit_rows
from safety.intervals import clopper_pearson
from safety.zero_shot import TEMPLATES

FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Separation:
    """What a score does to ``positives`` and ``negatives``: the area under the ROC curve, and rates with intervals.

    ``recall`` is measured at the threshold that 1 % of these same negatives reach; ``caught`` and ``stopped`` are the
    parts of positives and negatives at or above ``threshold``. Intervals are Clopper and Pearson's at 95 %.
    """

    auroc: float
    positives: int
    negatives: int
    recall: float
    recall_interval: tuple[float, float]
    threshold: float
    caught: float
    caught_interval: tuple[float, float]
    stopped: float
    stopped_interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "auroc": round(self.auroc, 5),
            "positives": self.positives,
            "negatives": self.negatives,
            "recall_at_fpr_0.01": _rate(self.recall, self.recall_interval),
            "threshold": self.threshold,
            "recall_at_threshold": _rate(self.caught, self.caught_interval),
            "fpr_at_threshold": _rate(self.stopped, self.stopped_interval),
        }


def separation(positives: NDArray[np.float64], negatives: NDArray[np.float64], threshold: float) -> Separation:
    """Measures scores (N,) of pictures that should score high against those that should not."""
    allowed = int(FALSE_POSITIVES * len(negatives))
    # Above the first score that would be one false positive too many.
    strict = np.sort(negatives)[::-1][allowed]
    found, caught, stopped = (
        int(hits.sum()) for hits in (positives > strict, positives >= threshold, negatives >= threshold)
    )
    return Separation(
        auroc(positives, negatives),
        len(positives),
        len(negatives),
        found / len(positives),
        _interval(found, len(positives)),
        threshold,
        caught / len(positives),
        _interval(caught, len(positives)),
        stopped / len(negatives),
        _interval(stopped, len(negatives)),
    )


def auroc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float:
    """The chance that a positive scores above a negative, ties counting half."""
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left")
    level = np.searchsorted(ordered, positives, "right") - below
    return float((below + level / 2).mean() / len(negatives))


def zero_shot(clip: ClipModel, seen: NDArray[np.float32], phrases: Sequence[str]) -> NDArray[np.int64]:
    """The phrase closest to each direction (N, D), every phrase in four templates, as numbers (N,)."""
    texts = [template.format(phrase) for phrase in phrases for template in TEMPLATES]
    directions = clip.texts(texts).reshape(len(phrases), len(TEMPLATES), -1)
    closest: NDArray[np.int64] = (seen @ unit_rows(directions.mean(axis=1)).T).argmax(axis=1)
    return closest


def accuracy(found: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Any]:
    """The part of answers that are right, with its interval and n."""
    right, n = int((found == truth).sum()), len(truth)
    return {**_rate(right / n, _interval(right, n)), "n": n}


def _interval(hits: int, n: int) -> tuple[float, float]:
    found = clopper_pearson(hits, n)
    return found.low, found.high


def _rate(value: float, interval: tuple[float, float]) -> dict[str, Any]:
    return {"value": round(value, 4), "interval": [round(bound, 4) for bound in interval]}
