"""``python -m benchmarks.audits --work DIR``: trains three adapters, audits each, and prints a table.

One adapter is trained for 800 epochs on four pictures, one for 7 epochs on 120, one for 127 epochs on the demo's 24.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.audits.adapters import RECIPES, Recipe, prepared
from generation.audit.captions import control_captions
from generation.audit.drawing import Progress, Studio
from generation.audit.memorisation import audit_memorisation
from generation.audit.model import open_model
from generation.audit.report import REPORT
from generation.sampling import Sampling
from provenance.base import STARTER
from provenance.canonical import Json, parse_json
from provenance.trust import TrustStore
from safety.clip_model import open_clip_model
from safety.policy import open_policy

COLUMNS = (
    "adapter",
    "pictures",
    "epochs",
    "copies in latents",
    "in CLIP",
    "p",
    "captions pull harder",
    "than the base",
)
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def audited(
    recipe: Recipe, work: Path, *, captions: int, count: int, steps: int, trained: int | None, clip: str
) -> Json:
    """The report on one recipe's adapter, made now or found in ``work``."""
    home, manifest, _ = prepared(recipe, work, trained)
    out = work / recipe.name / "audit"
    if not out.exists():
        model = open_model(str(work / recipe.name / "adapter"), home, TrustStore.of_home(home))
        studio = Studio(
            home, open_policy(None, STARTER), open_clip_model(clip), STARTER, Sampling(steps, 3.0), Path(f"{out}.work")
        )
        audit_memorisation(
            model,
            manifest,
            studio,
            captions=captions,
            count=count,
            seed=0,
            controls=lambda known, wanted: control_captions(known, wanted, 0),
            progress=_progress,
        ).write(out, Path(f"{out}.work"))
    report: Json = parse_json((out / REPORT).read_bytes(), str(out))
    return report


def row(recipe: Recipe, report: Json) -> str:
    """One line of the table."""
    spaces, pull = report["spaces"], report["score_norm"]
    copies = [f"{spaces[name]['copied']} of {spaces[name]['samples']}" for name in ("latents", "clip")]
    p = min(space["p_corrected"] for space in spaces.values())
    return (
        f"| {recipe.name} | {recipe.pictures} | {recipe.epochs:.0f} | {copies[0]} | {copies[1]} | {p:.1g} |"
        f" AUC {pull['auc']:.2f}, p = {pull['p']:.2g} | × {math.exp(fmean(pull['trained'])):.2f} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, and with ``--json`` the reports; exit 1 when a verdict is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audits", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/bench-audits"), help="where a stopped run goes on")
    parser.add_argument("--captions", type=int, default=10)
    parser.add_argument("-n", type=int, default=4, help="pictures for each caption")
    parser.add_argument("--steps", type=int, default=20, help="steps of sampling")
    parser.add_argument("--trained", type=int, help="train for so many steps instead, to try the command")
    parser.add_argument("--clip", default=STARTER)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    reports = {
        recipe.name: audited(
            recipe,
            given.work,
            captions=given.captions,
            count=given.n,
            steps=given.steps,
            trained=given.trained,
            clip=given.clip,
        )
        for recipe in RECIPES
    }
    if given.json:
        print(json.dumps(reports, indent=1))
    else:
        print(HEADER)
        for recipe in RECIPES:
            print(row(recipe, reports[recipe.name]))
    return 0 if all(reports[recipe.name]["memorised"] == (recipe.name == "memorised") for recipe in RECIPES) else 1


def _progress(label: str) -> Progress:
    def show(done: int, total: int) -> None:
        if done == total:
            print(f"{label} {done}/{total}", file=sys.stderr)

    return show


if __name__ == "__main__":
    sys.exit(main())
