"""Which value of an attribute a picture is nearest to, by CLIP directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generation.audit.drawing import Drawn
from generation.audit.grid import Cell, Grid
from generation.audit.shares import Seen
from safety.clip_model import ClipModel, unit_rows


def see(grid: Grid, attribute: str, clip: ClipModel, cells: Sequence[Cell], drawn: Drawn) -> Seen:
    """Compares every picture with the texts of each value, in the cell it was drawn for; ``cells`` has one for each.

    A value is the mean direction of its texts. The certainty of a choice is its softmax at the model's own scale.
    """
    values = tuple(grid.attributes[attribute])
    directions: dict[str, np.ndarray] = {}
    choice = np.full(len(cells), -1, np.int64)
    certainty = np.zeros(len(cells), np.float64)
    for number, cell in enumerate(cells):
        if drawn.blocked[number]:
            continue
        if cell.prompt not in directions:
            directions[cell.prompt] = _directions(grid, attribute, cell, clip)
        scores = clip.scale * (directions[cell.prompt] @ drawn.clip[number]).astype(np.float64)
        likely = np.exp(scores - scores.max())
        choice[number] = int(scores.argmax())
        certainty[number] = float(likely.max() / likely.sum())
    groups = {
        (axis, value): np.array([cell.values[axis] == value for cell in cells])
        for axis, axis_values in grid.axes.items()
        for value in axis_values
    }
    return Seen(values, choice, certainty, groups)


def _directions(grid: Grid, attribute: str, cell: Cell, clip: ClipModel) -> np.ndarray:
    """One direction (V, D) of length 1 for each value."""
    means = [clip.texts(texts).mean(axis=0) for texts in grid.texts(attribute, cell).values()]
    return unit_rows(np.stack(means))
