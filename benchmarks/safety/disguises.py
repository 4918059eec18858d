"""Ways in which people hide a word from a filter and not from a reader, and every pair of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

Disguise = Callable[[str, random.Random], str]

# Letters of other scripts that look like the small Latin letter (or its capital), written by hand for this purpose: the
# filter's own table is not asked.
_SCRIPTS = {
    "Cyrillic": dict(zip("aceijkmoprstuxyh", "асеіјкморгѕтцхун", strict=True)) | {"r": "г", "u": "и"},
    "Greek": dict(zip("aeikmnoptuxv", "αεικμηορτυχν", strict=True)),
    "Armenian": dict(zip("ughnoqs", "սցհոօզտ", strict=True)),
    "Cherokee": dict(zip("abcdeghijklmprstvwz", "ᎪᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃ", strict=True)),
    "Lisu": dict(zip("abcdefghijklmnoprstuvwxyz", "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", strict=True)),
    "Canadian syllabics": dict(zip("bdjlpruv", "ᗷᗪᒍᒪᑭᖇᑌᐯ", strict=True)),
    "Coptic": dict(zip("cehikmnoptx", "ⲥⲉⲏⲓⲕⲙⲛⲟⲣⲧⲭ", strict=True)),
}
_PHONETIC = dict(zip("abcdeghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ", strict=True))
_LEET_FIGURES = dict(zip("aeiost", "431057", strict=True))
_LEET_SIGNS = dict(zip("aislt", "@!$|+", strict=True))
_CIRCLED, _FULL_WIDTH, _BOLD, _FLAGS = 0x24D0, 0xFF41, 0x1D41A, 0x1F1E6
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_MARKS = "\u0300\u0301\u0308\u0323\u0336\u0338"


@dataclass(frozen=True)
class Transform:
    """A named disguise. ``layer`` orders it in pairs."""

    name: str
    layer: int
    apply: Disguise
    script: str | None = None


def _replaced(table: dict[str, str]) -> Disguise:
    return lambda text, _: "".join(table.get(letter, letter) for letter in text)


def _shifted(start: int) -> Disguise:
    return _replaced({chr(97 + n): chr(start + n) for n in range(26)})


def _joined(signs: str) -> Disguise:
    def apply(text: str, random_: random.Random) -> str:
        sign = random_.choice(signs)
        return " ".join(sign.join(_units(word)) for word in text.split(" "))

    return apply


def _marked(marks: str, most: int) -> Disguise:
    def apply(text: str, random_: random.Random) -> str:
        def mark(unit: str) -> str:
            return unit + "".join(random_.choice(marks) for _ in range(random_.randint(1, most)))

        return "".join(mark(unit) if unit.isalnum() else unit for unit in _units(text))

    return apply


def _spaced(text: str, _: random.Random) -> str:
    return "   ".join(" ".join(_units(word)) for word in text.split(" "))


def _stretched(text: str, random_: random.Random) -> str:
    places = [at for at, letter in enumerate(text) if letter.isalpha()]
    at = random_.choice(places)
    return text[:at] + text[at] * random_.randint(2, 4) + text[at + 1 :]


def _cut(text: str, random_: random.Random) -> str:
    letters = [at for at in range(1, len(text)) if text[at].isalpha() and text[at - 1].isalpha()]
    if sum(map(str.isalpha, text)) < 5 or not letters:
        return text
    at = random_.choice(letters)
    return f"{text[:at]} {text[at:]}"


def _starred(text: str, random_: random.Random) -> str:
    vowels = [at for at, letter in enumerate(text) if letter in "aeiou"]
    if not vowels or sum(map(str.isalpha, text)) < 4:
        return text
    at = random_.choice(vowels)
    return text[:at] + "*" + text[at + 1 :]


def _alternating(text: str, _: random.Random) -> str:
    return "".join(letter.upper() if at % 2 else letter for at, letter in enumerate(text))


def _bidi(text: str, random_: random.Random) -> str:
    at = random_.randint(1, len(text) - 1)
    return f"{text[:at]}\u202e\u202c{text[at:]}"


def _units(text: str) -> list[str]:
    """Letters with the marks and invisible characters that follow them."""
    units: list[str] = []
    for character in text:
        if units and (character in _MARKS or character in _INVISIBLE or character in "\u00ad\u202e\u202c"):
            units[-1] += character
        else:
            units.append(character)
    return units


TRANSFORMS = (
    *(Transform(name, 1, _replaced(table), name) for name, table in _SCRIPTS.items()),
    Transform("phonetic", 1, _replaced(_PHONETIC)),
    Transform("full width", 1, _shifted(_FULL_WIDTH)),
    Transform("mathematical bold", 1, _shifted(_BOLD)),
    Transform("circled", 1, _shifted(_CIRCLED)),
    Transform("flags", 1, _shifted(_FLAGS)),
    Transform("stretched", 0, _stretched),
    Transform("starred vowel", 0, _starred),
    Transform("cut in two", -1, _cut),
    Transform("leet figures", 2, _replaced(_LEET_FIGURES)),
    Transform("leet signs", 2, _replaced(_LEET_SIGNS)),
    Transform("upper case", 3, lambda text, _: text.upper()),
    Transform("alternating case", 3, _alternating),
    Transform("dots, dashes, underscores", 5, _joined(".-_·~")),
    Transform("spaced", 6, _spaced),
    Transform("invisible characters", 4, _marked(_INVISIBLE, 2)),
    Transform("soft hyphens", 4, _joined("\u00ad")),
    Transform("bidirectional controls", 4, _bidi),
    Transform("diacritics", 4, _marked(_MARKS, 1)),
    Transform("stacked marks", 4, _marked(_MARKS, 12)),
)


def chains() -> Iterator[tuple[Transform, ...]]:
    """Every transform by itself, and every pair in the order of its layers.

    Case is not changed after letters of another script: their capitals look like other Latin letters, so the word
    could not be read. Neither is a word cut and then set apart, which is the same as setting it apart.
    """
    for transform in TRANSFORMS:
        yield (transform,)
    for pair in combinations(sorted(TRANSFORMS, key=lambda transform: transform.layer), 2):
        scripts = [transform for transform in pair if transform.script is not None]
        if not (scripts and pair[1].layer == 3):
            yield pair


def disguised(term: str, chain: tuple[Transform, ...], random_: random.Random) -> str:
    """A term after every transform of a chain."""
    for transform in chain:
        term = transform.apply(term, random_)
    return term
