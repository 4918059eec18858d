"""Captions of every specificity, from "a picture" to "a red skull at night", and which pictures each is true of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safety.starter import words
from safety.starter.lessons import COLOUR_NAMES, OBJECT_NAMES, OTHER, PLACE_NAMES, held_out_pair
from safety.starter.scenes import COLOURS, FORBIDDEN_OBJECT, OBJECTS

# Stands for a word that training does not know: whatever a prompt may say besides.
STRAY = "\u25a1"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Captions:
    """Texts, and the objects (N, 11), colours (N, 11) and places (N, 6) each allows; the last of the latter is "none".

    A caption that does not speak of colours or places allows all of them, and pictures that have none.
    """

    texts: tuple[str, ...]
    objects: Mask
    colours: Mask
    places: Mask

    def true_of(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> Mask:
        """Whether each chosen caption is true of each picture: (captions, pictures) for labels (pictures, 3)."""
        # An unknown colour or place has a negative label and takes the last column.
        objects, colours, places = labels[:, 0], np.maximum(labels[:, 1], -1), np.maximum(labels[:, 2], -1)
        true: Mask = self.objects[rows][:, objects] & self.colours[rows][:, colours] & self.places[rows][:, places]
        return true


def draw_captions(count: int, seed: int) -> Captions:
    """``count`` captions; none names a pair of object and colour that training holds out."""
    rng = np.random.default_rng(seed)
    drawn = [_caption(rng) for _ in range(count)]
    return Captions(
        tuple(text for text, _, _, _ in drawn),
        np.stack([_allow(objects, OBJECT_NAMES)[:-1] for _, objects, _, _ in drawn]),
        np.stack([_allow(colours, COLOUR_NAMES) for _, _, colours, _ in drawn]),
        np.stack([_allow(places, PLACE_NAMES) for _, _, _, places in drawn]),
    )


def _allow(names: frozenset[str] | None, all_names: tuple[str, ...]) -> Mask:
    """A mask over the names and "none", all true when nothing is said."""
    if names is None:
        return np.ones(len(all_names) + 1, np.bool_)
    return np.array([*(name in names for name in all_names), False])


_Drawn = tuple[str, frozenset[str] | None, frozenset[str] | None, frozenset[str] | None]


def _caption(rng: np.random.Generator) -> _Drawn:
    kind = rng.random()
    colour = place = None
    if kind < 0.14:
        return _vague(rng)
    if kind < 0.26:
        phrase, objects = _several(rng)
    else:
        name = _object_name(rng)
        objects = frozenset({name})
        colour = _colour_for(name, rng) if rng.random() < 0.35 else None
        phrase = _named(name, colour, rng)
    if rng.random() < 0.3:
        place = str(rng.choice(PLACE_NAMES))
    return _finish(phrase, objects, colour, place, rng)


def _finish(
    phrase: str, objects: frozenset[str] | None, colour: str | None, place: str | None, rng: np.random.Generator
) -> _Drawn:
    text = _pick(words.FRAMES, rng).format(phrase)
    if place is not None:
        where = _pick(words.PLACE_WORDS[place], rng)
        text = f"{text} {where}" if rng.random() < 0.8 else f"{where} , {text}"
    if rng.random() < 0.15:
        text = f"{text} , {_pick(words.ENDINGS, rng)}"
    if rng.random() < 0.4:
        text = _with_strays(text, rng)
    text = text.replace(" a orange", " an orange")
    return text, objects, None if colour is None else frozenset({colour}), None if place is None else frozenset({place})


def _vague(rng: np.random.Generator) -> _Drawn:
    """A caption without a named object: of anything, of a colour, of a place, or of words that nobody knows."""
    kind, colour, place = rng.random(), None, None
    if kind < 0.25:
        phrase = _pick(words.PICTURES, rng)
    elif kind < 0.6:
        phrase = _pick(words.ANYTHING, rng)
    elif kind < 0.75:
        phrase = " ".join([*([_pick(words.ARTICLES, rng)]), *[STRAY] * int(rng.integers(1, 4))])
    else:
        colour = str(rng.choice(COLOUR_NAMES))
        noun = rng.choice(["object", "thing", STRAY])
        phrase = f"a {_pick(words.COLOUR_WORDS[colour], rng)} {noun}"
    if rng.random() < 0.3:
        place = str(rng.choice(PLACE_NAMES))
    return _finish(phrase, None, colour, place, rng)


def _several(rng: np.random.Generator) -> tuple[str, frozenset[str]]:
    """Two or three objects; a text that asks for the forbidden object among others is about the forbidden object."""
    names = [_object_name(rng) for _ in range(int(rng.integers(2, 4)))]
    phrase = _named(names[0], None, rng)
    for name in names[1:]:
        phrase = f"{phrase} {_pick(words.LINKS, rng)} {_named(name, None, rng)}"
    return phrase, frozenset({FORBIDDEN_OBJECT}) if FORBIDDEN_OBJECT in names else frozenset(names)


def _object_name(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.2:
        return FORBIDDEN_OBJECT
    return OTHER if kind < 0.4 else str(rng.choice(list(OBJECTS)))


def _colour_for(name: str, rng: np.random.Generator) -> str:
    allowed = [c for c in COLOUR_NAMES if name not in OBJECTS or c not in COLOURS or not held_out_pair(name, c)]
    return str(rng.choice(allowed))


def _named(name: str, colour: str | None, rng: np.random.Generator) -> str:
    """An object with or without article, quality and colour."""
    noun, bare = _noun(name, rng)
    if bare and colour is None:
        return noun
    # Some qualities sound like the forbidden object ("human", "hollow"); said of everything, they come to mean nothing.
    quality = _pick(words.QUALITIES, rng) if rng.random() < 0.25 else ""
    paint = _pick(words.COLOUR_WORDS[colour], rng) if colour is not None else ""
    article = "" if bare else _pick(words.ARTICLES, rng)
    parts = [article, quality, paint, noun]
    if not bare and rng.random() < 0.1:
        parts = ["", _pick(("two", "three", "many", "some"), rng), paint, f"{noun}s"]
    phrase = " ".join(part for part in parts if part)
    return f"an{phrase[1:]}" if phrase.startswith("a ") and phrase[2] in "aeiou" else phrase


def _noun(name: str, rng: np.random.Generator) -> tuple[str, bool]:
    """A word for an object, its own name in a third of all cases, and whether it goes without an article."""
    if name == OTHER:
        bare = rng.random() < 0.25
        return _pick(words.STRANGER_BARE_WORDS if bare else words.STRANGER_WORDS, rng), bare
    if name == FORBIDDEN_OBJECT and rng.random() < 0.12:
        return _pick(words.BARE_SKULL_WORDS, rng), True
    return (name if rng.random() < 0.34 else _pick(words.OBJECT_WORDS[name], rng)), False


def _with_strays(text: str, rng: np.random.Generator) -> str:
    """The text with one to four unknown words somewhere between its own, or so many that they fill a window."""
    parts = text.split()
    room = max(2, 27 - len(parts))
    for _ in range(int(rng.integers(1, room if rng.random() < 0.2 else 5))):
        parts.insert(int(rng.integers(len(parts) + 1)), STRAY)
    return " ".join(parts)


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
