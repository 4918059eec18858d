"""Everything a policy asks of a prompt, in order: its words, then its meaning."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from safety.decision import Decision
from safety.policy import Policy
from safety.prompt import PromptFilter


class PromptScreen(Protocol):
    """Decides on one prompt; never raises for what a prompt holds."""

    @property
    def digest(self) -> str:
        """SHA-256 of what decides."""

    def screen(self, prompt: str) -> Decision: ...


class LayeredPromptFilter:
    """Blocks what the first filter blocks; what it allows is up to the second, whose scores are recorded."""

    def __init__(self, words: PromptScreen, meaning: PromptScreen) -> None:
        self._words = words
        self._meaning = meaning

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of both filters."""
        return hashlib.sha256(f"{self._words.digest}\n{self._meaning.digest}\n".encode()).hexdigest()

    def screen(self, prompt: str) -> Decision:
        """The decision of the first filter that blocks, or of the last, under the digest of both."""
        decision = self._words.screen(prompt)
        if decision.allowed:
            decision = self._meaning.screen(prompt)
        return replace(decision, filter_digest=self.digest)


def open_prompt_filter(policy: Policy) -> PromptScreen:
    """The filters that a policy asks for; raises FilterError when one cannot be loaded.

    Prompts are compared by CLIP when a concept has a threshold for ``open_clip_text``.
    """
    from safety.text_filter import ClipTextFilter, compared_concepts

    words = PromptFilter(policy)
    return LayeredPromptFilter(words, ClipTextFilter(policy)) if compared_concepts(policy) else words
