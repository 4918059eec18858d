"""Everything that looks at a dataset, loaded: filters, hash lists, likeness checks, and CLIP for near duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.screening.report import STAGE, NamedDigest, ScreeningRules

if TYPE_CHECKING:
    from safety.clip_model import ClipModel
    from safety.content import ContentFilter
    from safety.hash_lists import HashList
    from safety.likeness_check import NamedCheck
    from safety.policy import Policy
    from safety.prompt_stages import PromptScreen


@dataclass(frozen=True)
class ScreeningChoice:
    """What to screen by: a policy (None for the one that ships for the base), and what is held against beside it."""

    policy: Policy | None = None
    hash_lists: tuple[HashList, ...] = ()
    likeness: tuple[str, ...] = ()


@dataclass(frozen=True)
class Screens:
    """The loaded parts, and under which digests they decide."""

    rules: ScreeningRules
    pictures: ContentFilter
    captions: PromptScreen
    hash_lists: tuple[HashList, ...]
    likeness: tuple[NamedCheck, ...]
    clip: ClipModel | None


def open_screens(choice: ScreeningChoice, base: str, device: str = "cpu") -> Screens:
    """Loads everything that a choice asks for; raises FilterError or PolicyError when any of it cannot be loaded."""
    from safety.content import open_content_filter
    from safety.likeness_check import open_likeness_check
    from safety.policy import open_policy
    from safety.prompt_stages import open_prompt_filter
    from safety.text_filter import SCORER

    policy = choice.policy or open_policy(None, base)
    pictures = open_content_filter(policy, base, device)
    captions = open_prompt_filter(policy, device, STAGE)
    likeness = tuple(open_likeness_check(name) for name in choice.likeness)
    rules = ScreeningRules(
        policy=policy.digest,
        policy_name=policy.name,
        policy_version=policy.version,
        picture_filter=pictures.digest,
        model=pictures.model_digest,
        caption_filter=captions.digest,
        thresholds={"picture": _thresholds(policy, policy.filter.kind), "caption": _thresholds(policy, SCORER)},
        hash_lists=_distinct([NamedDigest(each.name, each.digest) for each in choice.hash_lists]),
        likeness=_distinct([NamedDigest(each.name, each.digest) for each in likeness]),
    )
    return Screens(rules, pictures, captions, choice.hash_lists, likeness, _clip(policy, device))


def _thresholds(policy: Policy, scorer: str) -> dict[str, float]:
    return {c.name: c.thresholds[scorer] for c in policy.at(STAGE) if scorer in c.thresholds}


def _distinct(entries: Sequence[NamedDigest]) -> tuple[NamedDigest, ...]:
    return tuple(sorted(set(entries), key=lambda each: (each.name, each.digest)))


def _clip(policy: Policy, device: str) -> ClipModel | None:
    from safety.clip_model import open_clip_model

    choice = policy.filter
    return open_clip_model(choice.model or "", choice.pretrained, device) if choice.kind == "open_clip" else None
