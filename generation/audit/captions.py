"""Captions to ask with: those trained on, other words for them, and captions like them that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from generation.request import read_prompts
from provenance.errors import UsageError

PARAPHRASE = "a picture of {}"
_TRIES = 200


def spread_evenly(captions: Sequence[str], most: int) -> list[str]:
    """At most ``most`` of the distinct captions, in order and evenly spread."""
    distinct = sorted(set(captions))
    places = np.linspace(0, len(distinct) - 1, min(most, len(distinct)))
    return [distinct[int(place)] for place in places]


def paraphrase(caption: str) -> str:
    """The same caption in a longer sentence."""
    return PARAPHRASE.format(caption)


def control_captions(captions: Sequence[str], count: int, seed: int) -> list[str]:
    """``count`` captions that begin as one of the given and end as another, and are none of them.

    They speak of what the training speaks of, so that a concept that was learned is not taken for a picture that was
    memorised. Two captions are joined at a word they share, or else anywhere. Raises UsageError when the captions are
    too few or too much alike.
    """
    known = sorted(set(captions))
    draw = np.random.default_rng(seed)
    words = [caption.split() for caption in known]
    made: dict[str, None] = {}
    for at_shared_word in (True, False):
        for _ in range(_TRIES * count):
            if len(made) == count:
                break
            first, second = (words[int(i)] for i in draw.integers(len(words), size=2))
            joined = _joined(first, second, draw, at_shared_word)
            if joined is not None and joined not in known and len(joined.split()) >= min(len(first), len(second)):
                made[joined] = None
        if len(made) >= max(2, count // 2):
            return list(made)
    raise UsageError(
        "the training captions are too few or too much alike to make others of them",
        expected=f"{count} captions like them that were not trained on",
        found=f"{len(made)}",
        fix="give --controls FILE, with one caption on each line",
    )


def _joined(first: Sequence[str], second: Sequence[str], draw: np.random.Generator, at_shared_word: bool) -> str | None:
    if min(len(first), len(second)) < 2:
        return None
    if not at_shared_word:
        here = int(draw.integers(1, min(len(first), len(second))))
        return " ".join((*first[:here], *second[here:]))
    shared = [word for word in first[:-1] if word in second[:-1]]
    if not shared:
        return None
    word = shared[int(draw.integers(len(shared)))]
    return " ".join((*first[: first.index(word)], *second[second.index(word) :]))


def read_controls(path: Path, captions: Sequence[str]) -> list[str]:
    """Control captions of a file; raises UsageError when one of them was trained on."""
    found = list(dict.fromkeys(read_prompts(path)))
    trained = sorted(set(found) & set(captions))
    if trained:
        raise UsageError(
            f"{path} holds captions that were trained on", expected="other captions", found="; ".join(trained[:5])
        )
    return found
