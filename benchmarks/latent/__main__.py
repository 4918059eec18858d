"""Draws, attacks, reads and writes the figures: `python -m benchmarks.latent [--count N] [--out DIR]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.latent.attacks import attacks
from benchmarks.latent.readings import Row, read_all
from benchmarks.latent.report import Figures, markdown, plot
from benchmarks.latent.samples import (
    Accuracy,
    diversity,
    noise_accuracies,
    noise_samples,
    picture_accuracy,
    shared_nonces,
)
from benchmarks.latent.starter import (
    PROMPTS,
    ROCKETS,
    SIDES,
    SMALL_SHAPE,
    draw_marked,
    draw_plain,
    shape_of,
    starter,
    trained_adapter,
)

SMALL_STEPS = 8
Diversities = list[tuple[str, tuple[float, float], tuple[float, float]]]


def main() -> None:
    """Everything, in about 40 minutes on two shared cores."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=5, help="marked pictures of each size for the attacks")
    arguments.add_argument("--sides", type=int, nargs="+", default=list(SIDES), help="sizes of these in pixels")
    arguments.add_argument("--small", type=int, default=40, help="pictures of each prompt and kind to tell apart")
    arguments.add_argument("--noises", type=int, default=3000, help="noises of each kind to tell apart")
    arguments.add_argument("--out", type=Path, default=Path("docs"), help="folder of the figures")
    chosen = arguments.parse_args()
    pipeline = starter()
    with tempfile.TemporaryDirectory() as folder:
        adapted = starter(trained_adapter(Path(folder)))
    rows = {side: _rows(pipeline, adapted, chosen.count, shape_of(side)) for side in chosen.sides}
    marked, plain, nonces = noise_samples(chosen.noises)
    pictures, diversities = small_pictures(pipeline, chosen.small)
    figures = Figures(rows, [*noise_accuracies(marked, plain), pictures], diversities, shared_nonces(marked, nonces))
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "latent-watermark-figures.md").write_text(markdown(figures), "utf-8")
    plot(figures, chosen.out / "latent-watermark.png")


def _rows(pipeline: Any, adapted: Any, count: int, shape: tuple[int, int, int]) -> list[Row]:
    return [*attack_rows(pipeline, count, shape), *adapter_rows(pipeline, adapted, count, shape)]


def attack_rows(pipeline: Any, count: int, shape: tuple[int, int, int]) -> list[Row]:
    """Every attack on the same marked pictures; then pictures without a mark, and a wrong key."""
    drawn = draw_marked(pipeline, PROMPTS, count, shape=shape)
    rows = []
    for name, attack in attacks(pipeline).items():
        attacked = [attack(each.pixels, seed) for seed, each in enumerate(drawn)]
        rows.append(_told(read_all(name, pipeline, attacked, drawn)))
    unmarked = draw_plain(pipeline, PROMPTS, count, shape=shape)
    rows.append(_told(read_all("no mark (control)", pipeline, unmarked, drawn)))
    pixels = [each.pixels for each in drawn]
    rows.append(_told(read_all("another key (control)", pipeline, pixels, drawn, key=b"another key")))
    return rows


def adapter_rows(pipeline: Any, adapted: Any, count: int, shape: tuple[int, int, int]) -> list[Row]:
    """Pictures of an adapter, read with it and without it."""
    drawn = draw_marked(adapted, ROCKETS, count, shape=shape)
    pixels = [each.pixels for each in drawn]
    return [
        _told(read_all("adapter, read with it", adapted, pixels, drawn)),
        _told(read_all("adapter, read with the base alone", pipeline, pixels, drawn)),
    ]


def small_pictures(pipeline: Any, count: int) -> tuple[Accuracy, Diversities]:
    """Marked and plain pictures of 256 px, told apart over all prompts, and how they vary within each."""
    marked, plain, diversities = [], [], []
    for prompt in PROMPTS[:2]:
        with_mark = draw_marked(pipeline, [prompt], count, shape=SMALL_SHAPE, steps=SMALL_STEPS)
        ours = [each.pixels for each in with_mark]
        theirs = draw_plain(pipeline, [prompt], count, shape=SMALL_SHAPE, steps=SMALL_STEPS)
        marked += ours
        plain += theirs
        diversities.append((prompt, diversity(ours), diversity(theirs)))
    return picture_accuracy(marked, plain), diversities


def _told(row: Row) -> Row:
    print(f"{row.name}: {row.exact}/{row.count}, score {row.score:.1f} (least {row.least_score:.1f})", file=sys.stderr)
    return row


if __name__ == "__main__":
    main()
