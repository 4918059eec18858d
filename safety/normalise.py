"""Text as its reader sees it: one spelling for what only looks different."""

from __future__ import annotations

import unicodedata

from safety.lookalikes import FIRST_READING, SECOND_READING

VERSION = 2
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")


def readings(text: str) -> tuple[str, ...]:
    """The one or two ways to read a text in small Latin letters.

    NFKC, lookalikes, case folding, NFKD without format characters and marks, and lookalikes once more: a table
    before folding (Ь would be lost) and after it (K would be).
    """
    if text.isascii():
        return (text.lower(),)
    return tuple(dict.fromkeys(_read(text, table) for table in (FIRST_READING, SECOND_READING)))


def _read(text: str, table: dict[int, str]) -> str:
    seen = _visible(unicodedata.normalize("NFKC", _visible(text))).translate(table).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", seen) if not unicodedata.category(c).startswith("M"))
    return _visible(bare).translate(table)


def _visible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) != "Cf" and c not in _INVISIBLE)
