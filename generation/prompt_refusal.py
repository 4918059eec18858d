"""What is said of prompts that are blocked: which of a request they are and why, never their words."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from generation.errors import PromptBlocked
from generation.numbering import Numbering
from safety.decision import ERROR_RULE, Decision

SHOWN = 100


def refusal(blocked: Mapping[str, Decision], prompts: Collection[str], numbering: Numbering | None) -> PromptBlocked:
    """The error for texts with the decisions that block them; those that are not among ``prompts`` are negatives."""
    failed = any(decision.rule == ERROR_RULE for decision in blocked.values())
    fix = "check the filter: prov policy check --prompt TEXT" if failed else "ask for something else"
    if numbering is None:
        text, decision = list(blocked.items())[-1]
        what = "prompt" if text in prompts else "negative prompt"
        said = f"this {what} cannot be screened" if failed else f"the safety policy blocks this {what}"
        return PromptBlocked(said, found=decision.reason, fix=fix)
    places = numbering(blocked)
    lines = [f"{', '.join(places[text])}: {decision.reason}" for text, decision in blocked.items()]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    said = "prompts cannot be screened" if failed else f"the safety policy blocks {len(lines)} of the prompts"
    return PromptBlocked(f"{said}:\n  " + "\n  ".join(lines[:SHOWN] + more), fix=fix)
