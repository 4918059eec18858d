"""What filters decided on a picture: as its record holds it, and as its manifest repeats it for whoever has no record.

The manifest's own assertion names each concept once, to stay small::

    {"decisions": [{"stage", "policy", "filter", "model",
                    "concepts": {CONCEPT: {"score", "threshold", "margin"}}, "warnings": [CONCEPT]}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provenance.canonical import Json
from provenance.errors import CredentialsError, RecordError
from safety.decision import DIGITS, Decision
from safety.errors import SafetyError

SAFETY_LABEL = "org.prov.safety"
MAX_DECISIONS = 16


def read_decisions(safety: Iterable[Mapping[str, Any]]) -> tuple[Decision, ...]:
    """The decisions of a record; raises RecordError for what is no decision record."""
    try:
        return tuple(Decision.from_json(dict(value)) for value in safety)
    except SafetyError as error:
        raise RecordError(
            f"the record's decisions cannot be read: {error.what}", expected=error.expected, found=error.found
        ) from error


def require_allowed(decisions: Iterable[Decision]) -> None:
    """Raises RecordError for a decision that blocks, or allows a score that its own threshold blocks."""
    for decision in decisions:
        if not decision.allowed:
            raise RecordError(f"the filter blocked this picture at stage {decision.stage}", found=decision.reason)
        for name, score in decision.scores.items():
            if score >= decision.thresholds[name]:
                raise RecordError(
                    f"a decision allows {name} against its own threshold (stage {decision.stage})",
                    expected=f"a score below {decision.thresholds[name]:g}",
                    found=f"{score:g}",
                )


def claim_of(decisions: Iterable[Decision]) -> Json:
    """What a manifest says of decisions; scores to six decimals, as in the record."""
    return {"decisions": [_claim(decision) for decision in decisions]}


def read_claim(value: Any) -> tuple[Decision, ...]:
    """Reads what a manifest says of decisions, strictly; raises CredentialsError."""
    match value:
        case {"decisions": [*claims]} if len(value) == 1 and 0 < len(claims) <= MAX_DECISIONS:
            decisions = tuple(_decision(claim) for claim in claims)
        case _:
            raise CredentialsError(f"the {SAFETY_LABEL} assertion has missing or unknown fields")
    if claim_of(decisions) != value:
        raise CredentialsError(f"the {SAFETY_LABEL} assertion has missing or unknown fields, or contradicts itself")
    return decisions


def _claim(decision: Decision) -> Json:
    scores = {name: round(score, DIGITS) for name, score in sorted(decision.scores.items())}
    limits = decision.thresholds
    return {
        "stage": decision.stage,
        "policy": decision.policy_digest,
        "filter": decision.filter_digest,
        "model": decision.model_digest,
        "concepts": {
            name: {"score": score, "threshold": limits[name], "margin": round(limits[name] - score, DIGITS)}
            for name, score in scores.items()
        },
        "warnings": sorted(decision.warnings),
    }


def _decision(claim: Any) -> Decision:
    try:
        concepts = claim["concepts"]
        return Decision.from_json(
            {
                "allowed": True,
                "stage": claim["stage"],
                "policy": claim["policy"],
                "filter": claim["filter"],
                "model": claim["model"],
                "scores": {name: concept["score"] for name, concept in concepts.items()},
                "thresholds": {name: concept["threshold"] for name, concept in concepts.items()},
                "margins": {name: concept["margin"] for name, concept in concepts.items()},
                "warnings": claim["warnings"],
                "rule": None,
                "reason": Decision.reason,
            }
        )
    except (SafetyError, AttributeError, KeyError, TypeError) as error:
        raise CredentialsError(f"the {SAFETY_LABEL} assertion holds something that is no decision") from error
