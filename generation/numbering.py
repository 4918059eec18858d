"""Where in a request a text stands: by the line of its file or its number, never by its words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from generation.wanted import Ask, Wanted

Places = dict[str, list[str]]
Numbering = Callable[[Collection[str]], Places]


def numbering(asks: Sequence[Ask], wanted: Sequence[Wanted]) -> Numbering | None:
    """What tells where texts stand that are prompts or negatives of ``asks``; None where one text is all there is.

    ``wanted`` are all prompts of the request, of which ``asks`` may be a part.
    """
    if all(one.line is None and one.prompt == wanted[0].prompt for one in wanted):
        return None
    return lambda texts: _places(texts, asks, wanted)


def _places(texts: Collection[str], asks: Sequence[Ask], wanted: Sequence[Wanted]) -> Places:
    found: dict[str, dict[str, None]] = {}
    for ask in asks:
        one = wanted[ask.index]
        place = f"prompt {ask.index + 1}" if one.line is None else f"line {one.line}"
        if ask.prompt in texts:
            found.setdefault(ask.prompt, {})[place] = None
        if ask.negative is not None and ask.negative in texts:
            theirs = "the negative prompt of the request" if one.negative is None else f"the negative of {place}"
            found.setdefault(ask.negative, {})[theirs] = None
    return {text: list(places) for text, places in found.items()}
