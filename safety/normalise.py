"""Text as its reader sees it: one spelling for what only looks different."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations

from safety.lookalikes import AMBIGUOUS, FIRST_READING, SECOND_READING

VERSION = 2
# Up to so many different ambiguous characters in a text, two at a time are read the second way, not one alone.
FEW_AMBIGUOUS = 4
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")


def readings(text: str) -> tuple[str, ...]:
    """The ways to read a text in small Latin letters, likeliest first.

    NFKC, lookalikes, case folding, NFKD without format characters and marks, and lookalikes once more: a table
    before folding (Ь would be lost) and after it (K would be). Characters that are written for one letter and look
    like another are read one way, all the other way, and one or two of them the other way.
    """
    if text.isascii():
        return (text.lower(),)
    seen = _visible(unicodedata.normalize("NFKC", _visible(text)))
    # Folded first, capitals of a word in its own script are read as its small letters, as lists of terms have them.
    own = _read(seen.casefold(), FIRST_READING)
    return tuple(dict.fromkeys([_read(seen, FIRST_READING), own, *(_read(seen, table) for table in _tables(seen))]))


def _tables(text: str) -> Iterator[dict[int, str]]:
    """What to read a text with beside the first reading."""
    ambiguous = AMBIGUOUS.keys() & set(unicodedata.normalize("NFKD", text).casefold())
    if not ambiguous:
        return
    yield SECOND_READING
    for size in range(1, 3 if len(ambiguous) <= FEW_AMBIGUOUS else 2):
        yield from map(_flipped, combinations(sorted(ambiguous), size))


@lru_cache(maxsize=256)
def _flipped(ambiguous: Iterable[str]) -> dict[int, str]:
    table = dict(FIRST_READING)
    for character in ambiguous:
        table |= AMBIGUOUS[character]
    return table


def _read(seen: str, table: dict[int, str]) -> str:
    folded = unicodedata.normalize("NFKD", seen.translate(table).casefold())
    bare = "".join(c for c in folded if not unicodedata.category(c).startswith("M"))
    return _visible(bare).translate(table)


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) != "Cf" and c not in _INVISIBLE)
