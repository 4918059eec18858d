"""One picture that is wanted: its prompt and what it asks for itself, and what is asked once all is settled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice

MAX_PROMPT_CHARACTERS = 4_000
MAX_PROMPTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prompt with what differs from the rest of its request; None leaves it to the request.

    ``line`` is where it stands in the file that it was read from, and decides nothing.
    """

    prompt: str
    negative: str | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    line: int | None = field(default=None, compare=False)

    def faults(self, name: str) -> Iterator[str]:
        """Everything that is wrong with it, each in a sentence about ``name``."""
        if fault := text_fault(self.prompt):
            yield f"{name} {fault}"
        if self.negative is not None and (fault := text_fault(self.negative)):
            yield f"the negative of {name} {fault}"
        for fault in number_faults(self.seed, self.steps, self.guidance):
            yield f"{name}: {fault}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One picture of a request, settled: ``index`` counts from 0, ``negative`` is None where there is none."""

    index: int
    prompt: str
    negative: str | None
    seed: int
    steps: int
    guidance: float

    @property
    def manner(self) -> tuple[int, float, bool]:
        """What pictures must share to be drawn in one batch."""
        return self.steps, self.guidance, self.negative is not None


def text_fault(text: str) -> str | None:
    """What is wrong with a prompt; None when nothing is."""
    if not text.strip():
        return "is empty"
    # Lone surrogates are how Python carries bytes that are no text.
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half a character, as broken UTF-8 leaves it"
    if len(text) > MAX_PROMPT_CHARACTERS:
        return f"has {len(text)} characters, at most {MAX_PROMPT_CHARACTERS} are read"
    return None


def number_faults(seed: int | None, steps: int | None, guidance: float | None) -> Iterator[str]:
    """What is wrong with the numbers of a request or of one of its pictures."""
    if seed is not None and not 0 <= seed < 2**63 - MAX_PROMPTS:
        yield f"seed {seed} is not between 0 and 2^63"
    if steps is not None and not 1 <= steps <= 1000:
        yield f"{steps} steps; 1 to 1000 are possible"
    if guidance is not None and not (math.isfinite(guidance) and 0 <= guidance <= 100):
        yield f"guidance {guidance} is not between 0 and 100"


def batches(asks: Iterable[Ask], size: int) -> Iterator[list[Ask]]:
    """Asks in their order, up to ``size`` neighbours at a time that can be drawn together."""
    for _, alike in groupby(asks, key=lambda ask: ask.manner):
        while batch := list(islice(alike, size)):
            yield batch
