"""Prompts and input pictures before anything is drawn: screened, and logged without their content when blocked."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable

from generation.errors import GenerationError, InputBlocked
from generation.loading import drawing_device
from generation.numbering import Numbering
from generation.prompt_refusal import refusal
from generation.source import Source
from provenance.files import read_file, write_file
from provenance.home import Home
from safety.content import ContentFilter, screen_or_refuse
from safety.decision import ERROR_RULE, Decision, failure
from safety.errors import FilterError, SafetyError
from safety.log import BlockedLog
from safety.policy import STARTER_BASE, Policy
from safety.policy_thresholds import SCORERS
from safety.prompt_stages import PromptScreen, open_prompt_filter
from safety.sound import require_sound
from safety.text_filter import SCORER

KEY_BYTES = 32


class PromptKey:
    """The key under which prompts are named in records and in the log, so that nobody can try prompts on them."""

    def __init__(self, secret: bytes) -> None:
        """Takes 32 bytes; raises GenerationError for fewer or more, under which prompts could be guessed."""
        if len(secret) != KEY_BYTES:
            raise GenerationError(
                "prompt.key is not the key of a home",
                expected=f"{KEY_BYTES} bytes",
                found=f"{len(secret)} bytes",
                fix="restore it from a backup; a new one, made once it is gone, names the prompts of old records anew",
            )
        self._secret = secret

    @classmethod
    def of_home(cls, home: Home) -> PromptKey:
        """The home's own key, made when it is first needed; raises GenerationError or FileRefused."""
        path = home.path / "prompt.key"
        if not os.path.lexists(path):
            try:
                write_file(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
            except OSError as error:
                raise GenerationError(
                    f"{path} cannot be written, and nothing is drawn without it",
                    found=str(error),
                    fix="make room in the home, or make it writable",
                ) from error
        return cls(read_file(path, limit=1 << 16))

    def name(self, prompt: str) -> str:
        """HMAC-SHA-256 of a prompt, as 64 hexadecimal digits."""
        return hmac.new(self._secret, prompt.encode(), hashlib.sha256).hexdigest()


def screen_prompts(
    prompts: Iterable[str],
    policy: Policy,
    key: PromptKey,
    log: BlockedLog,
    base: str = STARTER_BASE,
    negatives: Iterable[str] = (),
    numbering: Numbering | None = None,
) -> dict[str, Decision]:
    """The decision on every prompt; raises PromptBlocked once all that are blocked are in the log.

    Negative prompts are texts like others: a policy forbids words, not what somebody means by them. A filter that
    cannot be loaded for pictures of ``base`` is a FilterError; one that fails blocks, and ends the screening.
    ``numbering`` tells where blocked texts stand.
    """
    prompt_filter = open_prompt_filter(policy, drawing_device(), base=base)
    decisions, blocked = dict[str, Decision](), dict[str, Decision]()
    wanted = dict.fromkeys(prompts)
    for prompt in {**wanted, **dict.fromkeys(negatives)}:
        decision = decisions[prompt] = _decided(prompt_filter, prompt, policy)
        if not decision.allowed:
            log.append(decision, hmac=key.name(prompt))
            blocked[prompt] = decision
            if decision.rule == ERROR_RULE:
                break
    if blocked:
        raise refusal(blocked, wanted, numbering)
    return decisions


def screen_input(source: Source, content_filter: ContentFilter, key: PromptKey, log: BlockedLog) -> Decision:
    """The decision on an input picture, by the rules for what is delivered; raises InputBlocked once it is logged."""
    decision = screen_or_refuse(content_filter, source.picture.copy())
    if not decision.allowed:
        log.append(decision, hmac=key.name(f"input {source.sha256}"))
        failed = decision.rule == ERROR_RULE
        raise InputBlocked(
            "the input picture cannot be screened" if failed else "the safety policy blocks the input picture",
            found=decision.reason,
            fix="check the filter: prov policy check --image FILE" if failed else "take another picture",
        )
    return decision


def require_calibrated(policy: Policy, model_digest: str) -> None:
    """Raises FilterError when the policy's thresholds were calibrated with another model than the one that screens.

    One flipped bit makes another model, and the old thresholds say nothing of it.
    """
    concepts = sorted({name for scorer in SCORERS for name in policy.calibrated_elsewhere(scorer, model_digest)})
    if concepts:
        raise FilterError(
            f"the model is not the one that the thresholds of {', '.join(concepts)} were calibrated with",
            expected="the model that the policy's calibration names",
            found=f"model {model_digest}",
            fix="get the model's files again, or calibrate anew: prov policy calibrate",
        )


def _decided(prompt_filter: PromptScreen, prompt: str, policy: Policy) -> Decision:
    try:
        decision = prompt_filter.screen(prompt)
    except SafetyError:
        raise
    except Exception as error:  # whatever a filter raises blocks
        return _failed(policy, error)
    try:
        require_sound(decision, policy, "prompt", SCORER)
    except SafetyError as error:
        return _failed(policy, error)
    return decision


def _failed(policy: Policy, error: Exception) -> Decision:
    reason = failure("the prompt filter", error)
    return Decision(False, "prompt", policy.digest, "unknown", rule=ERROR_RULE, reason=reason)
