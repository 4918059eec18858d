"""Whether captions that were trained on pull harder than others: the test on norms of ``score_norm``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from provenance.canonical import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLINGS = 20_000


@dataclass(frozen=True)
class Pull:
    """The pull of K trained and C control captions, each a logarithm of its ratio to the base alone where there is one.

    ``auc`` is the chance that a trained caption pulls harder than a control, ``p`` that of so much by chance alone.
    """

    trained: NDArray[np.float64]
    control: NDArray[np.float64]
    auc: float
    p: float

    def to_json(self) -> Json:
        """The test as plain values."""
        return {
            "trained": [round(float(value), 6) for value in self.trained],
            "control": [round(float(value), 6) for value in self.control],
            "trained_mean": round(float(self.trained.mean()), 6),
            "control_mean": round(float(self.control.mean()), 6),
            "auc": round(self.auc, 6),
            "p": self.p,
        }


def pull_of(
    norms: NDArray[np.float32], captions: Sequence[int], base_norms: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """Each caption's pull, from the norms (S, steps) of its samples and those of the base for the same draws."""
    numbers = np.asarray(captions)
    per_sample = np.log(np.maximum(norms.mean(axis=1, dtype=np.float64), 1e-12))
    if base_norms is not None:
        per_sample -= np.log(np.maximum(base_norms.mean(axis=1, dtype=np.float64), 1e-12))
    return np.array([per_sample[numbers == each].mean() for each in sorted(set(captions))])


def compare(trained: NDArray[np.float64], control: NDArray[np.float64], seed: int) -> Pull:
    """Compares by ranks (Mann and Whitney 1947), one-sided, with the p-value from random relabellings."""
    values = np.concatenate([trained, control])
    order = np.searchsorted(np.sort(values), values, side="left") + np.searchsorted(np.sort(values), values, "right")
    placed = order.astype(np.float64)  # twice the mean rank, ties shared
    found = placed[: len(trained)].sum()
    draw = np.random.default_rng(seed)
    shuffled = draw.permuted(np.tile(placed, (RESAMPLINGS, 1)), axis=1)[:, : len(trained)].sum(axis=1)
    wins = (trained[:, None] > control).sum() + 0.5 * (trained[:, None] == control).sum()
    p = float((1 + (shuffled >= found).sum()) / (1 + RESAMPLINGS))
    return Pull(trained, control, float(wins / (len(trained) * len(control))), p)
