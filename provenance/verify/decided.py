"""What the safety filters decided on a picture, by its record: read, held against itself, and told in a line."""

from __future__ import annotations

from collections.abc import Callable

from provenance.decisions import read_decisions, require_allowed
from provenance.errors import RecordError
from provenance.record import ImageRecord
from provenance.verify.findings import Findings
from provenance.verify.report import Verdict
from provenance.verify.trace import Picture
from safety.decision import Decision

Rederive = Callable[[Picture, ImageRecord, tuple[Decision, ...], Findings], None]
"""Decides again on a picture; what needs a model is handed in by whoever has one."""

_SCREENED = {"prompt": "prompt", "output": "picture", "train": "training"}


def check_decisions(record: ImageRecord, findings: Findings) -> tuple[Decision, ...]:
    """The decisions on record; none, with the reason noted, when there are none that can be read."""
    if not record.safety:
        findings.absent("safety", "the record holds no decision of a safety filter")
        return ()
    try:
        decisions = read_decisions(record.safety)
    except RecordError as error:
        findings.skipped("safety", error.what)
        return ()
    try:
        require_allowed(decisions)
    except RecordError as error:
        findings.fails("safety", Verdict.TAMPERED, f"{error.what} (found {error.found})")
        return ()
    findings.ok("safety", _told(decisions), *map(told_in_full, decisions), "by the record; not scored again")
    findings.facts["safety"] = {
        "policies": sorted({decision.policy_digest for decision in decisions}),
        "models": sorted({decision.model_digest for decision in decisions if decision.model_digest}),
        "margins": {decision.stage: _margins(decision) for decision in decisions if decision.scores},
        "warnings": sorted({name for decision in decisions for name in decision.warnings}),
    }
    return decisions


def told_in_full(decision: Decision) -> str:
    """One decision in a line: stage, policy, what decided, and every score against its threshold."""
    scores = [f"{name} {score:.3f} of {decision.thresholds[name]:g}" for name, score in sorted(decision.scores.items())]
    warned = f"; warned of {', '.join(sorted(decision.warnings))}" if decision.warnings else ""
    model = f", model {decision.model_digest}" if decision.model_digest else ""
    named = f"{decision.stage}: policy {decision.policy_digest}, filter {decision.filter_digest}{model}"
    return "; ".join([named, *scores]) + warned


def nearest(decisions: tuple[Decision, ...]) -> tuple[str, float] | None:
    """The concept that came closest to its threshold, and how far it stayed below."""
    margins = [(name, margin) for decision in decisions for name, margin in decision.margins.items()]
    return min(margins, key=lambda pair: pair[1], default=None)


def _told(decisions: tuple[Decision, ...]) -> str:
    screened = " and ".join(_SCREENED[stage] for stage in dict.fromkeys(decision.stage for decision in decisions))
    policies = ", ".join(f"{digest[:16]}…" for digest in dict.fromkeys(d.policy_digest for d in decisions))
    closest = nearest(decisions)
    margin = "" if closest is None else f"; closest: {closest[0]}, {closest[1]:.3f} below its threshold"
    return f"{screened} allowed under policy {policies}{margin}"


def _margins(decision: Decision) -> dict[str, float]:
    return {name: round(margin, 6) for name, margin in sorted(decision.margins.items())}
