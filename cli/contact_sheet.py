"""A contact sheet: pictures in a grid, each with a caption and a coloured verdict under it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from provenance.files import write_file

CELL = 256
GAP = 28
LABEL = 62
HEADER = 92
PAPER = (250, 247, 240)
INK = (44, 40, 52)
FADED = (118, 112, 124)
VERDICT_COLOURS = {
    "authentic": (34, 128, 74),
    "recovered": (38, 98, 190),
    "revoked": (170, 104, 16),
    "copied": (186, 48, 44),
    "tampered": (186, 48, 44),
    "refused": (186, 48, 44),
    "unknown": FADED,
    "signed": FADED,
}


@dataclass(frozen=True)
class Cell:
    """One place on the sheet; without a picture it shows an empty frame, as for a refusal."""

    caption: str
    verdict: str
    picture: Path | None = None


def draw_sheet(path: Path, title: str, subtitle: str, rows: Sequence[tuple[str, Sequence[Cell]]]) -> None:
    """Writes a PNG with one labelled row of cells after another."""
    columns = max(len(cells) for _, cells in rows)
    width = GAP + columns * (CELL + GAP)
    height = HEADER + len(rows) * (CELL + LABEL + 44) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 22), title, INK, _font(30))
    draw.text((GAP, 62), subtitle, FADED, _font(16))
    y = HEADER + 12
    for heading, cells in rows:
        draw.text((GAP, y), heading, INK, _font(18))
        y += 32
        for number, cell in enumerate(cells):
            _draw_cell(sheet, draw, GAP + number * (CELL + GAP), y, cell)
        y += CELL + LABEL + 12
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_file(path, buffer.getvalue())


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, cell: Cell) -> None:
    colour = VERDICT_COLOURS[cell.verdict]
    if cell.picture is None:
        draw.rounded_rectangle((x, y, x + CELL - 1, y + CELL - 1), 12, outline=(214, 208, 198), width=2)
        centre = (x + CELL // 2, y + CELL // 2)
        draw.ellipse((centre[0] - 34, centre[1] - 34, centre[0] + 34, centre[1] + 34), outline=colour, width=6)
        draw.line((centre[0] - 23, centre[1] + 23, centre[0] + 23, centre[1] - 23), colour, 6)
    else:
        with Image.open(cell.picture) as picture:
            fitted = picture.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS)
        sheet.paste(fitted, (x, y))
    draw.ellipse((x, y + CELL + 12, x + 12, y + CELL + 24), fill=colour)
    draw.text((x + 20, y + CELL + 7), cell.verdict, colour, _font(17))
    draw.text((x, y + CELL + 32), _shortened(cell.caption), FADED, _font(14))


def _shortened(text: str) -> str:
    return text if len(text) <= 38 else text[:37] + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
