"""The figures of an evaluation as PNG: before and after, prompt by prompt, and the pictures themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.audit.neighbours import nearest
from generation.audit.sheets import Shown, sheet_png
from generation.evaluation.drawing import Seen
from generation.evaluation.reference import Reference
from provenance.canonical import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHEET_ROWS, TRIPLES_A_ROW = 6, 2
BEFORE, AFTER = "0.65", "C0"


def figures_png(claim: Json) -> bytes:
    """Bars of every measure before and after; whiskers are KID's deviation and intervals of 95 %."""
    kid, cmmd, score = claim["kid"], claim["cmmd"], claim["clip_score"]
    figure, panels = _panels(4, 3.6)
    _bars(panels[0], "FID ↓", [claim["fid"][which] for which in ("before", "after")])
    spread = [[kid[which]["std"]] * 2 for which in ("before", "after")]
    _bars(panels[1], "KID ↓ (± deviation of subsets)", [kid[which]["mean"] for which in ("before", "after")], spread)
    for panel, title, of in ((panels[2], "CMMD ↓ (95 %)", cmmd), (panels[3], "CLIP score ↑ (95 %)", score)):
        both = [of[which] for which in ("before", "after")]
        spread = [[each["mean"] - each["low"], each["high"] - each["mean"]] for each in both]
        _bars(panel, title, [each["mean"] for each in both], spread)
    return _png(
        figure, f"{claim['model']['name']} against {claim['reference']['name']}, features {claim['features']['name']}"
    )


def scatter_png(prompts: Sequence[Json], title: str) -> bytes:
    """One point for each prompt: its mean CLIP score before across, after upwards."""
    drawn = [entry for entry in prompts if entry["pictures"]]
    before, after = ([entry[which] for entry in drawn] for which in ("before", "after"))
    figure, (panel,) = _panels(1, 4.2)
    ends = [min(before + after) - 1, max(before + after) + 1]
    panel.plot(ends, ends, color="0.7", linewidth=0.8)
    panel.scatter(before, after, s=14, alpha=0.7, color=AFTER)
    panel.set(xlim=ends, ylim=ends, aspect="equal")
    panel.set_xlabel("base alone", fontsize=8)
    panel.set_ylabel("with the adapter", fontsize=8)
    panel.tick_params(labelsize=7)
    better = sum(b < a for b, a in zip(before, after, strict=True))
    return _png(figure, f"{title}: CLIP score of {len(drawn)} prompts, {better} better after")


def sheet(title: str, prompts: Sequence[str], before: Seen, after: Seen, reference: Reference) -> bytes:
    """Base alone, with the adapter, and the reference picture nearest to that by CLIP, for prompts evenly chosen."""
    shown = [number for number in range(len(prompts)) if not (before.blocked[number] or after.blocked[number])]
    places = np.linspace(0, len(shown) - 1, min(len(shown), SHEET_ROWS * TRIPLES_A_ROW)).astype(int)
    chosen = [shown[place] for place in dict.fromkeys(places.tolist())]
    near = nearest(after.clip[chosen], reference.clip)
    rows: list[tuple[str, list[Shown]]] = []
    for start in range(0, len(chosen), TRIPLES_A_ROW):
        some = range(start, min(start + TRIPLES_A_ROW, len(chosen)))
        cells = [
            cell for place in some for cell in _triple(chosen[place], int(near.index[place]), before, after, reference)
        ]
        rows.append((" · ".join(prompts[chosen[place]] for place in some), cells))
    return sheet_png(title, rows)


def _triple(number: int, near: int, before: Seen, after: Seen, reference: Reference) -> list[Shown]:
    cosine = float(after.clip[number] @ reference.clip[near])
    return [
        Shown(before.views[number], ("base alone",)),
        Shown(after.views[number], ("with the adapter",)),
        Shown(reference.view(near), (f"nearest, cosine {cosine:.3f}", reference.manifest.records[near].path)),
    ]


def _bars(panel: Any, title: str, values: Sequence[float], spread: Sequence[Sequence[float]] | None = None) -> None:
    whiskers: NDArray[np.float64] | None = None if spread is None else np.array(spread).T
    panel.bar((0, 1), values, color=(BEFORE, AFTER), yerr=whiskers, capsize=4, width=0.62)
    panel.axhline(0, color="0.4", linewidth=0.6)
    labels = [f"{name}\n{value:.4g}" for name, value in zip(("base alone", "adapter"), values, strict=True)]
    panel.set_xticks((0, 1), labels, fontsize=8)
    panel.tick_params(axis="y", labelsize=7)
    panel.set_title(title, fontsize=8)


def _panels(count: int, height: float) -> tuple[Any, list[Any]]:
    # The object interface: pyplot would keep state, and pick a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(2.3 * count, 4.2), height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _png(figure: Any, title: str) -> bytes:
    # A name may hold what matplotlib reads as mathematics.
    figure.suptitle(title, fontsize=9, parse_math=False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    return data.getvalue()
