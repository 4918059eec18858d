"""Characters that look like Latin letters, after the idea of UTS 39: a small table of the ones people use.

Unicode's compatibility forms (full width, mathematical, circled) are not here: NFKC undoes those.
"""

from __future__ import annotations

_SINGLE = {
    "a": "аɑαАΑᴀаᗩꓮ∀",
    "b": "ЬьВвΒβъʙᗷꓐḅɓ",
    "c": "сСϲᴄⅽςꓚ¢",
    "d": "ԁԀᴅđĐɗɖժꓓð",
    "e": "еЕєЄεΕЭэᴇɛəǝℯꓰ℮",
    "f": "ƒғҒꜰϝքꓝſ",
    "g": "ɡԌԍɢɠցꓖ",
    "h": "һҺНнΗʜհħĦꓧ",
    "i": "іІіιΙıɪӀɩꓲ",
    "j": "јЈϳᴊյꓙ",
    "k": "кКκΚᴋƙĸҝқҚꓗ",
    "l": "ӏǀ∣│ʟłŁⅼɭլℓꓡ丨",
    "m": "мМΜᴍɱꓟ",
    "n": "пПηпɴŋղոռиИΝꓠ",
    "o": "оОοΟσΣᴏøØօσσ०০๐ꓳ◯○",
    "p": "рРρΡᴘþƿꓑ",
    "q": "ԛԚզɋ",
    "r": "гГʀɾяЯɼꓣ",
    "s": "ѕЅꜱʂտꓢ",
    "t": "тТτΤᴛŧŦꓔ†",
    "u": "υՍսᴜʊμцЦꓴ∪",
    "v": "νѵѴᴠ√∨ꓦ",
    "w": "ԝԜωшШᴡѡɯꓪ",
    "x": "хХχΧҳ×ꓫ",
    "y": "уУүҮγΥʏұꓬ",
    "z": "ᴢƶΖȥʐꓜ",
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


FIRST_READING = str.maketrans({c: latin for latin, group in _SINGLE.items() for c in group} | _enclosed())
SECOND_READING = FIRST_READING | str.maketrans(_SECOND)

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
    "u": "vµ*",
    "z": "2s",
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
