"""What a filter decided, and all that is needed to check it later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safety.errors import SafetyError

STAGES = ("prompt", "train", "output")
FIRST_FIELDS = frozenset({"allowed", "stage", "policy", "filter", "scores", "thresholds", "rule", "reason"})
FIELDS = FIRST_FIELDS | {"model", "warnings", "margins"}
ERROR_RULE = "error"
DIGITS = 6


@dataclass(frozen=True)
class Decision:
    """One decision. ``reason`` and ``rule`` speak in the policy's words and never repeat what was screened.

    ``scores`` and ``thresholds`` are by concept, from 0 to 1; a score at or above its threshold blocks.
    ``filter_digest`` names everything that scored, ``model_digest`` its weights alone; None where no model did.
    ``warnings`` names the concepts whose score reached what the policy warns of.
    """

    allowed: bool
    stage: str
    policy_digest: str
    filter_digest: str
    scores: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rule: str | None = None
    reason: str = "no rule of the policy applies"
    model_digest: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def margins(self) -> dict[str, float]:
        """By concept, how far the score stayed below its threshold; 0 or less blocks."""
        return {name: self.thresholds[name] - score for name, score in self.scores.items()}

    def to_json(self) -> dict[str, Any]:
        """The decision record, as it stands in image records and in the log of what was blocked."""
        return {
            "allowed": self.allowed,
            "stage": self.stage,
            "policy": self.policy_digest,
            "filter": self.filter_digest,
            "model": self.model_digest,
            "scores": _rounded(self.scores),
            "thresholds": dict(sorted(self.thresholds.items())),
            "margins": _rounded(self.margins),
            "warnings": sorted(self.warnings),
            "rule": self.rule,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Any) -> Decision:
        """Reads a decision record, also one from before models, margins and warnings were recorded.

        Raises SafetyError when a field is missing, unknown or of the wrong kind, or when a margin is not the threshold
        less the score.
        """
        if not isinstance(value, dict) or set(value) not in (FIELDS, FIRST_FIELDS):
            raise SafetyError("this is not a decision record", expected=", ".join(sorted(FIELDS)))
        whole = {"model": None, "warnings": [], **value}
        if not _fits(whole):
            raise SafetyError("this decision record has values of the wrong kind")
        decision = cls(
            whole["allowed"],
            whole["stage"],
            whole["policy"],
            whole["filter"],
            whole["scores"],
            whole["thresholds"],
            whole["rule"],
            whole["reason"],
            whole["model"],
            tuple(whole["warnings"]),
        )
        if "margins" in whole and not _same(whole["margins"], decision.margins):
            raise SafetyError(
                "this decision record contradicts itself", expected="margins that are thresholds less scores"
            )
        return decision

    @classmethod
    def by_scores(
        cls,
        stage: str,
        policy_digest: str,
        filter_digest: str,
        scores: Mapping[str, float],
        thresholds: Mapping[str, float],
        *,
        warned: tuple[str, ...] = (),
        model_digest: str | None = None,
    ) -> Decision:
        """Blocks for the concept furthest above its threshold, if there is any."""
        over = [name for name in scores if scores[name] >= thresholds[name]]
        worst = max(over, key=lambda name: scores[name] - thresholds[name], default=None)
        reason = cls.reason
        if worst is not None:
            shown = f"the prompt is close to {worst}" if stage == "prompt" else f"the picture shows {worst}"
            reason = f"{shown} (stage {stage}): score {scores[worst]:.3f}, allowed below {thresholds[worst]:g}"
        return cls(
            allowed=worst is None,
            stage=stage,
            policy_digest=policy_digest,
            filter_digest=filter_digest,
            scores=scores,
            thresholds=thresholds,
            rule=None if worst is None else f"{worst}/score",
            reason=reason,
            model_digest=model_digest,
            warnings=warned,
        )


def failure(what: str, error: Exception) -> str:
    """Why something was blocked that could not be screened: our own words, or the kind of a foreign error."""
    told = error.what if isinstance(error, SafetyError) else type(error).__name__
    return f"{what} failed ({told}); nothing passes unscreened"


def _fits(value: Mapping[str, Any]) -> bool:
    tables = [value["scores"], value["thresholds"]]
    if not all(isinstance(table, dict) and all(map(_is_share, table.values())) for table in tables):
        return False
    scored = set(value["scores"])
    return (
        isinstance(value["allowed"], bool)
        and value["stage"] in STAGES
        and all(isinstance(value[name], str) for name in ("policy", "filter", "reason"))
        and all(value[name] is None or isinstance(value[name], str) for name in ("rule", "model"))
        and scored <= set(value["thresholds"])
        and isinstance(value["warnings"], list)
        and all(isinstance(name, str) and name in scored for name in value["warnings"])
    )


def _rounded(table: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in sorted(table.items())}


def _same(table: Any, margins: Mapping[str, float]) -> bool:
    if not isinstance(table, dict) or set(table) != set(margins):
        return False
    # Scores and margins were each rounded.
    return all(_is_number(table[name]) and abs(table[name] - margins[name]) < 2 * 10**-DIGITS for name in margins)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
