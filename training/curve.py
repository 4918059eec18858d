"""The course of a training as a picture: its loss, and what was held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from provenance.files import write_file
from training.watch import Watch

# A mean over about this share of the training shows where a loss is heading.
SMOOTHED = 0.05


def write_curve(path: Path, losses: Sequence[float], watch: Watch, released: int) -> None:
    """Draws the training loss, smoothed, and the validation losses, and marks the step whose weights are released."""
    import io

    import matplotlib
    import numpy as np

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    width = max(1, round(SMOOTHED * len(losses)))
    means = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(np.arange(1, len(losses) + 1), losses, color="0.85", linewidth=0.7)
    axes.plot(np.arange(width, len(losses) + 1), means, color="tab:blue", label=f"training, mean of {width} steps")
    if watch.points:
        steps, values = zip(*watch.points, strict=True)
        axes.plot(steps, values, color="tab:orange", marker="o", markersize=3, label="held out")
    axes.axvline(released, color="0.4", linestyle=":", label=f"released: step {released}")
    axes.set(xlabel="step", ylabel="loss", ylim=_limits(means, watch))
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    write_file(path, buffer.getvalue())


def _limits(means: Iterable[float], watch: Watch) -> tuple[float, float]:
    """Single steps jump far beyond what matters; the axis shows the means and the validations."""
    values = [*means, *(loss for _, loss in watch.points)]
    margin = 0.1 * (max(values) - min(values)) or 0.1
    return min(values) - margin, max(values) + margin
