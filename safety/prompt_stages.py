"""Everything a policy asks of a prompt, in order: its words, then its meaning."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from safety.decision import Decision
from safety.policy import STARTER_BASE, Policy
from safety.prompt import PromptFilter


class PromptScreen(Protocol):
    """Decides on one prompt; never raises for what a prompt holds."""

    @property
    def digest(self) -> str:
        """SHA-256 of what decides."""

    def screen(self, prompt: str) -> Decision: ...


class LayeredPromptFilter:
    """Blocks what the first filter blocks; what it allows is up to the second, whose scores are recorded.

    The second is opened only when it is asked: what the first blocks needs no model.
    """

    def __init__(self, words: PromptScreen, open_meaning: Callable[[], PromptScreen]) -> None:
        self._words = words
        self._open_meaning = open_meaning

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of both filters; raises FilterError when the second cannot be loaded."""
        return hashlib.sha256(f"{self._words.digest}\n{self._meaning.digest}\n".encode()).hexdigest()

    def screen(self, prompt: str) -> Decision:
        """The decision of the first filter that blocks, under its own digest, or of the last under that of both.

        Raises FilterError when the second is asked and cannot be loaded.
        """
        decision = self._words.screen(prompt)
        if not decision.allowed:
            return decision
        return replace(self._meaning.screen(prompt), filter_digest=self.digest)

    @cached_property
    def _meaning(self) -> PromptScreen:
        return self._open_meaning()


def open_prompt_filter(
    policy: Policy, device: str = "cpu", stage: str = "prompt", base: str = STARTER_BASE
) -> PromptScreen:
    """The filters that a policy asks for; a model that cannot be loaded is a FilterError once a prompt needs it.

    Prompts are compared by CLIP when a concept of the stage has a threshold for ``open_clip_text``. At the stage
    ``train`` the texts are captions. The starter world's own model is refused for any other base.
    """
    from safety.text_filter import compared_concepts

    words = PromptFilter(policy, stage)
    if not compared_concepts(policy, stage):
        return words

    def open_meaning() -> PromptScreen:
        from safety.content import open_policy_model
        from safety.text_filter import ClipTextFilter

        return ClipTextFilter(policy, open_policy_model(policy, base, device), stage)

    return LayeredPromptFilter(words, open_meaning)
