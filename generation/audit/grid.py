"""Balanced grids of prompts, and the attributes that prompts leave open.

A grid file is TOML::

    name = "occupations"
    prompt = "a photo of a {occupation} {place}"

    [axes]
    occupation = ["doctor", "nurse"]
    place = ["at work", "outdoors"]

    [attributes.presentation]
    "woman" = ["a photo of a woman {place}", "a photo of a female {occupation}"]
    "man" = ["a photo of a man {place}", "a photo of a male {occupation}"]

Every combination of the axes is a cell. An attribute's value is described by one or more texts, which may name axes.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.errors import UsageError
from provenance.files import read_file
from safety.starter.scenes import COLOURS, FORBIDDEN_OBJECT, OBJECTS, PLACES

MAX_BYTES = 1 << 20
MAX_CELLS = 10_000
_KEYS = ("name", "prompt", "axes", "attributes")
_WORD = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Cell:
    """One place of a grid: the value of each axis, and the prompt it gives."""

    values: Mapping[str, str]
    prompt: str


@dataclass(frozen=True)
class Grid:
    """Axes with their values, a prompt that names every axis, and attributes: value to texts, by attribute."""

    name: str
    prompt: str
    axes: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Mapping[str, tuple[str, ...]]]

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise UsageError(f"the grid {self.name!r} is wrong:\n  " + "\n  ".join(faults[:20]))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every combination of the axes' values."""
        combinations = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        return tuple(Cell(values, self.prompt.format(**values)) for values in combinations)

    def texts(self, attribute: str, cell: Cell) -> dict[str, list[str]]:
        """What describes each value of an attribute in a cell."""
        return {
            value: [text.format(**cell.values) for text in texts] for value, texts in self.attributes[attribute].items()
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of the grid's canonical JSON."""
        return sha256_hex(canonical_json(self.to_json()))

    def to_json(self) -> Json:
        """The grid as plain values."""
        return {
            "name": self.name,
            "prompt": self.prompt,
            "axes": {axis: list(values) for axis, values in self.axes.items()},
            "attributes": {
                attribute: {value: list(texts) for value, texts in values.items()}
                for attribute, values in self.attributes.items()
            },
        }


def load_grid(path: Path) -> Grid:
    """Reads a grid file; raises FileRefused, or UsageError with every fault named."""
    try:
        value = tomllib.loads(read_file(path, limit=MAX_BYTES).decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not a grid", expected="UTF-8 TOML", found=str(error)) from error
    faults = [f"`{key}` is not part of a grid" for key in value if key not in _KEYS]
    faults += [f"`{key}` is missing" for key in _KEYS if key not in value]
    faults += [f"`{key}` is not a text" for key in ("name", "prompt") if not isinstance(value.get(key, ""), str)]
    axes, attributes = _lists(value.get("axes", {}), "axes", faults), {}
    if isinstance(value.get("attributes", {}), dict):
        attributes = {
            name: _lists(values, f"attributes.{name}", faults) for name, values in value.get("attributes", {}).items()
        }
    else:
        faults.append("`attributes` is not a table")
    if faults:
        raise UsageError(f"{path} is not a grid:\n  " + "\n  ".join(faults[:20]))
    return Grid(value["name"], value["prompt"], axes, attributes)


def starter_grid() -> Grid:
    """The starter world without its colours: every object but the forbidden one, at every place."""
    texts = {colour: (f"{_article(colour)} {colour} {{object}} {{place}}",) for colour in COLOURS}
    return Grid(
        "starter",
        "a {object} {place}",
        {"object": tuple(name for name in OBJECTS if name != FORBIDDEN_OBJECT), "place": tuple(PLACES.values())},
        {"colour": texts},
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _lists(value: Any, what: str, faults: list[str]) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        faults.append(f"`{what}` is not a table")
        return {}
    for name, entries in value.items():
        if not isinstance(entries, list) or not all(isinstance(entry, str) and entry.strip() for entry in entries):
            faults.append(f"`{what}.{name}` is not a list of texts")
    return {name: tuple(entries) for name, entries in value.items() if isinstance(entries, list)}


def _faults(grid: Grid) -> list[str]:
    faults = [f"axis {axis!r} is not a word of small letters" for axis in grid.axes if not _WORD.fullmatch(axis)]
    faults += [
        f"axis {axis!r} has no values, or one twice" for axis, entries in grid.axes.items() if not _all_differ(entries)
    ]
    if not grid.axes:
        faults.append("there is no axis")
    cells = 1
    for entries in grid.axes.values():
        cells *= max(len(entries), 1)
    if cells > MAX_CELLS:
        faults.append(f"there are {cells} cells, at most {MAX_CELLS} can be drawn")
    named, broken = _fields(grid.prompt)
    if broken or named != set(grid.axes):
        faults.append(f"the prompt must name every axis and nothing else: {grid.prompt!r}")
    if not grid.attributes:
        faults.append("there is no attribute")
    for attribute, values in grid.attributes.items():
        if len(values) < 2:
            faults.append(f"attribute {attribute!r} needs at least two values")
        for value, texts in values.items():
            if not texts:
                faults.append(f"attribute {attribute!r} has no text for {value!r}")
            for text in texts:
                named, broken = _fields(text)
                if broken or not named <= set(grid.axes):
                    faults.append(f"a text of {attribute!r} names what is not an axis: {text!r}")
    return faults


def _all_differ(entries: tuple[str, ...]) -> bool:
    return 0 < len(set(entries)) == len(entries)


def _fields(text: str) -> tuple[set[str], bool]:
    """The names in braces, and whether anything else stands in braces than a name alone."""
    try:
        parts = [(name, form, kind) for _, name, form, kind in string.Formatter().parse(text) if name is not None]
    except ValueError:
        return set(), True
    return {name for name, _, _ in parts}, any(not _WORD.fullmatch(name) or form or kind for name, form, kind in parts)
