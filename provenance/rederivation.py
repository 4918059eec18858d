"""Decides again, with the recorded policy and model, and holds that against what a record says was decided.

On the pixels that were delivered, scores are the same up to arithmetic, so a difference above the tolerance contradicts
the record. On pixels that changed since (recompressed, cropped), a score says only how *these* pixels score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from provenance.canonical import sha256_hex
from provenance.errors import Unavailable
from provenance.record import ImageRecord, pixels_digest
from provenance.verify.decided import told_in_full
from provenance.verify.findings import Findings
from provenance.verify.report import Verdict
from provenance.verify.trace import Picture
from safety.decision import ERROR_RULE, Decision
from safety.errors import FilterError
from safety.policy import DEFAULT_POLICY, STARTER_POLICY, Policy

if TYPE_CHECKING:
    from safety.content import ContentFilter
    from safety.prompt_stages import PromptScreen

TOLERANCE = 0.02
"""How far a score may lie from the recorded one: other processors, precisions and decoders move it by less."""


class Outcome(StrEnum):
    """What deciding again says of one recorded decision."""

    CONFIRMED = "confirmed"
    BELOW = "below threshold"
    NOT_CONFIRMED = "not confirmed"
    CONTRADICTED = "contradicted"
    NOT_DERIVED = "not derived"


_AGAINST = {Outcome.CONTRADICTED, Outcome.NOT_CONFIRMED}
_FOR = {Outcome.CONFIRMED, Outcome.BELOW}


@dataclass(frozen=True)
class Result:
    """One decision made again: the outcome in a word and in a sentence, and the largest difference of a score."""

    stage: str
    outcome: Outcome
    detail: str
    difference: float | None = None
    scores: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "stage": self.stage,
            "outcome": self.outcome.value,
            "difference": self.difference,
            "scores": {name: round(score, 6) for name, score in sorted(self.scores.items())},
        }


class Rederivation:
    """Decides again on one picture after another; a filter is loaded once, and not before it is needed."""

    def __init__(
        self,
        policies: Sequence[Policy] = (),
        prompt: str | None = None,
        name_prompt: Callable[[str], str] | None = None,
        device: str = "cpu",
    ) -> None:
        """``policies``, if any, are the only ones believed, else those that ship; ``prompt`` is a text to screen.

        ``name_prompt`` gives the keyed digest of a text; only who holds the maker's key has one.
        """
        self._policies = policies
        self._prompt = prompt
        self._name_prompt = name_prompt
        self._device = device
        self._content: dict[tuple[str, str], ContentFilter] = {}
        self._words: dict[tuple[str, str], PromptScreen] = {}

    def __call__(
        self, picture: Picture, record: ImageRecord, decisions: tuple[Decision, ...], findings: Findings
    ) -> None:
        """Notes in the layer ``safety`` what deciding again gives; a contradiction speaks for ``tampered``.

        Raises Unavailable when the recorded policy or model is not at hand.
        """
        results = [
            self._prompt_again(record, decision)
            if decision.stage == "prompt"
            else self._picture_again(picture, record, decision)
            for decision in decisions
        ]
        if all(decision.stage != "output" for decision in decisions):
            results.append(Result("output", Outcome.NOT_CONFIRMED, "output: no decision on the picture is on record"))
        findings.facts["rederived"] = {"tolerance": TOLERANCE, "decisions": [result.to_json() for result in results]}
        outcomes = {result.outcome for result in results}
        told = [r for r in results if r.outcome in _AGAINST] or [r for r in results if r.outcome in _FOR] or results
        detail = "; ".join(result.detail for result in told)
        checked = [*map(told_in_full, decisions), *map(self._named, dict.fromkeys(d.policy_digest for d in decisions))]
        checked += [result.detail for result in results if result not in told]
        if Outcome.CONTRADICTED in outcomes:
            findings.fails("safety", Verdict.TAMPERED, detail, *checked)
        elif outcomes & _AGAINST or not outcomes & _FOR:
            findings.skipped("safety", detail)
        else:
            findings.ok("safety", detail, *checked)

    def _picture_again(self, picture: Picture, record: ImageRecord, recorded: Decision) -> Result:
        from safety.content import screen_or_refuse

        policy = self._policy(recorded.policy_digest)
        content_filter = self._content_filter(policy, str(record.parameters.get("base", "")))
        # Earlier versions decided before the mark was put in, and recorded no model.
        if recorded.model_digest is not None and recorded.model_digest != content_filter.model_digest:
            raise _other_model(recorded, policy, content_filter.model_digest)
        again = screen_or_refuse(content_filter, picture.pixels, recorded.stage)
        if again.rule == ERROR_RULE:
            raise Unavailable(f"the picture cannot be scored again: {again.reason}")
        delivered = record.pixels == pixels_digest(picture.pixels) or record.image.sha256 == sha256_hex(picture.data)
        return compared(recorded, again, exact=delivered and recorded.model_digest is not None)

    def _prompt_again(self, record: ImageRecord, recorded: Decision) -> Result:
        text = record.prompt.get("text", self._prompt)
        if text is None:
            detail = "prompt: on record only as a keyed digest, so not decided again; --prompt TEXT screens a text"
            return Result("prompt", Outcome.NOT_DERIVED, detail)
        if self._prompt is not None and text != self._prompt:
            raise Unavailable("the prompt given is not the one on record", fix="leave out --prompt: it is in clear")
        policy = self._policy(recorded.policy_digest)
        prompt_filter = self._prompt_filter(policy, str(record.parameters.get("base", "")))
        try:
            again = prompt_filter.screen(text)
            by_words = not again.allowed and not again.scores
            # What words block bears the digest of the words' filter alone, and is compared with the whole one's.
            again = replace(again, filter_digest=prompt_filter.digest)
        except FilterError as error:
            raise _unavailable(error) from error
        if again.rule == ERROR_RULE:
            raise Unavailable(f"the prompt cannot be decided on again: {again.reason}")
        if not by_words and recorded.model_digest is None and again.model_digest is not None:
            detail = "prompt: on record as decided by its words alone, where the policy asks for a model too"
            return Result("prompt", Outcome.NOT_CONFIRMED, detail, None, dict(again.scores))
        if not by_words and recorded.model_digest != again.model_digest:
            raise _other_model(recorded, policy, again.model_digest)
        named = None if self._name_prompt is None else self._name_prompt(text)
        if "text" in record.prompt or named == record.prompt["hmac"]:
            return compared(recorded, again, exact=True)
        what = "allowed" if again.allowed else f"blocked ({again.reason})"
        detail = f"prompt: the text given is {what}; whether it is the one on record only the maker's key tells"
        return Result("prompt", Outcome.NOT_DERIVED, detail, None, dict(again.scores))

    def _policy(self, digest: str) -> Policy:
        candidates = self._policies or _shipped()
        found = next((policy for policy in candidates if policy.digest == digest), None)
        if found is None:
            raise Unavailable(
                "none of the policies given is the one that decided"
                if self._policies
                else "the picture was decided on under a policy that does not ship with prov",
                expected=f"policy {digest}",
                found=", ".join(f"{policy.name} version {policy.version}, {policy.digest}" for policy in candidates),
                fix="ask its maker for the file, then: prov verify IMAGE --rederive --policy FILE",
            )
        return found

    def _named(self, digest: str) -> str:
        policy = self._policy(digest)
        return f"policy {digest[:16]}… is {policy.name} version {policy.version}"

    def _content_filter(self, policy: Policy, base: str) -> ContentFilter:
        from safety.content import open_content_filter

        key = (policy.digest, base)
        if key not in self._content:
            try:
                self._content[key] = open_content_filter(policy, base, self._device)
            except FilterError as error:
                raise _unavailable(error) from error
        return self._content[key]

    def _prompt_filter(self, policy: Policy, base: str) -> PromptScreen:
        from safety.prompt_stages import open_prompt_filter

        key = (policy.digest, base)
        if key not in self._words:
            self._words[key] = open_prompt_filter(policy, self._device, base=base)
        return self._words[key]


def compared(recorded: Decision, again: Decision, *, exact: bool) -> Result:
    """What deciding again says of a recorded decision that allowed.

    ``exact`` says that what was decided on is the same, so that scores may only differ by the tolerance.
    """
    stage = recorded.stage
    if not again.allowed and not again.scores:
        same = recorded.filter_digest == again.filter_digest
        outcome = Outcome.CONTRADICTED if same else Outcome.NOT_CONFIRMED
        version = "" if same else ", by another version of the filter"
        return Result(stage, outcome, f"{stage}: on record as allowed, but {again.reason}{version}")
    if recorded.thresholds != again.thresholds or set(recorded.scores) != set(again.scores):
        detail = f"{stage}: the concepts and thresholds on record are not those of the policy it names"
        return Result(stage, Outcome.CONTRADICTED, detail)
    if not recorded.scores:
        return Result(stage, Outcome.CONFIRMED, f"{stage}: allowed again by its words")
    differences = {name: abs(again.scores[name] - score) for name, score in recorded.scores.items()}
    worst = max(differences, key=lambda name: differences[name])
    difference = differences[worst]
    shown = f"{stage}: {worst} {again.scores[worst]:.6f} again, {recorded.scores[worst]:.6f} on record"
    if exact and difference > TOLERANCE:
        outcome, told = Outcome.CONTRADICTED, f"more than {TOLERANCE:g} apart: the record is contradicted"
    elif exact:
        border = "" if again.allowed else ", though now on the other side of its threshold"
        outcome, told = Outcome.CONFIRMED, f"within {TOLERANCE:g}: confirmed{border}"
    elif again.allowed:
        outcome, told = Outcome.BELOW, "not the pixels decided on: they stay below every threshold, no more is shown"
    else:
        outcome, told = Outcome.NOT_CONFIRMED, f"not the pixels decided on, and now {again.reason}"
    return Result(stage, outcome, f"{shown}, {told}", difference, dict(again.scores))


@cache
def _shipped() -> tuple[Policy, ...]:
    return Policy.load(STARTER_POLICY), Policy.load(DEFAULT_POLICY)


def _other_model(recorded: Decision, policy: Policy, found: str | None) -> Unavailable:
    named = " ".join(part for part in (policy.filter.model, policy.filter.pretrained) if part)
    return Unavailable(
        f"the decision (stage {recorded.stage}) was made with another model than this machine has",
        expected=f"model {recorded.model_digest}" + (f", by name {named}" if named else f", kind {policy.filter.kind}"),
        found=f"model {found}",
        fix="install the version of prov, or of the weights, that the picture was made with",
    )


def _unavailable(error: FilterError) -> Unavailable:
    return Unavailable(error.what, expected=error.expected, found=error.found, fix=error.fix)
