"""The trade a threshold makes, as a picture: recall over false-positive rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safety.calibration import COMPARED_RATE, ThresholdFit, roc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DOTS = 130


def plot_roc(
    concept: str, fit: ThresholdFit, negatives: NDArray[np.float64], positives: NDArray[np.float64], path: Path
) -> None:
    """Writes a PNG: the curve on a logarithmic axis of false positives, the threshold on it, and its intervals."""
    import matplotlib.figure

    false, found = roc(negatives, positives)
    lowest = 1 / (2 * len(negatives))
    figure = matplotlib.figure.Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.step([max(rate, lowest) for rate in false], found, where="post", linewidth=1.4)
    axes.axvline(COMPARED_RATE, color="0.7", linewidth=0.8, linestyle="--")
    rate, recall = fit.false_positives, fit.recall
    at = max(rate.share, lowest)
    axes.errorbar(
        [at],
        [recall.share],
        xerr=[[0.0], [rate.interval.high - at]],
        yerr=[[recall.share - recall.interval.low], [recall.interval.high - recall.share]],
        fmt="o",
        capsize=3,
        label=f"blocks from {fit.block:g}",
    )
    axes.set_xscale("log")
    axes.set_xlim(lowest, 1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(f"false-positive rate, {len(negatives)} negatives (left edge: none)")
    axes.set_ylabel(f"recall, {len(positives)} positives")
    axes.set_title(f"{concept}: AUROC {fit.auroc:.4f}")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=DOTS)
