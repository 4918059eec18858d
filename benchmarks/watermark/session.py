"""One run of the benchmark, from what is asked to the page: trials and costs, null decisions, an attacker's bench."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.watermark import attackers, cost, gathering, null, summary, trials
from benchmarks.watermark.drawn import drawn_scenes, text_pages
from benchmarks.watermark.journal import Journal
from benchmarks.watermark.pictures import photographs
from benchmarks.watermark.report import publish
from benchmarks.watermark.scope import Scope
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.systems import RIVA_GAN, RIVA_GAN_32
from provenance.errors import Unavailable

Progress = Callable[[str], Callable[[int, int], None]]

TIMED_PICTURES, QUICK_TIMED_PICTURES = 5, 1
LARGEST, QUICK_LARGEST = 8192, 1024
ATTACKED_SIDE, QUICK_SIDE = 512, 256
MARKED, QUICK_MARKED = 10_000, 100
VICTIMS, QUICK_VICTIMS = 12, 3
NULL_PICTURES = 24
NEEDED = ("skimage", "sklearn", "threadpoolctl")


@dataclass(frozen=True)
class Session:
    """Where a run reads and writes: ``out`` the page and its figures, ``work`` what lets it go on after a stop."""

    out: Path
    work: Path
    jobs: int
    progress: Progress

    def __post_init__(self) -> None:
        # Said now, not after hours when the plots are due.
        missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
        if missing:
            raise Unavailable(f"the benchmark needs {', '.join(missing)}", fix="pip install 'prov[bench]'")

    def trials(self, scope: Scope) -> Summary:
        """Quality, attacks and costs."""
        journal, stages = self._journal(), scope.stages()
        for number, stage in enumerate(stages, 1):
            units = trials.plan(stage.systems, stage.pictures, stage.attacks, journal)
            trials.run(units, journal, self.jobs, self.progress(f"{number}/{len(stages)} {stage.pictures[0].set}"))
        pictures = scope.main_pictures()
        timed = pictures[: QUICK_TIMED_PICTURES if scope.quick else TIMED_PICTURES]
        largest = QUICK_LARGEST if scope.quick else LARGEST
        cost.measure(scope.timed_systems(), timed, largest, journal, self.progress("milliseconds"))
        sets = dict.fromkeys(picture.set for stage in stages for picture in stage.pictures)
        made = {
            **summary.load(self.out),
            **summary.of_trials(journal, scope.timed_systems(), sets),
            "main": pictures[0].set,
        }
        return self._publish(made, look=scope.folder is None)

    def null(self, systems: Sequence[str], decisions: int) -> Summary:
        """At least that many null decisions for each system."""
        journal, found = self._journal(), {}
        pictures = [*photographs()[:NULL_PICTURES], *drawn_scenes()[:4], *text_pages()[:2]]
        for name in systems:
            units = null.plan(name, pictures, decisions)
            null.run(units, journal, self.jobs, self.progress(f"null decisions, {name}"))
            found[name] = null.of_journal(journal, units)
        earlier = summary.load(self.out)
        of_all = {**earlier.get("null", {}).get("systems", {}), **found}
        return self._publish({**earlier, "null": {"bins_a_decade": null.BINS_A_DECADE, "systems": of_all}})

    def attackers(self, systems: Sequence[str], *, quick: bool, most: int | None) -> Summary:
        """What 1, 100, 1,000 and 10,000 marked pictures are worth to whoever has no key."""
        side, count = (QUICK_SIDE, QUICK_VICTIMS) if quick else (ATTACKED_SIDE, VICTIMS)
        marked = most or (QUICK_MARKED if quick else MARKED)
        found = {}
        for name in systems:
            new = attackers.victims(name, side, count, after=1_000_000)
            rows = []
            show = self.progress(f"marked pictures, {name}")
            for gathered in gathering.snapshots(name, side, marked, self.jobs, self.work, show):
                rows += list(attackers.tried(name, gathered, new, self.jobs))
            found[name] = {"side": side, "exact before": attackers.read_exactly(name, new), "rows": rows}
        earlier = summary.load(self.out)
        of_all = {**earlier.get("attackers", {}).get("systems", {}), **found}
        return self._publish({**earlier, "attackers": {"systems": of_all}})

    def _journal(self) -> Journal:
        return Journal(self.work / "results.jsonl")

    def _publish(self, made: Summary, *, look: bool = False) -> Summary:
        publish(self.out, made, look=look)
        return made


def attackable(systems: Sequence[str]) -> tuple[str, ...]:
    """Without rivaGan, whose embedding takes seconds."""
    return tuple(name for name in systems if name not in (RIVA_GAN, RIVA_GAN_32))
