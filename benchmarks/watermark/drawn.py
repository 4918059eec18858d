"""The pictures that are no photographs: drawn scenes, the starter model's samples, text, flat, dark and saturated ones.

The flat and extreme ones are where a mark shows or drowns; all come from a seed or from files in this repository.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import generation.starter
from benchmarks.watermark.pictures import CUTS, SIDE, SKIMAGE, Cut, Picture, resized_to
from generation.starter.scenes import HELD_OUT_SCENES, draw_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCENES = 12
# samples.png is a sheet of 10 × 5 samples, 96 pixels each and 4 apart.
SHEET_COLUMNS, SHEET_SAMPLE, SHEET_STEP = 10, 96, 100
SENTENCE = (
    "the licence names the adapter and the adapter names its training data so that a picture can say where it comes "
    "from and who may use it for what and until when even after the file was copied cropped and sent on "
)


def drawn_scenes() -> list[Picture]:
    """Picture-book scenes at 512 × 512: large flat areas, few edges."""
    return [Picture(f"scene {number}", "drawn scenes", partial(scene, number)) for number in range(SCENES)]


def starter_samples() -> list[Picture]:
    """Samples of the starter model from the sheet that ships with it, enlarged to 512 × 512."""
    return [Picture(f"sample {number}", "starter samples", partial(sheet_sample, number)) for number in range(0, 45, 6)]


def text_pages() -> list[Picture]:
    """Pages of print, white on black too, and two scanned ones."""
    drawn = [
        Picture("page black on white", "text", partial(page, (255, 255, 255), (0, 0, 0), 14)),
        Picture("page grey on cream", "text", partial(page, (250, 244, 228), (70, 70, 74), 20)),
        Picture("page white on black", "text", partial(page, (0, 0, 0), (255, 255, 255), 17)),
    ]
    scans = (Cut("scanned page", SKIMAGE, "data/page.png"), Cut("scanned text", SKIMAGE, "data/text.png", (0.0, 0.0)))
    return drawn + [Picture(cut.label, "text", cut.load) for cut in scans]


def flat_pictures() -> list[Picture]:
    """One tone, or a slow ramp."""
    tones = {"grey": (128, 128, 128), "sky": (150, 190, 230), "near white": (250, 250, 250), "near black": (6, 6, 6)}
    flat = [Picture(f"flat {name}", "flat", partial(one_tone, tone)) for name, tone in tones.items()]
    return [*flat, Picture("ramp", "flat", ramp)]


def dark_pictures() -> list[Picture]:
    """Photographs at an eighth of their light."""
    return [Picture(f"{cut.label} dark", "dark", partial(darkened, cut)) for cut in CUTS[:4]]


def saturated_pictures() -> list[Picture]:
    """Photographs with their colours pushed until most pixels clip in some channel."""
    return [Picture(f"{cut.label} saturated", "saturated", partial(saturated, cut)) for cut in CUTS[1:5]]


def scene(number: int, side: int = SIDE) -> NDArray[np.uint8]:
    """One of the starter world's scenes, as no. ``number`` always draws it."""
    kind = HELD_OUT_SCENES[number * 7 % len(HELD_OUT_SCENES)]
    return np.asarray(draw_scene(kind, np.random.default_rng((4, number)), size=side))


def sheet_sample(number: int) -> NDArray[np.uint8]:
    """One sample of the sheet, (512, 512, 3)."""
    sheet = np.asarray(Image.open(Path(generation.starter.__file__).parent / "samples.png").convert("RGB"))
    top, left = (SHEET_STEP * place for place in divmod(number, SHEET_COLUMNS))
    return resized_to(np.ascontiguousarray(sheet[top : top + SHEET_SAMPLE, left : left + SHEET_SAMPLE]), SIDE)


def page(paper: tuple[int, int, int], ink: tuple[int, int, int], size: int) -> NDArray[np.uint8]:
    """A page of words in Pillow's own font, ``size`` pixels high."""
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    text, start = 20 * SENTENCE, 0
    for top in range(24, SIDE - 24 - size, round(1.5 * size)):
        end = start
        while font.getlength(text[start:end]) < SIDE - 96:
            end = text.index(" ", end + 1)
        draw.text((24, top), text[start:end], fill=ink, font=font)
        start = end + 1
    return np.asarray(picture)


def one_tone(tone: tuple[int, int, int]) -> NDArray[np.uint8]:
    """One colour everywhere."""
    return np.full((SIDE, SIDE, 3), tone, dtype=np.uint8)


def ramp() -> NDArray[np.uint8]:
    """From dark at the left to bright at the right."""
    return np.repeat(np.tile(np.linspace(20, 235, SIDE).astype(np.uint8), (SIDE, 1))[..., None], 3, axis=2)


def darkened(cut: Cut) -> NDArray[np.uint8]:
    """At an eighth of its light, rounded to bytes."""
    dark: NDArray[np.uint8] = np.rint(cut.load() / 8.0).astype(np.uint8)
    return dark


def saturated(cut: Cut) -> NDArray[np.uint8]:
    """Chroma × 4 around luma, contrast × 2."""
    pixels = cut.load().astype(np.float32)
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
    pushed: NDArray[np.uint8] = np.clip(128 + 2 * (luma - 128) + 4 * (pixels - luma), 0, 255).astype(np.uint8)
    return pushed
