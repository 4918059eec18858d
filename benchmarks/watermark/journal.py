"""Results as they come, one JSON line each, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Key = tuple[str, ...]
KEYS = ("kind", "system", "digest", "set", "picture", "pixels", "what")


class Journal:
    """An append-only file of results; the last result of a key counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: dict[Key, dict[str, Any]] = {}
        if path.exists():
            for result in _lines(path):
                self._results[key_of(result)] = result

    def __contains__(self, key: object) -> bool:
        return key in self._results

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._results.values())

    def __len__(self) -> int:
        return len(self._results)

    def add(self, results: Iterable[dict[str, Any]]) -> None:
        """Writes results through to the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            for result in results:
                self._results[key_of(result)] = result
                file.write(json.dumps(result, sort_keys=True) + "\n")


def key_of(result: dict[str, Any]) -> Key:
    """What a result is the result of."""
    return tuple(str(result[name]) for name in KEYS)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    # What follows the last line end is what a stopped run did not finish writing.
    for line in lines[:-1]:
        yield json.loads(line)
    if lines[-1]:
        path.write_text(text[: len(text) - len(lines[-1])], encoding="utf-8")
