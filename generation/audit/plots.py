"""The figures of an audit as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generation.audit.shares import Difference, Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def shares_png(found: Sequence[Share], changes: Sequence[Difference], title: str) -> bytes:
    """One panel of shares with their intervals for all pictures and each axis; with an adapter, one of differences."""
    axes_names = list(dict.fromkeys(share.group[0] for share in found))
    figure, panels = _panels(len(axes_names) + bool(changes), [sum(s.group[0] == a for s in found) for a in axes_names])
    for panel, axis in zip(panels, axes_names, strict=False):
        some = [share for share in found if share.group[0] == axis]
        _points(
            panel,
            [f"{share.group[1]} · {share.value}" if axis != "all" else share.value for share in some],
            [(share.hits / share.n, share.interval.low, share.interval.high) for share in some],
            ["C3" if share.unbalanced else "C0" for share in some],
        )
        panel.axvline(some[0].expected, color="0.6", linewidth=0.8)
        panel.set_title("all pictures" if axis == "all" else axis, fontsize=9)
        panel.set_xlim(-0.02, 1.02)
    if changes:
        overall = [change for change in changes if change.group[0] == "all"]
        _points(
            panels[-1],
            [change.value for change in overall],
            [((c.gained - c.lost) / c.n, c.interval.low, c.interval.high) for c in overall],
            ["C3" if change.interval.low > 0 or change.interval.high < 0 else "C0" for change in overall],
        )
        panels[-1].axvline(0, color="0.6", linewidth=0.8)
        panels[-1].set_title("adapter less base", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return _png(figure)


def distributions_png(panels_of: Mapping[str, Mapping[str, NDArray[np.float64]]], title: str) -> bytes:
    """Empirical distributions, one panel for each measure, one curve for each set of values."""
    import numpy as np

    figure, panels = _panels(len(panels_of), [8] * len(panels_of))
    for panel, (name, curves) in zip(panels, panels_of.items(), strict=True):
        for label, values in curves.items():
            if len(values):
                panel.step(np.sort(values), np.arange(1, len(values) + 1) / len(values), where="post", label=label)
        panel.set_title(name, fontsize=9)
        panel.set_ylim(0, 1.02)
        panel.legend(fontsize=7, loc="best")
        panel.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    return _png(figure)


def _points(panel: Any, labels: Sequence[str], rows: Sequence[tuple[float, float, float]], colours: list[str]) -> None:
    places = range(len(rows))
    panel.hlines(places, [low for _, low, _ in rows], [high for _, _, high in rows], colors=colours, linewidth=1.2)
    panel.scatter([middle for middle, _, _ in rows], places, c=colours, s=10, zorder=3)
    panel.set_yticks(places, labels, fontsize=6)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.tick_params(axis="x", labelsize=7)


def _panels(count: int, rows: Sequence[int]) -> tuple[Any, list[Any]]:
    # The object interface: pyplot would keep state, and pick a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * count, 1.2 + 0.14 * max([*rows, 12])), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _png(figure: Any) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    return data.getvalue()
