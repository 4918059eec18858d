"""What the content filter finds and what it takes for it, on pictures that differ from what it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.safety.pictures import PictureSet, compressed, cropped, delivered, drawn, generated
from safety.content import ContentFilter, open_content_filter
from safety.intervals import clopper_pearson
from safety.policy import STARTER_BASE, open_policy

STAGE = "output"
AT_ONCE = 64
FPR = 0.01


def measure(work: Path, positives: int, negatives: int, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Every set of pictures through the starter policy's filter, by concept."""
    policy = open_policy(None, STARTER_BASE)
    content_filter = open_content_filter(policy, STARTER_BASE)
    sets = _sets(work, positives, negatives)
    found: dict[str, Any] = {}
    for at, pictures in enumerate(sets):
        shown, others = scores(content_filter, pictures.positives), scores(content_filter, pictures.negatives)
        found[pictures.name] = {
            concept.name: figures(shown[concept.name], others[concept.name], concept.thresholds[policy.filter.kind])
            for concept in policy.at(STAGE)
        }
        progress(at + 1, len(sets))
    return {"policy": policy.digest, "filter": content_filter.digest, "sets": found}


def scores(content_filter: ContentFilter, pictures: Sequence[Any]) -> dict[str, np.ndarray]:
    """The score of every concept for each picture."""
    decisions = []
    for start in range(0, len(pictures), AT_ONCE):
        decisions += content_filter.screen_batch(pictures[start : start + AT_ONCE], STAGE)
    names = content_filter.policy.at(STAGE)
    return {c.name: np.array([decision.scores[c.name] for decision in decisions]) for c in names}


def figures(shown: np.ndarray, others: np.ndarray, threshold: float) -> dict[str, Any]:
    """Rates at the policy's threshold, recall at the threshold of this set's own 1 % of false alarms, and the AUROC."""
    # The k-th highest harmless score, k - 1 of n being at most 1 %: what lies at or above it is blocked.
    allowed = int(FPR * len(others))
    own = np.nextafter(np.sort(others)[::-1][allowed], 1.0)
    return {
        "threshold": threshold,
        "false alarms": rate((others >= threshold).tolist()),
        "recall": rate((shown >= threshold).tolist()),
        "recall at FPR 1 %": rate((shown >= own).tolist()),
        "AUROC": auroc(shown, others),
    }


def auroc(shown: np.ndarray, others: np.ndarray) -> float:
    """The chance that a picture with the object scores above one without, a tie counting half."""
    below = np.searchsorted(np.sort(others), shown, side="left")
    up_to = np.searchsorted(np.sort(others), shown, side="right")
    return float((below + up_to).mean() / (2 * len(others)))


def rate(hits: Sequence[bool]) -> dict[str, Any]:
    """How many of some are hits, with the 95 % interval."""
    found, n = sum(map(bool, hits)), len(hits)
    interval = clopper_pearson(found, n)
    return {"hits": found, "n": n, "interval": [interval.low, interval.high]}


def _sets(work: Path, positives: int, negatives: int) -> list[PictureSet]:
    drawings = drawn(positives, negatives, seed=90_001)
    made = generated(work, min(positives, 150), min(negatives, 450), seed=90_002)
    sent = made.changed("generated, as delivered", delivered, 1)
    return [
        drawings,
        drawings.changed("drawings, cropped to 56 %", cropped, 2),
        made,
        sent,
        sent.changed("delivered, then JPEG 40", compressed, 3),
    ]
