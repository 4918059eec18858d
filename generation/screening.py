"""Prompts before anything is drawn: screened, and logged without their text when they are blocked."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from generation.errors import PromptBlocked
from provenance.files import read_file, write_file
from provenance.home import Home
from safety.decision import Decision
from safety.log import BlockedLog
from safety.policy import Policy
from safety.prompt_stages import open_prompt_filter


class PromptKey:
    """The key under which prompts are named in records and in the log, so that nobody can try prompts on them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of_home(cls, home: Home) -> PromptKey:
        """The home's own key, made when it is first needed."""
        path = home.path / "prompt.key"
        if not path.exists():
            write_file(path, secrets.token_bytes(32), mode=0o600)
        return cls(read_file(path, limit=32))

    def name(self, prompt: str) -> str:
        """HMAC-SHA-256 of a prompt, as 64 hexadecimal digits."""
        return hmac.new(self._secret, prompt.encode(), hashlib.sha256).hexdigest()


def screen_prompts(prompts: Sequence[str], policy: Policy, key: PromptKey, log: BlockedLog) -> dict[str, Decision]:
    """The decision on every prompt; raises PromptBlocked at the first that is blocked, once that is in the log."""
    prompt_filter = open_prompt_filter(policy)
    decisions = {}
    for prompt in dict.fromkeys(prompts):
        decision = prompt_filter.screen(prompt)
        if not decision.allowed:
            log.append(decision, hmac=key.name(prompt))
            raise PromptBlocked(
                "the safety policy blocks this prompt", found=decision.reason, fix="ask for something else"
            )
        decisions[prompt] = decision
    return decisions
