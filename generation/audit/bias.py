"""The bias audit: what a model draws where a prompt says nothing, over a balanced grid of prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from statistics import fmean

from generation.audit.attributes import see
from generation.audit.drawing import Draw, Drawn, Progress, Studio
from generation.audit.grid import Cell, Grid
from generation.audit.model import AuditedModel
from generation.audit.plots import shares_png
from generation.audit.report import Audit, report_of
from generation.audit.shares import CONFIDENCE, Seen, association_p, balance_p, differences, holm, shares
from generation.audit.sheets import Shown, sheet_png
from generation.errors import GenerationError
from provenance.canonical import Json

KIND = "bias"
UNSURE = 0.5
SHEET_ROWS, SHEET_COLUMNS = 12, 8


def audit_bias(
    model: AuditedModel,
    grid: Grid,
    studio: Studio,
    *,
    count: int,
    seed: int,
    compared: bool = True,
    progress: Callable[[str], Progress],
) -> Audit:
    """Draws ``count`` pictures for each cell and says which values of the grid's attributes they show, how often.

    The i-th picture has seed ``seed + i``. An adapter is ``compared`` with its base alone on the same prompts and
    seeds. Raises PromptBlocked, SamplingFailed, FilterError, or GenerationError when nothing is left to look at.
    """
    cells = [cell for cell in grid.cells for _ in range(count)]
    draws = [Draw(cell.prompt, seed + number) for number, cell in enumerate(cells)]
    drawn = studio.draw(model, draws, progress("drawing"))
    _require_some(drawn)
    before = None
    if compared and model.adapter is not None:
        before = studio.draw(model.alone, draws, progress("drawing the base alone"))
    pictures: dict[str, bytes] = {}
    found: Json = {}
    for attribute in grid.attributes:
        seen = see(grid, attribute, studio.clip, cells, drawn)
        seen_before = None if before is None else see(grid, attribute, studio.clip, cells, before)
        some, changes = shares(seen), [] if seen_before is None else differences(seen, seen_before)
        found[attribute] = {
            **_tests(seen, grid, seed),
            "shares": [share.to_json() for share in some],
            "differences": [change.to_json() for change in changes],
            "certainty": _certainty(seen),
            "base_shares": [] if seen_before is None else [share.to_json() for share in shares(seen_before)],
            "choices": [int(choice) for choice in seen.choice],
        }
        pictures[f"shares-{len(pictures):02}.png"] = shares_png(some, changes, f"{model.name}: {attribute}")
        pictures[f"sheet-{len(pictures):02}.png"] = _sheet(f"{model.name}: {attribute}", cells, seen, drawn)
    report = report_of(
        KIND,
        model,
        studio,
        {"first": str(seed), "count": len(draws)},
        {
            "grid": {**grid.to_json(), "digest": grid.digest},
            "pictures_per_cell": count,
            "blocked": int(drawn.blocked.sum()),
            "confidence": CONFIDENCE,
            "attributes": found,
        },
        pictures,
    )
    return Audit(report, _summary(report), pictures)


def _require_some(drawn: Drawn) -> None:
    if drawn.blocked.all():
        raise GenerationError(
            "the safety policy blocks every picture of this grid, so there is nothing to audit",
            expected="pictures that pass",
            found=f"{len(drawn.blocked)} blocked",
            fix="see what `prov policy check --image` says of such pictures, or audit another grid",
        )


def _tests(seen: Seen, grid: Grid, seed: int) -> Json:
    names = ["balance", *(f"independent of {axis}" for axis, values in grid.axes.items() if len(values) > 1)]
    found = [balance_p(seen, seed)]
    found += [association_p(seen, axis, seed) for axis, values in grid.axes.items() if len(values) > 1]
    return {
        "tests": {
            name: {"p": p, "p_corrected": corrected}
            for name, p, corrected in zip(names, found, holm(found), strict=True)
        }
    }


def _certainty(seen: Seen) -> Json:
    kept = seen.certainty[seen.choice >= 0]
    return {"mean": round(fmean(kept), 6), "unsure": int((kept < UNSURE).sum()), "unsure_below": UNSURE}


def _sheet(title: str, cells: Sequence[Cell], seen: Seen, drawn: Drawn) -> bytes:
    """At most so many rows of so many views, of prompts spread evenly over the grid; each says what it was seen as."""
    groups = [list(group) for _, group in groupby(range(len(cells)), key=lambda number: cells[number].prompt)]
    each = min(len(groups[0]), SHEET_COLUMNS)
    a_row = SHEET_COLUMNS // each
    chosen = groups[:: max(1, -(-len(groups) // (SHEET_ROWS * a_row)))]
    rows = []
    for start in range(0, len(chosen), a_row):
        some = chosen[start : start + a_row]
        shown = [_shown(number, cells, seen, drawn) for group in some for number in group[:each]]
        rows.append((" · ".join(cells[group[0]].prompt for group in some), shown))
    return sheet_png(title, rows)


def _shown(number: int, cells: Sequence[Cell], seen: Seen, drawn: Drawn) -> Shown:
    if drawn.blocked[number]:
        return Shown(None, ("blocked", cells[number].prompt))
    value = seen.values[seen.choice[number]]
    return Shown(drawn.views[number], (f"{value} {seen.certainty[number]:.2f}", cells[number].prompt))


def _summary(report: Json) -> Json:
    return {
        "clip": report["clip"],
        "policy": report["policy"],
        "grid": report["grid"]["digest"],
        "seeds": report["seeds"],
        "sampling": report["sampling"],
        "pictures": report["seeds"]["count"],
        "blocked": report["blocked"],
        "confidence": report["confidence"],
        "attributes": {
            name: {
                "tests": of["tests"],
                "shares": [share for share in of["shares"] if share["axis"] == "all"],
                "differences": [change for change in of["differences"] if change["axis"] == "all"],
                "unbalanced": sum(share["unbalanced"] for share in of["shares"]),
                "of_shares": len(of["shares"]),
            }
            for name, of in report["attributes"].items()
        },
    }
