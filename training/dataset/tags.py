"""The captions that a training shows: with the trigger word, and comma-separated tags in several orders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.trigger import is_learned
from training.draws import generator

if TYPE_CHECKING:
    from training.config import TrainConfig


@dataclass(frozen=True)
class Captions:
    """All captions as rows, the last being none; and for each item, and each prior prompt, the rows it may take."""

    rows: tuple[str, ...]
    of_item: tuple[tuple[int, ...], ...]
    of_prior: tuple[int, ...]


def arrange_captions(captions: Sequence[str], config: TrainConfig) -> Captions:
    """The rows for a dataset's captions and for the configured ``prior_prompts``, which get no trigger word."""
    forms = {text: caption_forms(text, index, config) for index, text in enumerate(sorted(set(captions)))}
    shown = {form for each in forms.values() for form in each} | set(config.prior_prompts)
    rows = tuple(sorted(shown))
    row = {text: index for index, text in enumerate(rows)}
    return Captions(
        rows=(*rows, ""),
        of_item=tuple(tuple(row[form] for form in forms[text]) for text in captions),
        of_prior=tuple(row[prompt] for prompt in config.prior_prompts),
    )


def caption_forms(caption: str, index: int, config: TrainConfig) -> tuple[str, ...]:
    """The forms in which one caption is shown: one, or up to ``caption_orders`` distinct orders of its tags.

    ``index`` counts the distinct captions and names the draws. The first ``keep_tags`` tags stay where they are.
    """
    import torch

    caption = with_trigger(caption, config.trigger)
    tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
    kept, loose = tags[: config.keep_tags], tags[config.keep_tags :]
    if not config.shuffle_tags or len(loose) < 2:
        return (caption,)
    forms = []
    for order in range(config.caption_orders):
        places = torch.randperm(len(loose), generator=generator(config.seed, index, order, "tags")).tolist()
        forms.append(", ".join([*kept, *(loose[place] for place in places)]))
    return tuple(dict.fromkeys(forms))


def with_trigger(caption: str, trigger: str) -> str:
    """The caption with the trigger in front, unless it has it as a word somewhere.

    A word that the base knows may be in small or capital letters; one that is learned is read as it is written alone.
    """
    if not trigger or _as_word(trigger).search(caption):
        return caption
    return f"{trigger}, {caption}"


def without_trigger(caption: str, trigger: str) -> str:
    """The caption without the trigger, wherever `with_trigger` finds it, and without the punctuation beside it."""
    return " ".join(_as_word(trigger).sub(" ", caption).split()).strip(" ,")


def _as_word(trigger: str) -> re.Pattern[str]:
    flags = re.NOFLAG if is_learned(trigger) else re.IGNORECASE
    return re.compile(rf"[,.;:]*(?<!\w){re.escape(trigger)}(?!\w)(?:['’]s\b)?[,.;:]*", flags)
