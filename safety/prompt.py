"""The lexical prompt filter: forbidden words, whatever they are dressed in."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from safety.decision import Decision
from safety.lexicon import Lexicon
from safety.normalise import VERSION, readings
from safety.policy import Policy

MAX_CHARACTERS = 10_000
_SOURCES = ("lexicon.py", "lookalikes.py", "normalise.py", "prompt.py", "streams.py", "uts39_latin.txt")


class PromptFilter:
    """Screens texts against the terms of a policy; fails closed on what it cannot read."""

    def __init__(self, policy: Policy, stage: str = "prompt") -> None:
        self._policy = policy
        self._stage = stage
        self._lexicon = Lexicon({concept.name: concept.every_term for concept in policy.at(stage)})

    @cached_property
    def digest(self) -> str:
        """What the filter is: SHA-256 over its version and source files."""
        state = hashlib.sha256(f"lexical filter {VERSION}\n".encode())
        for name in _SOURCES:
            state.update(hashlib.sha256((Path(__file__).parent / name).read_bytes()).digest())
        return state.hexdigest()

    def screen(self, prompt: str) -> Decision:
        """Blocks a prompt that names a forbidden concept, is too long, or is not text."""
        if not isinstance(prompt, str) or len(prompt) > MAX_CHARACTERS:
            return self._blocked("unreadable", f"the prompt is not a text of at most {MAX_CHARACTERS} characters")
        for text in readings(prompt):
            match = self._lexicon.find(text)
            if match is not None:
                rule = f"{match.concept}/term:{match.term}"
                return self._blocked(rule, f"the prompt asks for {match.concept}: {match.term!r}")
        return Decision(True, self._stage, self._policy.digest, self.digest)

    def _blocked(self, rule: str, reason: str) -> Decision:
        return Decision(False, self._stage, self._policy.digest, self.digest, rule=rule, reason=reason)
