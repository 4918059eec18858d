"""The figures of training beside the example of diffusers as a page, a file and a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.training.session import OURS, THEIRS
from provenance.canonical import Json, canonical_json
from provenance.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEM = "training-figures"
MIB = 2**20


def write_report(out: Path, runs: list[Json]) -> Path:
    """Writes ``training-figures.json``, ``.md`` and ``.png``; gives the page."""
    out.mkdir(parents=True, exist_ok=True)
    write_file(out / f"{STEM}.json", canonical_json(runs) + b"\n")
    write_file(out / f"{STEM}.png", _plot(runs))
    page = out / f"{STEM}.md"
    write_file(page, _page(runs).encode())
    return page


def _page(runs: list[Json]) -> str:
    machine, versions = runs[0]["machine"], runs[0]["versions"]
    numbers = ", ".join(f"{name} {number}" for name, number in versions.items())
    lines = [
        "# Training beside the example of diffusers",
        "",
        "Made by `prov bench train`; do not edit. Both train a LoRA (attention, alpha = rank, AdamW, cosine after a",
        f"warmup) on the same base, {runs[0]['plan']['pictures']} pictures and settings, in turn; each goes first in",
        "every other round. Images a second count from the end of the fifth step; the ratio is taken in each round.",
        "Ours hashes every batch into the replay chain meanwhile. Validation loss: the noise in eight pictures that",
        "neither has seen, at five times, with the adapters of equal steps.",
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}, on {machine['device']};",
        f"{numbers}; the other side is `{runs[0]['example']}`.",
        "",
        f"![images a second]({STEM}.png)",
        "",
        "| base, px, batch, precision, threads | rounds × steps | images/s prov | images/s example "
        "| ratio, least to most | peak MiB prov, example | validation loss base, prov, example |",
        "|---|---|---|---|---|---|---|",
        *[_row(run) for run in runs],
    ]
    return "\n".join(lines) + "\n"


def _row(run: Json) -> str:
    plan, ours, theirs, ratio = run["plan"], run["systems"][OURS], run["systems"][THEIRS], run["ratio"]
    losses = (run["base_validation_loss"], ours["validation_loss"], theirs["validation_loss"])
    cells = (
        f"{run['base']}, {plan['side']}, {plan['batch_size']}, {plan['precision']}, {plan['threads']}",
        f"{run['rounds']} × {plan['steps']}",
        f"{ours['images_per_second']['median']:.2f}",
        f"{theirs['images_per_second']['median']:.2f}",
        f"**{ratio['median']:.2f}** ({ratio['least']:.2f} to {ratio['most']:.2f})",
        f"{ours['peak_bytes']['median'] / MIB:.0f}, {theirs['peak_bytes']['median'] / MIB:.0f}",
        ", ".join(f"{loss:.4f}" for loss in losses),
    )
    return f"| {' | '.join(cells)} |"


def _plot(runs: list[Json]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.2 + 0.9 * len(runs)), layout="constrained")
    axes: Axes = figure.subplots()
    for row, run in enumerate(runs):
        for offset, (name, colour) in zip((-0.2, 0.2), ((OURS, "tab:blue"), (THEIRS, "0.65")), strict=True):
            rate = run["systems"][name]["images_per_second"]
            spread = [[rate["median"] - rate["least"]], [rate["most"] - rate["median"]]]
            label = name if row == 0 else None
            axes.barh(row + offset, rate["median"], 0.36, xerr=spread, color=colour, ecolor="0.3", label=label)
        most = run["systems"][OURS]["images_per_second"]["most"]
        axes.text(most, row - 0.2, f"  ×{run['ratio']['median']:.2f}", va="center", fontsize=9)
    names = [f"{run['base']} {run['plan']['side']} px\n{run['plan']['precision']}" for run in runs]
    axes.set_yticks(range(len(runs)), names)
    axes.invert_yaxis()
    axes.set_xlabel("images a second")
    axes.margins(x=0.12)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
