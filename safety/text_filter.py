"""CLIP on the text of a prompt: each concept against its neutral anchors, in every window of the prompt."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from safety.clip_filter import LARGEST_SCALE, _features, _load, _state_digest, _unit
from safety.decision import ERROR_RULE, Decision
from safety.errors import FilterError
from safety.policy import Concept, Policy
from safety.prompt import MAX_CHARACTERS
from safety.windows import require_windows, text_tokens

SCORER = "open_clip_text"
BATCH = 32
_SOURCES = ("text_filter.py", "windows.py")


class ClipTextFilter:
    """Scores a concept by the window closest to it: ``sigmoid(scale · (similarity - that to the nearest anchor))``."""

    def __init__(self, policy: Policy) -> None:
        """Loads the text tower that the policy names; raises FilterError when it has no weights, or no windows."""
        import torch

        self.policy = policy
        self._model, _, self._tokenizer = _load(policy.filter.model or "", policy.filter.pretrained)
        self._context = require_windows(self._model, self._tokenizer)
        state = hashlib.sha256(f"{SCORER} {_state_digest(self._model)}\n".encode())
        for name in _SOURCES:
            state.update(hashlib.sha256((Path(__file__).parent / name).read_bytes()).digest())
        self.digest = state.hexdigest()
        self._concepts = compared_concepts(policy)
        with torch.inference_mode():
            self._scale = min(float(self._model.logit_scale.exp()), LARGEST_SCALE)
            self._features = {c.name: _features(self._model, self._tokenizer, c) for c in self._concepts}

    def scores(self, text: str) -> dict[str, float]:
        """The highest score of each concept over all windows of a text; raises FilterError or whatever a model does."""
        import torch

        tokens = text_tokens(self._tokenizer, text, self._context)
        with torch.inference_mode():
            seen = torch.cat([_unit(self._model.encode_text(part).float()) for part in tokens.split(BATCH)])
            return {concept.name: self._score(seen, concept) for concept in self._concepts}

    def screen(self, prompt: str) -> Decision:
        """Blocks a prompt that is close to a concept; any failure, of any kind, is a blocked decision that says so."""
        try:
            if not isinstance(prompt, str) or len(prompt) > MAX_CHARACTERS:
                raise FilterError(f"the prompt is not a text of at most {MAX_CHARACTERS} characters")
            return self._decide(self.scores(prompt))
        except Exception as error:
            reason = f"the text filter failed ({type(error).__name__}); nothing passes unscreened"
            return Decision(False, "prompt", self.policy.digest, self.digest, rule=ERROR_RULE, reason=reason)

    def _score(self, seen: Any, concept: Concept) -> float:
        import torch

        wanted, anchors = self._features[concept.name]
        margins = seen @ wanted - (seen @ anchors.T).max(dim=1).values
        # NaN must not vanish in a maximum.
        if not bool(torch.isfinite(margins).all()):
            raise FilterError(f"the model gives no numbers for {concept.name}")
        return float(torch.sigmoid(self._scale * margins.max()))

    def _decide(self, scores: dict[str, float]) -> Decision:
        thresholds = {concept.name: concept.thresholds[SCORER] for concept in self._concepts}
        decision = Decision.by_scores("prompt", self.policy.digest, self.digest, scores, thresholds)
        if decision.allowed or decision.rule is None:
            return decision
        worst = decision.rule.removesuffix("/score")
        reason = f"the prompt is close to {worst}: score {scores[worst]:.3f}, allowed below {thresholds[worst]:g}"
        return replace(decision, reason=reason)


def compared_concepts(policy: Policy) -> tuple[Concept, ...]:
    """The concepts whose prompts are compared by CLIP: those of the stage prompt that have a threshold for it."""
    return tuple(concept for concept in policy.at("prompt") if SCORER in concept.thresholds)
