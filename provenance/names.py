"""File names that mean the same on every system: relative, NFC, visible, and distinct after case folding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from provenance.errors import FileRefused
from provenance.faults import printable

MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d")  # Persian and Indic scripts and many emoji are written with them
_DRIVE = re.compile(r"^[A-Za-z]:")


def check_name(name: str) -> str:
    """Returns the name if it is safe to sign, extract and show; raises FileRefused saying why not."""
    fault = _fault(name)
    if fault is not None:
        raise FileRefused(f"{printable(name)} {fault}", fix="rename the file")
    return name


def collisions(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that some system takes for one: duplicates, case folds, NFC forms, a file that is a folder."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    pairs = []
    for name in names:
        key = fold(name)
        if key in seen:
            pairs.append((seen[key], name))
        seen.setdefault(key, name)
        parts = key.split("/")
        for depth in range(1, len(parts)):
            folders.setdefault("/".join(parts[:depth]), name)
    pairs.extend((seen[key], folders[key]) for key in seen.keys() & folders.keys())
    return pairs


def fold(name: str) -> str:
    """The form under which a file system that ignores case and normalises Unicode would store a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _fault(name: str) -> str | None:
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return "is not a UTF-8 name"
    if not name:
        return "is empty"
    if len(encoded) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if name.startswith("/") or _DRIVE.match(name):
        return "is an absolute path"
    if "\\" in name:
        return "has a backslash, which is a path separator on some systems"
    for character in name:
        if character in BIDI_CONTROLS:
            return f"has a bidirectional control (U+{ord(character):04X}), which makes it read as another name"
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in _JOINERS:
            return f"has an invisible character (U+{ord(character):04X})"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode NFC form, so the same letters have two spellings"
    return _part_fault(name.split("/"))


def _part_fault(parts: list[str]) -> str | None:
    for part in parts:
        if part == "":
            return "has an empty path component"
        if part in (".", ".."):
            return f'has a "{part}" component, which leaves its folder'
        if part.startswith("."):
            return "has a hidden component (leading dot)"
        if part[-1] in " ." or part[0] == " ":
            return "has a component with a space or dot at its edge, which some systems drop"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"has a component longer than {MAX_PART_BYTES} bytes"
    return None
