"""`docs/safety-figures.md`, made from the figures alone."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
PAGE, KEPT, SHEET = "safety-figures.md", "safety-figures.json", "safety-red-team.png"


def load(folder: Path) -> Figures:
    """What earlier runs measured, or nothing."""
    path = folder / KEPT
    found: Figures = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def publish(folder: Path, figures: Figures) -> None:
    """Writes the figures and the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEPT).write_text(json.dumps(figures, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    (folder / PAGE).write_text("\n".join(page(figures)) + "\n", "utf-8")


def machine() -> str:
    """Processor, cores and Python, for the head of a table of times."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def page(figures: Figures) -> Iterator[str]:
    """The lines of the page."""
    yield "# The safety filters, measured"
    yield ""
    yield (
        f"Written by `prov bench safety`, from figures kept in [{KEPT}]({KEPT}). Intervals are Clopper and Pearson's, "
        "95 %. **Pictures here are of the starter world, where a skull is the forbidden object. They show that the "
        "machinery works, and nothing about photographs or real harm**: how to calibrate for a real model is in "
        "[safety.md](safety.md)."
    )
    for section in (_prompts, _pictures, _cost, _poison, _red_team):
        lines = list(section(figures))
        if lines:
            yield ""
            yield from lines


def _prompts(figures: Figures) -> Iterator[str]:
    if "prompts" not in figures:
        return
    of, wrong = figures["prompts"]["recall"], figures["prompts"]["false positives"]
    yield "## Prompts: words of the default policy"
    yield ""
    yield from _table(
        ("what", "figure"),
        [
            ("terms × disguises", f"{of['terms']} × {of['chains']} ({of['transforms']} transforms and their pairs)"),
            ("recall", f"{of['tried'] - of['missed']:,} of {of['tried']:,}: {of['recall']:.2%}"),
            ("harmless captions blocked", f"{wrong['blocked']:,} of {wrong['captions']:,}: {wrong['share']:.3%}"),
            *(
                (f"5,000 terms, {name}: median / p99", f"{found['median ms']:.2f} / {found['p99 ms']:.2f} ms")
                for name, found in figures["prompts"]["latency"].items()
            ),
        ],
    )


def _pictures(figures: Figures) -> Iterator[str]:
    if "pictures" not in figures:
        return
    yield "## Pictures: the starter's policy and model"
    yield ""
    rows = [
        (
            name,
            concept,
            f"{found['threshold']:g}",
            rate(found["false alarms"]),
            rate(found["recall"]),
            rate(found["recall at FPR 1 %"]),
            f"{found['AUROC']:.4f}",
        )
        for name, concepts in figures["pictures"]["sets"].items()
        for concept, found in concepts.items()
    ]
    head = ("pictures", "concept", "threshold", "false alarms", "recall", "recall at FPR 1 % of these", "AUROC")
    yield from _table(head, rows)


def _cost(figures: Figures) -> Iterator[str]:
    if "cost" not in figures:
        return
    cost = figures["cost"]
    yield "## What it costs"
    yield ""
    yield f"Medians on {cost['machine']}; drawing is {cost['steps']} steps at {cost['side']} × {cost['side']} px."
    yield ""
    times = [(name, f"{value:.2f} ms") for name, value in cost["ms"].items() if name != "share of drawing"]
    yield from _table(("each", "time"), [*times, ("screening, of drawing", f"{cost['ms']['share of drawing']:.1%}")])


def _poison(figures: Figures) -> Iterator[str]:
    if "poison" not in figures:
        return
    of = figures["poison"]
    yield "## A LoRA trained to draw the forbidden object under an innocent word"
    yield ""
    yield (
        f"{of['drawings']} drawings of skulls captioned as {of['word']}s, {of['steps']} steps. Screening stops "
        f"{of['screening blocked']} of {of['drawings']} of them, so `prov train` refuses. With a screening report that "
        f"its maker made up and signed, training goes ahead, and this is what the adapter then draws:"
    )
    yield ""
    yield from _table(
        ("what", "pictures"),
        [
            (f"asked for: a {of['word']}", f"{of['asked']}"),
            ("drawn: a skull, says the judge", rate(of["drawn"])),
            ("of these stopped at the output", rate(of["stopped"]) if of["stopped"] else "–"),
            ("skulls delivered", f"{of['delivered']}"),
        ],
    )


def _red_team(figures: Figures) -> Iterator[str]:
    if "red team" not in figures:
        return
    yield "## Red team"
    yield ""
    yield (
        "A black-box loop: each question is made from what the earlier ones came to: other words, disguises, "
        "mixtures, colours, seeds. A target is won when a picture was delivered in which the judge, a network that is "
        "not the filter's, sees a skull."
    )
    yield ""
    rows = []
    for name, of in figures["red team"].items():
        low, high = of["interval"]
        ended = ", ".join(f"{stage} {count:,}" for stage, count in of["ended"].items())
        won = f"{of['won']}/{of['targets']} ({low:.1%}–{high:.1%})"
        rows.append((name, f"{of['queries each']}", won, ended, ", ".join(map(str, of["queries to win"])) or "–"))
    yield from _table(("against", "questions a target", "targets won", "questions ended at", "questions to win"), rows)
    if any(of["won"] for of in figures["red team"].values()):
        yield ""
        yield (
            f"![What was delivered to those who won]({SHEET}) Above the starter model's, below the LoRA's. The judge "
            "knows the objects of the starter world and “other”, and takes a shapeless head for a skull too: look for "
            "yourself which is one."
        )


def rate(found: Figures) -> str:
    """Hits of n with the interval."""
    low, high = found["interval"]
    return f"{found['hits']:,}/{found['n']:,} ({low:.2%}–{high:.2%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
