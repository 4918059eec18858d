"""The figures as Markdown, and the scores as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.latent.readings import Row
from benchmarks.latent.samples import Accuracy, Shared
from safety.watermark import THRESHOLD
from safety.watermark.latent_keys import NONCES
from safety.watermark.significance import log_rademacher_tail, over_all_payloads

LABEL = "starter model (toy)"


@dataclass(frozen=True)
class Figures:
    """Everything that was measured."""

    rows: Mapping[int, Sequence[Row]]
    accuracies: Sequence[Accuracy]
    diversities: Sequence[tuple[str, tuple[float, float], tuple[float, float]]]
    shared: Shared


def needed_score() -> float:
    """The least score that is significant for one estimate."""
    score = 5.0
    while over_all_payloads(log_rademacher_tail(score), NONCES) >= THRESHOLD:
        score += 0.001
    return score


def markdown(figures: Figures) -> str:
    """The tables."""
    lines = [
        f"# The latent layer on the {LABEL}: figures",
        "",
        "Written by `python -m benchmarks.latent`. What they mean, and what they do not, is in",
        "[latent-watermark.md](latent-watermark.md). Square scenes drawn in 20 steps at guidance 1, read by 10 steps",
        "of inversion with the empty prompt, public key. *Score* is that of the true mark, mean and least: standard",
        f"normal in a picture without it; {needed_score():.1f} is significant at 1e-9 over 2^80 hypotheses.",
        "",
        f"| {LABEL}: what happened |"
        + "".join(f" {side} px: exact | wrong | score | median p |" for side in figures.rows),
        "|---|" + "---|---|---|---|" * len(figures.rows),
    ]
    for of_one_name in zip(*figures.rows.values(), strict=True):
        lines.append(f"| {of_one_name[0].name} |" + "".join(f" {_cells(row)} |" for row in of_one_name))
    lines += ["", f"| {LABEL}: median time, one thread | whole reading | of it, trying all nonces |", "|---|---|---|"]
    lines += [
        f"| {side} px | {rows[0].reading_ms:.0f} ms | {rows[0].deciding_ms:.0f} ms |"
        for side, rows in figures.rows.items()
    ]
    lines += [
        "",
        "## Can marked be told from plain?",
        "",
        f"| {LABEL}: classifier on | accuracy, cross-validated | 95 % interval | samples |",
        "|---|---|---|---|",
    ]
    for a in figures.accuracies:
        low, high = a.interval
        lines.append(f"| {a.name} | {100 * a.share:.1f} % | {100 * low:.1f}–{100 * high:.1f} % | {a.count} |")
    shared = figures.shared
    lines += [
        "",
        f"Correlation of noises that share a nonce by chance ({shared.pairs} pairs), in standard deviations of",
        f"independent noises: mean {shared.mean:+.2f} ± {shared.spread / shared.pairs**0.5:.2f}, root mean square"
        f" {shared.spread:.2f}.",
        "",
        f"| {LABEL}: diversity, prompt | marked | plain |",
        "|---|---|---|",
    ]
    lines += [
        f"| {prompt} | {marked[0]:.2f} ± {marked[1]:.2f} | {plain[0]:.2f} ± {plain[1]:.2f} |"
        for prompt, marked, plain in figures.diversities
    ]
    lines += [
        "",
        "Mean distance (root mean square of 0–255, at an eighth of the size) between pictures of one prompt.",
        "",
    ]
    return "\n".join(lines)


def _cells(row: Row) -> str:
    score = f"{row.score:.1f}, {row.least_score:.1f}"
    return f"{row.exact}/{row.count} | {row.wrong} | {score} | {row.median_p:.0e}"


def plot(figures: Figures, path: Path) -> None:
    """The mean and least score under each attack against what is needed, for each size."""
    import matplotlib.figure

    names = [row.name for row in next(iter(figures.rows.values()))]
    figure = matplotlib.figure.Figure(figsize=(9, 0.42 * len(names) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    high = 0.8 / len(figures.rows)
    for number, (side, rows) in enumerate(figures.rows.items()):
        places = [-index - number * high for index in range(len(rows))]
        axes.barh(places, [row.score for row in rows], high, label=f"{side} px, mean")
        axes.plot([row.least_score for row in rows], places, "k|", markersize=8)
        for place, row in zip(places, rows, strict=True):
            axes.text(max(row.score, 0) + 0.3, place, f"{row.exact}/{row.count}", va="center", fontsize=7)
    axes.axvline(needed_score(), color="#b04040", linestyle="--", label="needed (p < 1e-9)")
    axes.set_yticks([-index - high / 2 for index in range(len(names))], names)
    axes.set_xlabel("score of the true mark, standard normal without one; ticks: the least; text: exact payloads")
    axes.set_title(f"Latent layer, {LABEL}")
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
