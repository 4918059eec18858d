"""Whether what a filter gave is a decision at all, and one that the policy could have led to."""

from __future__ import annotations

import math
from typing import Any

from safety.decision import Decision
from safety.errors import FilterError, SafetyError
from safety.policy import Policy


def require_sound(decision: Any, policy: Policy, stage: str, scorer: str) -> None:
    """Raises FilterError unless this is a whole decision by a policy on a stage, and allows only what that allows.

    What allows must have scores, below the policy's own thresholds, for every concept of the stage that has a
    threshold for ``scorer``.
    """
    if not isinstance(decision, Decision) or decision.stage != stage:
        raise FilterError("the filter did not decide")
    if decision.policy_digest != policy.digest:
        raise FilterError("the filter decided by another policy")
    try:
        Decision.from_json(decision.to_json())
    except (SafetyError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FilterError("the filter's decision is no record", found=str(error)) from error
    if not decision.allowed:
        return
    for concept in policy.at(stage):
        if scorer in concept.thresholds:
            threshold, score = concept.thresholds[scorer], decision.scores.get(concept.name, math.nan)
            if not 0 <= score < threshold:
                raise FilterError(f"the filter allowed {concept.name} against the policy")
            if decision.thresholds[concept.name] != threshold:
                raise FilterError(f"the filter decided on {concept.name} by another threshold")
