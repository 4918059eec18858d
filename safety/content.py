"""The content filter: pictures in, decisions out, and whatever goes wrong blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from safety.clip_model import STARTER_MODEL
from safety.deadline import DEADLINE, answer_within
from safety.decision import ERROR_RULE, Decision, failure
from safety.errors import FilterError
from safety.policy import STARTER_BASE, Policy
from safety.sound import require_sound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.clip_model import ClipModel


class ContentFilter(Protocol):
    """Screens pictures; may raise anything, so call it through ``screen_or_refuse`` or ``screen_all_or_refuse``."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that scores: model, code version and precision."""

    @property
    def model_digest(self) -> str:
        """SHA-256 of the model alone, which thresholds are calibrated for."""

    @property
    def policy(self) -> Policy: ...

    def screen(self, image: NDArray[np.uint8], stage: str = "output") -> Decision: ...

    def screen_batch(self, images: Sequence[NDArray[np.uint8]], stage: str = "output") -> list[Decision]: ...


def open_content_filter(policy: Policy, base: str, device: str = "cpu") -> ContentFilter:
    """Loads the filter that a policy asks for; raises FilterError when it cannot be loaded.

    What ships for the starter world knows only that, so it is refused for any other base. ``device`` is where the
    model runs, as in ``cuda``.
    """
    from safety.clip_filter import OpenClipContentFilter

    return OpenClipContentFilter(policy, open_policy_model(policy, base, device))


def open_policy_model(policy: Policy, base: str, device: str = "cpu") -> ClipModel:
    """The open_clip model that a policy names; raises FilterError as ``open_content_filter`` does."""
    from safety.clip_model import open_clip_model

    _require_own_world(policy, base)
    return open_clip_model(policy.filter.model, policy.filter.pretrained, device)


def screen_or_refuse(
    content_filter: ContentFilter, image: Any, stage: str = "output", seconds: float = DEADLINE
) -> Decision:
    """Screens a picture; any failure, of any kind, is a blocked decision that says so, and so is no answer in time.

    What allows must be a whole decision: scores for every concept of the stage, finite, from 0 to 1, and below
    the policy's own thresholds.
    """
    return screen_all_or_refuse(content_filter, [image], stage, seconds)[0]


def screen_all_or_refuse(
    content_filter: ContentFilter, images: Sequence[Any], stage: str = "output", seconds: float = DEADLINE
) -> list[Decision]:
    """Screens pictures together, one decision each, as ``screen_or_refuse`` does.

    What is no picture is blocked alone. A filter that fails, decides on another number of pictures, or needs more than
    ``seconds`` a picture, blocks them all.
    """
    faults = {index: fault for index, image in enumerate(images) if (fault := _fault(check_picture, image))}
    pictures = [image for index, image in enumerate(images) if index not in faults]
    decided = iter(_screened(content_filter, pictures, stage, seconds * len(pictures)))
    return [
        _blocked(content_filter, stage, faults[index]) if index in faults else next(decided)
        for index in range(len(images))
    ]


def check_picture(image: Any) -> None:
    """Raises FilterError unless this is an (H, W, 3) uint8 array with pixels, not all of them black.

    Pure black is what is left of a picture whose numbers went wrong.
    """
    import numpy as np

    fits = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    if not fits or 0 in image.shape:
        raise FilterError("this is not a picture", expected="an (H, W, 3) array of uint8")
    if not image.any():
        raise FilterError("the picture is black from edge to edge")


def decide(content_filter: ContentFilter, stage: str, scores: Mapping[str, float]) -> Decision:
    """Compares scores with the policy's thresholds; raises FilterError for a score that is not from 0 to 1."""
    for name, score in scores.items():
        if not math.isfinite(score) or not 0 <= score <= 1:
            raise FilterError(f"the score for {name} is not a number from 0 to 1", found=repr(score))
    policy = content_filter.policy
    kind = policy.filter.kind
    return Decision.by_scores(
        stage,
        policy.digest,
        content_filter.digest,
        scores,
        {concept.name: concept.thresholds[kind] for concept in policy.at(stage)},
        warned=policy.warned(stage, kind, scores),
        model_digest=content_filter.model_digest,
    )


def _require_own_world(policy: Policy, base: str) -> None:
    if policy.filter.model == STARTER_MODEL and base != STARTER_BASE:
        raise FilterError(
            "the starter model cannot judge pictures of another base",
            expected="a policy whose filter has a model of your own choice",
            found=f"base {base!r}",
            fix="give --policy, or none for the default",
        )


def _screened(content_filter: ContentFilter, pictures: list[Any], stage: str, seconds: float) -> list[Decision]:
    if not pictures:
        return []
    try:
        decisions = answer_within(seconds, lambda: content_filter.screen_batch(pictures, stage))
        if not isinstance(decisions, list) or len(decisions) != len(pictures):
            raise FilterError("the filter did not decide on every picture")
        for decision in decisions:
            _check_decision(decision, content_filter, stage)
    except Exception as error:
        return [_blocked(content_filter, stage, error)] * len(pictures)
    return decisions


def _fault(check: Callable[[Any], None], image: Any) -> Exception | None:
    try:
        check(image)
    except Exception as error:
        return error
    return None


def _blocked(content_filter: ContentFilter, stage: str, error: Exception) -> Decision:
    return Decision(
        allowed=False,
        stage=stage,
        policy_digest=_named(content_filter, "policy", "digest"),
        filter_digest=_named(content_filter, "digest"),
        rule=ERROR_RULE,
        reason=failure("the content filter", error),
        model_digest=_named(content_filter, "model_digest"),
    )


def _check_decision(decision: Any, content_filter: ContentFilter, stage: str) -> None:
    policy = content_filter.policy
    require_sound(decision, policy, stage, policy.filter.kind)
    if decision.filter_digest != content_filter.digest:
        raise FilterError("the filter decided under another name")


def _named(thing: Any, *path: str) -> str:
    # Only for the record of a failure: a filter too broken to name itself is recorded as unknown.
    try:
        for name in path:
            thing = getattr(thing, name)
    except Exception:
        return "unknown"
    return thing if isinstance(thing, str) else "unknown"
