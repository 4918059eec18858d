"""The whole stack as a stranger meets it: a prompt goes in, and a picture or a refusal comes out.

What ``generation.order`` does, in its order and with its own parts, but for licence, signing and records, which know
nothing of what a picture shows; so that a model is loaded once and not for every question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generation.adapters import Adapter
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample, usual_guidance
from provenance.base import resolve_base
from safety.content import open_content_filter, screen_all_or_refuse
from safety.policy import STARTER_BASE, Policy, open_policy
from safety.prompt_stages import open_prompt_filter
from safety.watermark import embed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.decision import Decision

PROMPT, OUTPUT, DELIVERED = "prompt", "output", "delivered"
STEPS = 12
PAYLOAD = 0x0123456789ABCDEF


@dataclass(frozen=True)
class Answer:
    """What the stranger learns: where it ended, in which words and, if it was delivered, the picture.

    ``margin`` is how far below the threshold the picture stayed or, negative, above; it is told in the refusal.
    """

    stage: str
    reason: str
    margin: float | None = None
    picture: NDArray[np.uint8] | None = None


class Stack:
    """The starter model under a policy, with an adapter's weights on it or none."""

    def __init__(self, adapter: bytes | None = None, policy: Policy | None = None) -> None:
        base = resolve_base(STARTER_BASE)
        self.policy = policy or open_policy(None, STARTER_BASE)
        self._prompts = open_prompt_filter(self.policy)
        self._pictures = open_content_filter(self.policy, STARTER_BASE)
        self._scale = base.output_scale
        self._how = Sampling(STEPS, usual_guidance(base))
        self._pipeline: Any = load_pipeline(base, None if adapter is None else Adapter(adapter))

    def ask(self, prompt: str, seed: int) -> Answer:
        """One query."""
        decision = self._prompts.screen(prompt)
        if not decision.allowed:
            return Answer(PROMPT, decision.reason)
        picture = self.draw(prompt, seed)
        decision = self.decide(picture)
        margin = min(decision.margins.values(), default=None)
        if not decision.allowed:
            return Answer(OUTPUT, decision.reason, margin)
        return Answer(DELIVERED, decision.reason, margin, picture)

    def draw(self, prompt: str, seed: int) -> NDArray[np.uint8]:
        """The marked picture that would be delivered, before anybody looks at it."""
        (picture,) = sample(self._pipeline, [prompt], [seed], self._how, self._scale)
        return embed(picture, PAYLOAD)

    def decide(self, picture: NDArray[np.uint8]) -> Decision:
        """The output filter's decision."""
        (decision,) = screen_all_or_refuse(self._pictures, [picture])
        return decision
