"""A reading as one letter class a character, so that every disguise of a word becomes the same few symbols.

Letters that one sign may stand for share a class (``1`` is i or l), signs that may be letters are read as letters and
as mere separators in turn, and repeated symbols are one run. What is found here is a candidate: ``lexicon`` holds it
against the letters that were really written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from safety.lookalikes import DRAWN, LEET

GAP = " "
WILDCARD = "*"
_VOWEL = "V"
_MERGED = {"l": "i", "v": "u", "w": "u", "z": "s"}
# A sign that is hardly ever a separator: it stays a letter where the others are gaps.
_STRONG = frozenset("@$€£§")
_CLASS_OF_SIGN = {
    sign: _MERGED.get(letter, letter)
    for letter, signs in LEET.items()
    for sign in signs
    if sign != WILDCARD and not sign.isalpha()
}
_SIGNS = frozenset(sign for sign in _CLASS_OF_SIGN if not sign.isalnum())
_CENSORED = str.maketrans(dict.fromkeys("aeiou" + WILDCARD, _VOWEL))
_RUN = re.compile(r"(\S)(?: *\1)*")
_PH = re.compile(r"p[p ]*h(?: *h)*")
_DRAWN = [(signs, letter) for letter, group in DRAWN.items() for signs in group if "|" in signs]
_DRAWN.sort(key=lambda pair: -len(pair[0]))


class _Classes(dict[int, str]):
    """A table for ``str.translate``: the class of every letter, figure and sign, and a gap for all else."""

    def __init__(self, signs: frozenset[str], wildcard: str = GAP) -> None:
        super().__init__({code: self._of(chr(code), signs) for code in range(128)})
        self.update({ord(sign): self._of(sign, signs) for sign in _SIGNS})
        self[ord(WILDCARD)] = wildcard

    @staticmethod
    def _of(character: str, signs: frozenset[str]) -> str:
        if character in signs or character.isdigit():
            return _CLASS_OF_SIGN.get(character, character)
        return _MERGED.get(character, character) if character.isalnum() else GAP

    def __missing__(self, code: int) -> str:
        return chr(code) if chr(code).isalnum() else GAP


_EVERY_SIGN = _Classes(_SIGNS)
_STRONG_SIGNS = _Classes(_STRONG)
_NO_SIGN = _Classes(frozenset())
_WITH_WILDCARD = _Classes(_SIGNS, WILDCARD)


@dataclass(frozen=True)
class Stream:
    """One way to read a text: a class a character, the runs (start, end) in it, and the run classes as a string.

    In a ``censored`` stream every vowel and every ``*`` are the same symbol.
    """

    text: str
    classes: str
    runs: tuple[tuple[int, int], ...]
    key: str
    censored: bool = False

    @classmethod
    def of(cls, text: str, classes: str, *, censored: bool = False) -> Stream:
        """Finds the runs in a string of classes that is as long as the text."""
        classes = _PH.sub(lambda match: re.sub("[ph]", "f", match[0]), classes)
        if censored:
            classes = classes.translate(_CENSORED)
        found = [(match.span(), match[1]) for match in _RUN.finditer(classes)]
        return cls(text, classes, tuple(span for span, _ in found), "".join(c for _, c in found), censored)


def streams(reading: str) -> Iterator[Stream]:
    """Every way to read a normalised text, each once; a text without signs has one."""
    seen = set()
    texts = [reading, _undrawn(reading)] if "|" in reading else [reading]
    for text in texts:
        for table in (_EVERY_SIGN, _STRONG_SIGNS, _NO_SIGN):
            classes = text.translate(table)
            if (text, classes) not in seen:
                seen.add((text, classes))
                yield Stream.of(text, classes)
        if WILDCARD in text:
            yield Stream.of(text, text.translate(_WITH_WILDCARD), censored=True)


def key_of(letters: str, *, censored: bool = False) -> str:
    """The run classes of a term's letters: what is looked for in ``Stream.key``."""
    return Stream.of(letters, letters.translate(_EVERY_SIGN), censored=censored).key


def _undrawn(text: str) -> str:
    for signs, letter in _DRAWN:
        text = text.replace(signs, letter)
    return text
