"""The content filter: pictures in, decisions out, and whatever goes wrong blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from safety.decision import ERROR_RULE, Decision
from safety.errors import FilterError
from safety.policy import STARTER_BASE, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


class ContentFilter(Protocol):
    """Screens one picture at a time; may raise anything: only ``screen_or_refuse`` calls it in earnest."""

    @property
    def digest(self) -> str:
        """SHA-256 of the model that scores."""

    @property
    def policy(self) -> Policy: ...

    def screen(self, image: NDArray[np.uint8], stage: str = "output") -> Decision: ...


def open_content_filter(policy: Policy, base: str) -> ContentFilter:
    """Loads the filter that a policy asks for; raises FilterError when it cannot be loaded.

    The starter filter knows only the starter world, so it is refused for any other base.
    """
    if policy.filter.kind == "starter":
        if base != STARTER_BASE:
            raise FilterError(
                "the starter filter cannot judge pictures of another base",
                expected="a policy with filter kind open_clip",
                found=f"base {base!r}",
                fix="give --policy, or none for the default",
            )
        from safety.starter_filter import StarterContentFilter

        return StarterContentFilter(policy)
    from safety.clip_filter import OpenClipContentFilter

    return OpenClipContentFilter(policy.filter.model or "", policy.filter.pretrained, policy)


def screen_or_refuse(content_filter: ContentFilter, image: Any, stage: str = "output") -> Decision:
    """Screens a picture; any failure, of any kind, is a blocked decision that says so.

    What allows must be a whole decision: scores for every concept of the stage, finite, from 0 to 1, and below
    the policy's own thresholds.
    """
    try:
        check_picture(image)
        decision = content_filter.screen(image, stage)
        _check_decision(decision, content_filter, stage)
    except Exception as error:
        return Decision(
            allowed=False,
            stage=stage,
            policy_digest=_digest_of(getattr(content_filter, "policy", None)),
            filter_digest=_digest_of(content_filter),
            rule=ERROR_RULE,
            reason=f"the content filter failed ({type(error).__name__}); nothing passes unscreened",
        )
    return decision


def check_picture(image: Any) -> None:
    """Raises FilterError unless this is an (H, W, 3) uint8 array with pixels."""
    import numpy as np

    fits = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    if not fits or 0 in image.shape:
        raise FilterError("this is not a picture", expected="an (H, W, 3) array of uint8")


def decide(policy: Policy, kind: str, stage: str, digest: str, scores: Mapping[str, float]) -> Decision:
    """Compares scores with the policy's thresholds; raises FilterError for a score that is not from 0 to 1."""
    for name, score in scores.items():
        if not math.isfinite(score) or not 0 <= score <= 1:
            raise FilterError(f"the score for {name} is not a number from 0 to 1", found=repr(score))
    thresholds = {concept.name: concept.thresholds[kind] for concept in policy.at(stage)}
    return Decision.by_scores(stage, policy.digest, digest, scores, thresholds)


def _check_decision(decision: Any, content_filter: ContentFilter, stage: str) -> None:
    if not isinstance(decision, Decision) or decision.stage != stage:
        raise FilterError("the filter did not decide")
    if not decision.allowed:
        return
    policy = content_filter.policy
    for concept in policy.at(stage):
        score, threshold = decision.scores[concept.name], concept.thresholds[policy.filter.kind]
        if not (math.isfinite(score) and 0 <= score < threshold):
            raise FilterError(f"the filter allowed {concept.name} against the policy")


def _digest_of(thing: Any) -> str:
    # Only for the record of a failure: a filter too broken to name itself is recorded as unknown.
    try:
        digest = thing.digest
    except Exception:
        return "unknown"
    return digest if isinstance(digest, str) else "unknown"
