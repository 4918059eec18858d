"""The figures of generation as a page and a file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.generation.session import STAGES
from provenance.canonical import Json, canonical_json
from provenance.files import write_file

STEM = "generation-figures"


def write_report(out: Path, runs: list[Json]) -> Path:
    """Writes ``generation-figures.json`` and ``.md``; gives the page."""
    out.mkdir(parents=True, exist_ok=True)
    write_file(out / f"{STEM}.json", canonical_json(runs) + b"\n")
    page = out / f"{STEM}.md"
    write_file(page, _page(runs).encode())
    return page


def _page(runs: list[Json]) -> str:
    machine = runs[0]["machine"]
    numbers = ", ".join(f"{name} {number}" for name, number in runs[0]["versions"].items())
    lines = [
        "# What a history costs when pictures are generated",
        "",
        "Made by `prov bench generate`; do not edit. The same pictures by diffusers' pipeline alone and by",
        "`prov generate`, which screens prompt and picture, marks, signs, records and writes; one process, in turn,",
        "from the end of the first batch on. One batch is finished while the next is drawn, so a stage costs time only",
        "where it has to share a processor with the sampler.",
        "",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['system']}, on {machine['device']};",
        f"{numbers}.",
        "",
        "| base | steps, guidance, batch, threads | images/s diffusers | images/s prov | ratio, least to most "
        "| ms an image: " + ", ".join(STAGES.values()) + " |",
        "|---|---|---|---|---|---|",
        *[_row(run) for run in runs],
    ]
    return "\n".join(lines) + "\n"


def _row(run: Json) -> str:
    rates, ratio, stages = run["images_per_second"], run["ratio"], run["stage_seconds_per_image"]
    cells = (
        run["base"],
        f"{run['steps']}, {run['guidance']:g}, {run['batch_size']}, {run['threads']}",
        f"{rates['diffusers']['median']:.3f}",
        f"{rates['prov']['median']:.3f}",
        f"**{ratio['median']:.3f}** ({ratio['least']:.3f} to {ratio['most']:.3f})",
        ", ".join(f"{1000 * stages[name]:.0f}" for name in STAGES.values()),
    )
    return f"| {' | '.join(cells)} |"
