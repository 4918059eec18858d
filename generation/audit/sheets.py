"""Contact sheets of small views: cells with their captions, or pairs side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import ImageDraw

SIDE, GAP, LINE = 128, 12, 15
PAPER, INK, FADED = (250, 247, 240), (44, 40, 52), (118, 112, 124)
CHARACTERS = 24


@dataclass(frozen=True)
class Shown:
    """One view (128, 128, 3) uint8 with at most two lines under it; without a view, an empty frame."""

    view: NDArray[np.uint8] | None
    lines: tuple[str, ...]


def sheet_png(title: str, rows: Sequence[tuple[str, Sequence[Shown]]]) -> bytes:
    """A PNG of labelled rows of views."""
    from PIL import Image, ImageDraw

    columns = max((len(shown) for _, shown in rows), default=1)
    row_height = LINE + 6 + SIDE + 2 * LINE + GAP
    image = Image.new("RGB", (max(columns * (SIDE + GAP) + GAP, 360), 2 * GAP + 24 + len(rows) * row_height), PAPER)
    draw = ImageDraw.Draw(image)
    _text(draw, GAP, GAP, title, INK, 15)
    for number, (heading, shown) in enumerate(rows):
        top = 2 * GAP + 24 + number * row_height
        _text(draw, GAP, top, _shortened(heading, columns * CHARACTERS), INK, 12)
        for place, each in enumerate(shown):
            left, upper = GAP + place * (SIDE + GAP), top + LINE + 6
            if each.view is None:
                draw.rectangle((left, upper, left + SIDE - 1, upper + SIDE - 1), outline=FADED)
            else:
                image.paste(Image.fromarray(np.ascontiguousarray(each.view)), (left, upper))
            for line, text in enumerate(each.lines[:2]):
                _text(draw, left, upper + SIDE + 1 + line * LINE, _shortened(text, CHARACTERS), FADED, 10)
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _text(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, colour: tuple[int, int, int], size: int) -> None:
    from PIL import ImageFont

    draw.text((x, y), text, colour, ImageFont.load_default(size))
