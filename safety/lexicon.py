"""Forbidden words as patterns over normalised text, with the spellings that people hide them in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from safety.lookalikes import DRAWN, LEET
from safety.normalise import readings

# Between letters: signs within a word; or, when every letter is set apart, spaces as well.
_GLUE = r"[^\w\s]{0,3}_{0,3}"
_APART = r"[\W_]{1,8}"
_LOOSE = r"[\W_]{0,3}"
_START, _END = r"(?<![^\W\d_])", r"(?![^\W\d_])"
_ANY_WORD_GAP = r"[\W_]{0,8}"
LONG_TERM = 5


@dataclass(frozen=True)
class Match:
    """A forbidden term and where it stands in a reading."""

    term: str
    start: int
    end: int


class Lexicon:
    """Finds terms, their plurals and disguises; a term inside an allowed phrase is harmless."""

    def __init__(self, terms: tuple[str, ...], allow: tuple[str, ...]) -> None:
        self._terms = [(term, _pattern(term)) for term in terms]
        self._allow = [re.compile(_START + _plain(phrase) + _END) for phrase in allow]

    def find(self, text: str) -> Match | None:
        """The first forbidden term in one reading of a text, or None."""
        harmless = [match.span() for pattern in self._allow for match in pattern.finditer(text)]
        for term, pattern in self._terms:
            for match in pattern.finditer(text):
                if not re.search(r"[^\W\d_]", match.group()):
                    continue
                if not any(start <= match.start() and match.end() <= end for start, end in harmless):
                    return Match(term, *match.span())
        return None


def _pattern(term: str) -> re.Pattern[str]:
    spellings = [spelling for reading in readings(term) for spelling in _spellings(reading)]
    return re.compile(_START + "(?:" + "|".join(dict.fromkeys(spellings)) + ")" + _END)


def _spellings(term: str) -> list[str]:
    """Whole, with letters set apart, and for long terms with gaps anywhere."""
    words = re.findall(r"[^\W_]+", term)
    count = sum(map(len, words))
    gaps = [_GLUE, _APART] + ([_LOOSE] if count >= LONG_TERM else [])
    return [_spelled(words, gap) for gap in gaps]


def _spelled(words: list[str], gap: str) -> str:
    between = _ANY_WORD_GAP.join(gap.join(_letter(c) for c in word) for word in words)
    return between + f"(?:{gap}(?:{_letter('e')}{gap})?{_letter('s')})?"


def _letter(letter: str) -> str:
    # Stretched letters count once; the limit keeps matching linear.
    drawn = "".join(f"|{re.escape(signs)}" for signs in DRAWN.get(letter, ()))
    return f"(?:[{re.escape(letter + LEET.get(letter, ''))}]{drawn}){{1,6}}"


def _plain(phrase: str) -> str:
    words = re.findall(r"[^\W_]+", readings(phrase)[0])
    return r"[\s_-]+".join(map(re.escape, words)) + "s?"
