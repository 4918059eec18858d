"""Characters that look like Latin letters: the confusables of UTS #39, and the ones people use that it lacks.

Unicode's compatibility forms (full width, mathematical, circled) are not here: NFKC undoes those. Where a supplement
and UTS #39 differ the supplement counts, because it was chosen for words and not for names in an address bar.
"""

from __future__ import annotations

from pathlib import Path

UTS39 = Path(__file__).parent / "uts39_latin.txt"

# What UTS #39 lacks, or reads as a letter that nobody means in a word.
_SINGLE = {
    "a": "аɑαАΑᴀаᗩꓮ∀ⲁⲀ",
    "b": "ЬьВвΒβъʙᗷꓐḅɓⲃⲂ",
    "c": "сСϲᴄⅽςꓚ¢ⲥⲤ",
    "d": "ԁԀᴅđĐɗɖժꓓð",
    "e": "еЕєЄεΕЭэᴇɛəǝℯꓰ℮ⲉⲈ",
    "f": "ƒғҒꜰϝքꓝſ",
    "g": "ɡԌԍɢɠցꓖ",
    "h": "һҺНнΗʜհħĦꓧⲏⲎ",
    "i": "іІіιΙıɪӀɩꓲⲓⲒ",
    "j": "јЈϳᴊյꓙ",
    "k": "кКκΚᴋƙĸҝқҚꓗⲕⲔ",
    "l": "ӏǀ∣│ʟłŁⅼɭլℓꓡ丨",
    "m": "мМΜᴍɱꓟⲙⲘ",
    "n": "пПηпɴŋղոռиИΝꓠⲛⲚ",
    "o": "оОοΟσΣᴏøØօσσ०০๐ꓳ◯○ⲟⲞ",
    "p": "рРρΡᴘþƿꓑⲣⲢ",
    "q": "ԛԚզɋ",
    "r": "гГʀɾяЯɼꓣ",
    "s": "ѕЅꜱʂտꓢ",
    "t": "тТτΤᴛŧŦꓔ†ⲧⲦ",
    "u": "υՍսᴜʊμцЦꓴ∪",
    "v": "νѵѴᴠ√∨ꓦ",
    "w": "ԝԜωшШᴡѡɯꓪ",
    "x": "хХχΧҳ×ꓫⲭⲬ",
    "y": "уУүҮγΥʏұꓬⲩⲨ",
    "z": "ᴢƶΖȥʐꓜⲍⲌ",
    "ae": "æÆ",
    "oe": "œŒ",
}

# Some characters look like one letter and are written for another: prompts are read both ways.
_SECOND = {"и": "u", "И": "u", "у": "u", "У": "u", "Υ": "u", "Σ": "e", "σ": "s", "Ӏ": "l", "ı": "l", "я": "a", "з": "s"}
_SECOND |= {
    "υ": "v",
    "ν": "n",
    "μ": "m",
    "н": "n",
    "Н": "n",
    "ρ": "r",
    "р": "r",
    "с": "s",
    "С": "s",
    "л": "l",
    "Л": "l",
}
_SECOND |= {"Ι": "l", "І": "l", "і": "l", "в": "v", "В": "v", "х": "h", "ε": "e", "λ": "l", "Λ": "l", "ς": "s"}


def _enclosed() -> dict[str, str]:
    letters = {chr(start + n): chr(97 + n) for start in (0x1F150, 0x1F170, 0x1F1E6) for n in range(26)}
    return letters


def _uts39() -> dict[str, str]:
    """Every character of the UTS #39 table with the small Latin letters it is confused with."""
    rows = [line.split(": ") for line in UTS39.read_text("ascii").splitlines() if not line.startswith("#")]
    return {chr(int(code, 16)): latin for latin, codes in rows for code in codes.split()}


_SUPPLEMENTS = {c: latin for latin, group in _SINGLE.items() for c in group}
FIRST_READING = str.maketrans(_uts39() | _SUPPLEMENTS | _enclosed())
SECOND_READING = FIRST_READING | str.maketrans(_SECOND)
# Every ambiguous character by its small form: the letters to translate when it alone is read the second way.
AMBIGUOUS = {
    small: str.maketrans({c: latin for c, latin in _SECOND.items() if c.casefold() == small})
    for small in sorted({c.casefold() for c in _SECOND})
}

# What each letter may be written as, among what is left after normalising: figures and signs.
LEET = {
    "a": "4@^*",
    "b": "8",
    "c": "(<",
    "e": "3€*",
    "g": "96",
    "h": "#",
    "i": "1!|l*",
    "l": "1|!i£",
    "o": "0*",
    "s": "5$z§",
    "t": "7+",
    "u": "v*",
    "z": "2",
}

# Letters drawn with several signs.
DRAWN = {
    "d": ("|)",),
    "f": ("ph",),
    "h": ("|-|",),
    "k": ("|<", "|{"),
    "m": ("|v|",),
    "n": ("|\\|",),
    "u": ("|_|",),
    "w": ("vv",),
}
