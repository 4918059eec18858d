"""Concepts as directions of a CLIP model, and how close something is to one: the scores that thresholds are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from safety.clip_model import PRECISION, ClipModel, unit_rows
from safety.errors import FilterError
from safety.policy import Concept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEMPLATES = ("{}", "a photo of {}", "a drawing of {}", "a picture showing {}")


@dataclass(frozen=True)
class ConceptScorer:
    """A concept's direction (D,) and its anchors' (anchors, D), all of length 1, under a model's scale."""

    name: str
    wanted: NDArray[np.float32]
    anchors: NDArray[np.float32]
    scale: float

    def scores(self, seen: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores (N,) from 0 to 1 of directions (N, D): sigmoid(scale · (cosine - cosine to the nearest anchor)).

        0.5 means as close to the concept as to the nearest anchor. Raises FilterError unless all are numbers.
        """
        import numpy as np

        directions = np.asarray(seen, dtype=np.float64)
        margins = directions @ self.wanted - (directions @ self.anchors.T).max(axis=1)
        if margins.shape != (len(seen),) or not np.isfinite(margins).all():
            raise FilterError(f"the model gives no number for {self.name}")
        return np.asarray(1 / (1 + np.exp(-self.scale * margins)))


def concept_scorers(clip: ClipModel, concepts: tuple[Concept, ...]) -> dict[str, ConceptScorer]:
    """Scorers by concept: the mean of its prompts in four templates against each anchor in the same four."""
    return {concept.name: _scorer(clip, concept) for concept in concepts}


def scoring(name: str, version: int, clip: ClipModel) -> str:
    """What decides, as a text to be hashed: the kind of scoring, its version, its precision and the model."""
    return f"{name} {version} {PRECISION} {clip.digest}\n"


def _scorer(clip: ClipModel, concept: Concept) -> ConceptScorer:
    import numpy as np

    groups = (concept.prompts, *((anchor,) for anchor in concept.anchors))
    texts = [template.format(text) for group in groups for text in group for template in TEMPLATES]
    directions = clip.texts(texts)
    ends = np.cumsum([len(group) * len(TEMPLATES) for group in groups])
    means = unit_rows(np.stack([part.mean(axis=0) for part in np.split(directions, ends[:-1])]))
    return ConceptScorer(concept.name, means[0], means[1:], clip.scale)
