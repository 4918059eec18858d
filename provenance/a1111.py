"""How a picture was made, as text that other tools read: AUTOMATIC1111's `parameters` chunk of a PNG.

First the prompt and `Negative prompt: …`, where they are public, then one line of comma-separated `key: value`; a value
that holds a comma, a colon, a quote or a line break is quoted as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

PROGRAM = "prov 0.1.0"
KEY = "parameters"
HASH_DIGITS = 12

Settings = Iterable[tuple[str, object]]

# Of all control characters a text chunk may hold line breaks alone (PNG 1.2, 4.2.3); a tab reads as a space.
_STRAY = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)]) | {9: " "}


def parameters_text(prompt: str | None, negative: str | None, settings: Settings) -> str:
    """Prompt and negative prompt, each only where it is given, and a last line of settings."""
    lines = [] if prompt is None else [_plain(prompt)]
    if prompt is not None and negative is not None:
        lines.append(f"Negative prompt: {_plain(negative)}")
    return "\n".join([*lines, ", ".join(f"{key}: {_quoted(str(value))}" for key, value in settings)])


def text_chunks(told: str | None) -> PngInfo:
    """The text chunk ``parameters``: tEXt where Latin-1 can write it, else iTXt; nothing for None."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    if told is not None:
        chunks.add_text(KEY, told)
    return chunks


def lora_hash(name: str, weights: str) -> tuple[str, str]:
    """The setting that names an adapter, by the first digits of its weights' SHA-256."""
    return "Lora hashes", f"{name}: {weights[:HASH_DIGITS]}"


def number(value: float) -> str:
    """A number as short as it can be told: 7.5, and 5 rather than 5.0."""
    return f"{value:.10g}"


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").translate(_STRAY).strip()


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ',:\n"') else value
