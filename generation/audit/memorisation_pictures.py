"""What the memorisation audit shows: distributions of distances, and the worst pairs side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from generation.audit.drawing import Drawn
from generation.audit.plots import distributions_png
from generation.audit.pull import Pull
from generation.audit.sheets import Shown, sheet_png
from generation.audit.training_pictures import TrainingPictures
from generation.audit.verdict import Space

PAIRS_A_ROW, ROWS = 3, 4


def spaces_png(spaces: Mapping[str, Space], pull: Pull, name: str) -> bytes:
    """Distributions of distances in every space, and of the pull of captions."""
    panels = {
        f"distance in {space_name}": {
            "sample to training": space.nearest.distance[np.isfinite(space.nearest.distance)],
            "training, leave one out": space.reference,
            "samples of one caption": space.spread,
        }
        for space_name, space in spaces.items()
    }
    panels["pull of captions"] = {"trained on": pull.trained, "not trained on": pull.control}
    return distributions_png(panels, f"{name}: memorisation")


def sheet(name: str, pictures: TrainingPictures, drawn: Drawn, own: np.ndarray, spaces: Mapping[str, Space]) -> bytes:
    """The samples nearest to a training picture in each space, each beside that picture, worst first."""
    rows = []
    for space_name, space in spaces.items():
        distance = np.where(own, space.nearest.distance, np.inf)
        worst = [int(i) for i in np.argsort(distance, kind="stable")[: PAIRS_A_ROW * ROWS // len(spaces)] if own[i]]
        for start in range(0, len(worst), PAIRS_A_ROW):
            shown = []
            for number in worst[start : start + PAIRS_A_ROW]:
                near = int(space.nearest.index[number])
                told = f"{space.nearest.distance[number]:.3f}, rank {space.rank[number]:.3f}"
                shown += [
                    Shown(drawn.views[number], ("sample" + ", copied" * bool(space.copied[number]), told)),
                    Shown(pictures.view(near), ("training", pictures.manifest.records[near].path)),
                ]
            rows.append((f"nearest in {space_name}", shown))
    return sheet_png(f"{name}: the samples nearest to a training picture", rows)
