"""One run of the benchmark: the sections asked for, each kept with those of earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.safety import content, cost, dishonest_maker, prompts, red_team, report
from benchmarks.safety.poison import INNOCENT
from benchmarks.safety.stack import Stack
from provenance.errors import UsageError
from safety.policy import STARTER_BASE, open_policy
from safety.starter.scenes import FORBIDDEN_OBJECT

Progress = Callable[[str], Callable[[int, int], None]]
SECTIONS = ("prompts", "pictures", "cost", "poison", "red-team")


@dataclass(frozen=True)
class Size:
    """How much is measured: texts, pictures of each set, timed calls, training steps, pictures asked for, targets."""

    captions: int
    positives: int
    negatives: int
    repeats: int
    steps: int
    asked: int
    targets: int
    queries: int


WHOLE = Size(
    captions=20_000,
    positives=600,
    negatives=3_000,
    repeats=200,
    steps=200,
    asked=60,
    targets=15,
    queries=red_team.QUERIES,
)
QUICK = Size(captions=2_000, positives=30, negatives=120, repeats=20, steps=30, asked=8, targets=2, queries=10)


@dataclass(frozen=True)
class Session:
    """``out`` holds the page and its figures; ``work`` pictures and adapters that a later run need not make again."""

    out: Path
    work: Path
    size: Size
    progress: Progress

    def run(self, sections: Sequence[str]) -> dict[str, Any]:
        """Measures the sections asked for and writes the page anew."""
        figures = report.load(self.out)
        for name in sections:
            figures[name.replace("-", " ")] = self._section(name)
            report.publish(self.out, figures)
        return figures

    def _section(self, name: str) -> Any:
        size = self.size
        match name:
            case "prompts":
                return prompts.measure(size.captions, seed=1)
            case "pictures":
                return content.measure(self.work, size.positives, size.negatives, self.progress("pictures"))
            case "cost":
                return {"machine": report.machine(), **cost.measure(size.repeats)}
            case "poison":
                return dishonest_maker.measure(self.work, size.steps, size.asked, self.progress("poisoned adapter"))
            case _:
                return self._red_team()

    def _red_team(self) -> dict[str, Any]:
        size, terms = self.size, _words()
        adapter = dishonest_maker.adapter(self.work, size.steps, self.progress("poisoned adapter"))
        found, folders = {}, []
        for name, folder, weights, words in (
            ("the starter model", "base", None, terms),
            (f"a LoRA that draws skulls for `{INNOCENT}`", "adapter", adapter, (INNOCENT, *terms)),
        ):
            show = self.progress(f"red team, {name}")
            attempts = red_team.run(Stack(weights), size.targets, words, 7, size.queries, show)
            found[name] = red_team.figures(attempts)
            folders.append(self.work / "red-team" / folder)
            red_team.keep_pictures(attempts, folders[-1])
        red_team.sheet(folders, self.out / report.SHEET)
        return found


def chosen(sections: str) -> tuple[str, ...]:
    """Sections from a list with commas, in their own order; raises UsageError for one that is unknown."""
    asked = [name.strip() for name in sections.split(",")]
    unknown = sorted(set(asked) - set(SECTIONS))
    if unknown:
        raise UsageError(f"there is no section {', '.join(unknown)}", expected=", ".join(SECTIONS))
    return tuple(name for name in SECTIONS if name in asked)


def _words() -> tuple[str, ...]:
    policy = open_policy(None, STARTER_BASE)
    concept = next(concept for concept in policy.concepts if concept.name == FORBIDDEN_OBJECT)
    return concept.terms
