"""Markdown that says what a text says, whatever is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

MOST = 400
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:@])")


def escaped(text: str) -> str:
    """One line of text with everything that Markdown or HTML reads as markup escaped."""
    line = " ".join(text.split())
    return _MARKUP.sub(r"\\\1", line if len(line) <= MOST else line[: MOST - 1] + "…")


def code(value: Any) -> str:
    """A value as inline code; a backtick in it could end the code, so it becomes an apostrophe."""
    line = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line if len(line) <= MOST else line[: MOST - 1] + '…'}`"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def block(value: Any) -> str:
    """A value as a block of JSON, which nothing in it can end: JSON has no line of its own but its punctuation."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True).replace("```", "\\u0060\\u0060\\u0060")
    return f"```json\n{text}\n```"
