"""What a filter decided, and all that is needed to check it later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safety.errors import SafetyError

STAGES = ("prompt", "train", "output")
FIELDS = {"allowed", "stage", "policy", "filter", "scores", "thresholds", "rule", "reason"}
ERROR_RULE = "error"


@dataclass(frozen=True)
class Decision:
    """One decision. ``reason`` and ``rule`` speak in the policy's words and never repeat what was screened.

    ``scores`` and ``thresholds`` are by concept, from 0 to 1; a score at or above its threshold blocks.
    """

    allowed: bool
    stage: str
    policy_digest: str
    filter_digest: str
    scores: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rule: str | None = None
    reason: str = "no rule of the policy applies"

    def to_json(self) -> dict[str, Any]:
        """The decision record, as it stands in image records and in the log of what was blocked."""
        return {
            "allowed": self.allowed,
            "stage": self.stage,
            "policy": self.policy_digest,
            "filter": self.filter_digest,
            "scores": {name: round(score, 6) for name, score in sorted(self.scores.items())},
            "thresholds": dict(sorted(self.thresholds.items())),
            "rule": self.rule,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Any) -> Decision:
        """Reads a decision record; raises SafetyError when a field is missing, unknown or of the wrong kind."""
        if not isinstance(value, dict) or set(value) != FIELDS:
            raise SafetyError("this is not a decision record", expected=", ".join(sorted(FIELDS)))
        numbers = [value["scores"], value["thresholds"]]
        fits = (
            isinstance(value["allowed"], bool)
            and value["stage"] in STAGES
            and all(isinstance(value[name], str) for name in ("policy", "filter", "reason"))
            and (value["rule"] is None or isinstance(value["rule"], str))
            and all(isinstance(table, dict) and all(map(_is_share, table.values())) for table in numbers)
        )
        if not fits:
            raise SafetyError("this decision record has values of the wrong kind")
        return cls(
            value["allowed"],
            value["stage"],
            value["policy"],
            value["filter"],
            value["scores"],
            value["thresholds"],
            value["rule"],
            value["reason"],
        )

    @classmethod
    def by_scores(
        cls,
        stage: str,
        policy_digest: str,
        filter_digest: str,
        scores: Mapping[str, float],
        thresholds: Mapping[str, float],
    ) -> Decision:
        """Blocks for the concept furthest above its threshold, if there is any."""
        over = [name for name in scores if scores[name] >= thresholds[name]]
        if not over:
            return cls(True, stage, policy_digest, filter_digest, scores, thresholds)
        worst = max(over, key=lambda name: scores[name] - thresholds[name])
        reason = f"the picture shows {worst}: score {scores[worst]:.3f}, allowed below {thresholds[worst]:g}"
        return cls(False, stage, policy_digest, filter_digest, scores, thresholds, f"{worst}/score", reason)


def _is_share(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value <= 1
