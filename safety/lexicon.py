"""Forbidden words found in normalised text by one Aho-Corasick automaton, whatever spelling they hide in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from safety.lookalikes import DRAWN, LEET
from safety.normalise import readings
from safety.policy import TermList
from safety.streams import GAP, Stream, key_of, streams

LONG_TERM = 5
# How often a letter may be stretched, and how far apart letters, words and pieces of a cut word may stand.
_STRETCH, _GLUE, _FAR, _CUT = 6, 6, 8, 3
_START, _END = r"(?<![^\W\d_])", r"(?![^\W\d_])"
# Scripts that are written without spaces: a word in them may stand anywhere.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Match:
    """A forbidden term, its concept, and where it stands in a reading."""

    concept: str
    term: str
    start: int
    end: int


@dataclass(frozen=True)
class _Spelling:
    """One reading of a term: its words, all letters together, and the pattern that its letters must match."""

    concept: str
    term: str
    words: tuple[str, ...]

    @cached_property
    def letters(self) -> str:
        return "".join(self.words)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        letters = "".join(map(_letter, self.letters.replace("ph", "f")))
        return re.compile(f"{letters}(?:(?:{_letter('e')})?{_letter('s')})?")

    @cached_property
    def spaced(self) -> bool:
        return _UNSPACED.search(self.letters) is None


class Lexicon:
    """Finds the terms of every concept, their plurals and disguises; a term inside an allowed phrase is harmless."""

    def __init__(self, concepts: Mapping[str, TermList]) -> None:
        spellings = [spelling for name, terms in concepts.items() for spelling in _spellings(name, terms.terms)]
        self._plain = _Automaton(spellings, censored=False)
        self._censored = _Automaton(spellings, censored=True)
        self._allow = {
            name: [re.compile(_START + _phrase(phrase) + _END) for phrase in terms.allow]
            for name, terms in concepts.items()
        }

    def find(self, reading: str) -> Match | None:
        """A forbidden term in one reading of a text, or None."""
        for stream in streams(reading):
            automaton = self._censored if stream.censored else self._plain
            for first, last, spelling in automaton.candidates(stream):
                span = _written(spelling, stream, first, last)
                if span is not None and not self._harmless(spelling.concept, stream.text, span):
                    return Match(spelling.concept, spelling.term, *span)
        return None

    def _harmless(self, concept: str, text: str, span: tuple[int, int]) -> bool:
        phrases = (match for pattern in self._allow[concept] for match in pattern.finditer(text))
        return any(match.start() <= span[0] and span[1] <= match.end() for match in phrases)


class _Automaton:
    """The keys of spellings, looked for all at once."""

    def __init__(self, spellings: list[_Spelling], *, censored: bool) -> None:
        import ahocorasick

        by_key: dict[str, list[_Spelling]] = {}
        for spelling in spellings:
            by_key.setdefault(key_of(spelling.letters, censored=censored), []).append(spelling)
        self._empty = not by_key
        self._automaton = ahocorasick.Automaton()
        for key, same in by_key.items():
            self._automaton.add_word(key, (len(key), tuple(same)))
        self._automaton.make_automaton()

    def candidates(self, stream: Stream) -> Iterator[tuple[int, int, _Spelling]]:
        """Spellings whose key stands in a stream, with their first and last run."""
        if self._empty:
            return
        for last, (length, spellings) in self._automaton.iter(stream.key):
            for spelling in spellings:
                yield last - length + 1, last, spelling


def _written(spelling: _Spelling, stream: Stream, first: int, last: int) -> tuple[int, int] | None:
    """Where the spelling is really written as a word of its own at these runs: (start, end) in the text."""
    reach = _STRETCH * len(spelling.letters)
    head = _positions(stream, *stream.runs[first])[-reach:]
    starts = [at for at in head if not spelling.spaced or at == 0 or not _joins(stream.text[at - 1])]
    if not starts:
        return None
    # A plural's e and s are the two runs after the last.
    plural_end = stream.runs[min(last + 2, len(stream.runs) - 1)][1]
    tail = _positions(stream, stream.runs[last][0], plural_end)[: reach + 2 * _STRETCH]
    text = stream.text
    ends = [at + 1 for at in tail if not spelling.spaced or at + 1 == len(text) or not _joins(text[at + 1])]
    for start in starts:
        for end in ends:
            if start < end and _spells(spelling, stream, start, end):
                return start, end
    return None


def _positions(stream: Stream, start: int, end: int) -> list[int]:
    return [at for at in range(start, end) if stream.classes[at] != GAP]


def _joins(character: str) -> bool:
    """Whether a letter beside a word makes it another word."""
    return character.isalpha() and _UNSPACED.match(character) is None


def _spells(spelling: _Spelling, stream: Stream, start: int, end: int) -> bool:
    classes, text = stream.classes[start:end], stream.text[start:end]
    written = "".join(c for c, kind in zip(text, classes, strict=True) if kind != GAP)
    if not any(map(str.isalpha, written)) or spelling.pattern.fullmatch(written) is None:
        return False
    return GAP not in classes or _gaps_fit(spelling, text, classes)


def _gaps_fit(spelling: _Spelling, text: str, classes: str) -> bool:
    """Whether letters stand as in one word: joined by signs, all set apart, or (long terms) cut in pieces."""
    gaps = sorted((text[match.start() : match.end()] for match in re.finditer(" +", classes)), key=_space_and_length)
    if any(len(gap) > _FAR for gap in gaps):
        return False
    within = gaps[: max(0, len(gaps) - len(spelling.words) + 1)]
    joined = all(len(gap) <= _GLUE and not _has_space(gap) for gap in within)
    cut = len(spelling.letters) >= LONG_TERM and all(len(gap) <= _CUT for gap in within)
    return joined or cut or _all_apart(classes)


def _all_apart(classes: str) -> bool:
    # The same letter twice in a row may be a stretched one, so only different neighbours tell.
    return all(a == b or GAP in (a, b) for a, b in pairwise(classes))


def _space_and_length(gap: str) -> tuple[bool, int]:
    """Orders gaps so that those between the words of a term come last."""
    return _has_space(gap), len(gap)


def _has_space(gap: str) -> bool:
    return any(map(str.isspace, gap))


def _spellings(concept: str, terms: tuple[str, ...]) -> Iterator[_Spelling]:
    for term in terms:
        # A text is read in several ways, so one way of reading the term is enough.
        words = tuple(re.findall(r"[^\W_]+", readings(term.casefold())[0]))
        if words:
            yield _Spelling(concept, term, words)


def _letter(letter: str) -> str:
    drawn = "".join(f"|{_stretched(signs)}" for signs in DRAWN.get(letter, ()) if signs.isalpha())
    return f"(?:[{re.escape(letter + LEET.get(letter, ''))}]{drawn}){{1,{_STRETCH}}}"


def _stretched(pair: str) -> str:
    # In "ph" each letter may be stretched by itself; in "vv" not, or v's would match in too many ways.
    return pair if len(set(pair)) == 1 else "".join(f"{letter}{{1,{_STRETCH}}}" for letter in pair)


def _phrase(phrase: str) -> str:
    words = re.findall(r"[^\W_]+", readings(phrase)[0])
    return r"[\s_-]+".join(map(re.escape, words)) + "s?"
