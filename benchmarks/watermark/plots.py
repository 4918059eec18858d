"""The figures as pictures: a heat map over attacks, curves over strength, null p-values, amplified differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.watermark.pictures import Picture
from benchmarks.watermark.suite import suite
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.systems import System
from benchmarks.watermark.trials import payload_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

AMPLIFIED, LOOKED_AT = 16, 200
CURVES = (
    "JPEG",
    "WebP",
    "blur",
    "noise",
    "median",
    "brightness",
    "contrast",
    "rotation",
    "scale",
    "crop",
    "resized crop",
    "WAVES all",
)
HEIGHT_A_ROW, DOTS, COLUMNS = 0.16, 110, 4


def heat_map(summary: Summary, main: str, path: Path) -> None:
    """Exact-payload rate of every attack and system; white where it was not run."""
    names = [name for name, of in summary["systems"].items() if main in of["readings"]]
    attacks = [attack for attack in suite() if any(attack in _of(summary, name, main) for name in names)]
    shares = np.full((len(attacks), len(names)), np.nan)
    for column, name in enumerate(names):
        for row, attack in enumerate(attacks):
            if attack in _of(summary, name, main):
                found = _of(summary, name, main)[attack]
                shares[row, column] = found["exact"] / found["n"]
    figure, axes = _figure(2.6 + 1.3 * len(names), 1.0 + HEIGHT_A_ROW * len(attacks))
    axes.imshow(shares, aspect="auto", cmap="RdYlGn", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if not math.isnan(share):
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(attacks)), attacks, fontsize=6)
    axes.set_title(f"exact payload, % of {main}", fontsize=9)
    _write(figure, path)


def curves(summary: Summary, main: str, path: Path) -> None:
    """Exact-payload rate against strength, a panel for each family of attacks."""
    import matplotlib.figure

    panels = {family: _curves_of(summary, main, family) for family in CURVES}
    drawn = {family: found for family, found in panels.items() if any(len(points) > 1 for points in found.values())}
    rows = max(1, math.ceil(len(drawn) / COLUMNS))
    figure = matplotlib.figure.Figure(figsize=(11, 2.4 * rows), layout="constrained")
    for number, (family, found) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        for name, points in found.items():
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, label=name)
        axes.set_title(family, fontsize=9)
        axes.set_ylim(-0.05, 1.05)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if number == 1:
            axes.legend(fontsize=7)
    _write(figure, path)


def _curves_of(summary: Summary, main: str, family: str) -> dict[str, list[tuple[float, float]]]:
    attacks = sorted((a for a in suite().values() if a.family == family), key=lambda attack: attack.strength)
    return {
        name: [(a.strength, of[a.name]["exact"] / of[a.name]["n"]) for a in attacks if a.name in of]
        for name in summary["systems"]
        if (of := _of(summary, name, main))
    }


def null_histogram(null: Summary, path: Path) -> None:
    """Decisions by the logarithm of their p-value, and what a perfect p-value would give."""
    figure, axes = _figure(8, 4)
    tails = {
        f"{name}, tail of one payload": of["uncharged"] for name, of in null["systems"].items() if "uncharged" in of
    }
    for name, of in {**null["systems"], **tails}.items():
        counts = of["histogram"]
        edges = sorted((int(edge) for edge in counts), reverse=True)
        below = [sum(counts[str(other)] for other in edges if other <= edge) / of["decisions"] for edge in edges]
        axes.step(
            [edge / null["bins_a_decade"] for edge in edges], below, where="post", label=f"{name}, {of['decisions']:,}"
        )
    line = np.linspace(-8, 0, 2)
    axes.plot(line, 10**line, "k--", linewidth=0.8, label="uniform p-values")
    axes.set_yscale("log")
    axes.set_xlabel("log10 of the p-value")
    axes.set_ylabel("share of null decisions at or below")
    axes.legend(fontsize=8)
    _write(figure, path)


def difference(mark: System, pictures: Sequence[Picture], path: Path) -> None:
    """Original, marked, and their difference × 16 around grey: the middle 200 × 200 of each picture."""
    gap, label = 4, 16
    sheet = Image.new("RGB", (len(pictures) * (LOOKED_AT + gap), 3 * (LOOKED_AT + gap) + label), (255, 255, 255))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for column, picture in enumerate(pictures):
        original = picture.load()
        marked = mark.embed(original, payload_of(picture.name))
        amplified = np.clip(128 + AMPLIFIED * (marked.astype(np.int16) - original), 0, 255).astype(np.uint8)
        left = column * (LOOKED_AT + gap)
        draw.text((left, 0), picture.name, fill=(0, 0, 0), font=font)
        for row, pixels in enumerate((original, marked, amplified)):
            sheet.paste(Image.fromarray(_middle(pixels)), (left, label + row * (LOOKED_AT + gap)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = ((length - LOOKED_AT) // 2 for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + LOOKED_AT, left : left + LOOKED_AT])


def _of(summary: Summary, name: str, main: str) -> Summary:
    readings: Summary = summary["systems"][name]["readings"].get(main, {})
    return readings


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # The object-oriented interface needs no display and no global state.
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _write(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS, metadata={"Software": None})
