"""Zero-shot content filter on open_clip: each concept against its neutral anchors, in full precision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from safety.clip_model import ClipModel
from safety.content import check_picture, decide
from safety.decision import Decision
from safety.policy import Policy
from safety.views import square_views
from safety.zero_shot import ConceptScorer, concept_scorers, scoring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND = "open_clip"
# Goes up whenever the same model would score the same picture otherwise; a test holds scores of old to it.
VERSION = 1


class OpenClipContentFilter:
    """Scores pictures by ``zero_shot.ConceptScorer`` for every concept that is screened in pictures."""

    def __init__(self, policy: Policy, clip: ClipModel) -> None:
        """Looks up every concept's directions; raises FilterError when the model gives none."""
        self.policy = policy
        self.model_digest = clip.digest
        self.digest = hashlib.sha256(scoring(KIND, VERSION, clip).encode()).hexdigest()
        self._clip = clip
        self._scorers = concept_scorers(clip, tuple(c for c in policy.concepts if {"train", "output"} & set(c.stages)))

    def screen(self, image: NDArray[np.uint8], stage: str = "output") -> Decision:
        """Scores one (H, W, 3) uint8 picture; raises FilterError for a picture or a model that gives no numbers."""
        return self.screen_batch([image], stage)[0]

    def screen_batch(self, images: Sequence[NDArray[np.uint8]], stage: str = "output") -> list[Decision]:
        """Scores pictures (H, W, 3) uint8 of any sizes together, one decision each; raises as ``screen`` does."""
        for image in images:
            check_picture(image)
        scores = picture_scores(self._clip, self._scorers, images)
        screened = [concept.name for concept in self.policy.at(stage)]
        return [
            decide(self, stage, {name: float(scores[name][index]) for name in screened}) for index in range(len(images))
        ]


def picture_scores(
    clip: ClipModel, scorers: Mapping[str, ConceptScorer], images: Sequence[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float64]]:
    """By concept, scores (N,) of N pictures, each the highest of the squares that cover it (``square_views``)."""
    import numpy as np

    if not images:
        return {name: np.zeros(0) for name in scorers}
    views = [square_views(image) for image in images]
    seen = clip.images([view for each in views for view in each])
    firsts = np.cumsum([0, *(len(each) for each in views[:-1])])
    return {name: np.maximum.reduceat(scorer.scores(seen), firsts) for name, scorer in scorers.items()}
