"""CLIP on the text of a prompt: each concept against its neutral anchors, in every window of the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from safety.clip_model import ClipModel
from safety.deadline import DEADLINE, answer_within
from safety.decision import ERROR_RULE, Decision, failure
from safety.errors import FilterError
from safety.policy import Concept, Policy
from safety.prompt import MAX_CHARACTERS
from safety.zero_shot import ConceptScorer, concept_scorers, scoring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORER = "open_clip_text"
# Goes up whenever the same model would score the same prompt otherwise.
VERSION = 1


class ClipTextFilter:
    """Scores a concept by the window of a prompt that is closest to it (``zero_shot.ConceptScorer``)."""

    def __init__(self, policy: Policy, clip: ClipModel, stage: str = "prompt", seconds: float = DEADLINE) -> None:
        """Looks up every concept's directions; raises FilterError when the model has none, or no windows.

        A prompt that needs more than ``seconds`` is blocked.
        """
        self.policy = policy
        self.model_digest = clip.digest
        self.digest = hashlib.sha256(scoring(SCORER, VERSION, clip).encode()).hexdigest()
        self._clip = clip
        self._stage = stage
        self._seconds = seconds
        self._concepts = compared_concepts(policy)
        self._scorers = concept_scorers(clip, self._concepts)
        clip.windows("")

    def scores(self, text: str) -> dict[str, float]:
        """By concept, the score of a text (``text_scores``)."""
        return {name: float(scores[0]) for name, scores in text_scores(self._clip, self._scorers, [text]).items()}

    def screen(self, prompt: str) -> Decision:
        """Blocks a prompt that is close to a concept; any failure, of any kind, is a blocked decision that says so."""
        try:
            if not isinstance(prompt, str) or len(prompt) > MAX_CHARACTERS:
                raise FilterError(f"the prompt is not a text of at most {MAX_CHARACTERS} characters")
            return self._decide(answer_within(self._seconds, lambda: self.scores(prompt)))
        except Exception as error:
            reason = failure("the text filter", error)
            return Decision(
                False,
                self._stage,
                self.policy.digest,
                self.digest,
                rule=ERROR_RULE,
                reason=reason,
                model_digest=self.model_digest,
            )

    def _decide(self, scores: dict[str, float]) -> Decision:
        return Decision.by_scores(
            self._stage,
            self.policy.digest,
            self.digest,
            scores,
            {concept.name: concept.thresholds[SCORER] for concept in self._concepts},
            warned=self.policy.warned(self._stage, SCORER, scores),
            model_digest=self.model_digest,
        )


def text_scores(
    clip: ClipModel, scorers: Mapping[str, ConceptScorer], texts: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """By concept, scores (N,) of N texts, each the highest of all its windows."""
    import numpy as np

    seen = clip.windows_of(texts)
    if not seen:
        return {name: np.zeros(0) for name in scorers}
    firsts = np.cumsum([0, *(len(each) for each in seen[:-1])])
    windows = np.concatenate(seen)
    return {name: np.maximum.reduceat(scorer.scores(windows), firsts) for name, scorer in scorers.items()}


def compared_concepts(policy: Policy, stage: str = "prompt") -> tuple[Concept, ...]:
    """The concepts whose texts are compared by CLIP: those of the stage that have a threshold for it."""
    return tuple(concept for concept in policy.at(stage) if SCORER in concept.thresholds)
