"""What happens to pictures: pure functions from (H, W, 3) uint8 RGB to the same, deterministic for a given generator.

Strengths follow WAVES (An et al., "Benchmarking the Robustness of Image Watermarks", 2024) where it has the attack:
a rotation keeps the canvas and fills with black, a resized crop and an erased box are given by area, noise is on the
scale from 0 to 1, brightness and contrast multiply as in Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

Step = Callable[["NDArray[np.uint8]", "Generator"], "NDArray[np.uint8]"]


def jpeg(pixels: NDArray[np.uint8], _: Generator, *, quality: int, chroma: str = "4:2:0") -> NDArray[np.uint8]:
    """Compressed as JPEG; ``chroma`` is 4:2:0 as most programs write, or 4:4:4."""
    return _through(pixels, "JPEG", quality=quality, subsampling=chroma)


def webp(pixels: NDArray[np.uint8], _: Generator, *, quality: int) -> NDArray[np.uint8]:
    """Compressed as lossy WebP."""
    return _through(pixels, "WEBP", quality=quality)


def blur(pixels: NDArray[np.uint8], _: Generator, *, sigma: float) -> NDArray[np.uint8]:
    """Gaussian blur, sigma in pixels."""
    return _bytes(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def median(pixels: NDArray[np.uint8], _: Generator, *, size: int) -> NDArray[np.uint8]:
    """Median of size × size pixels, by channel."""
    return _bytes(cv2.medianBlur(pixels, size))


def sharpen(pixels: NDArray[np.uint8], _: Generator, *, amount: float, sigma: float = 1.0) -> NDArray[np.uint8]:
    """Unsharp mask."""
    sharp = pixels + amount * (pixels - cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), sigma))
    return _bytes(sharp)


def noise(pixels: NDArray[np.uint8], rng: Generator, *, sigma: float) -> NDArray[np.uint8]:
    """Gaussian noise in every channel, sigma on the scale from 0 to 1."""
    return _bytes(pixels + rng.normal(0.0, 255 * sigma, pixels.shape))


def posterise(pixels: NDArray[np.uint8], _: Generator, *, bits: int) -> NDArray[np.uint8]:
    """Only the highest bits of every channel kept, the middle of each step shown."""
    step = 1 << 8 - bits
    return _bytes(pixels // step * step + step // 2)


def brightness(pixels: NDArray[np.uint8], _: Generator, *, factor: float) -> NDArray[np.uint8]:
    """Every value times ``factor``."""
    return _bytes(factor * pixels.astype(np.float32))


def contrast(pixels: NDArray[np.uint8], _: Generator, *, factor: float) -> NDArray[np.uint8]:
    """Distances from the mean luma times ``factor``."""
    middle = float(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).mean())
    return _bytes(middle + factor * (pixels.astype(np.float32) - middle))


def erase(pixels: NDArray[np.uint8], rng: Generator, *, area: float) -> NDArray[np.uint8]:
    """A box of that share of the area, somewhere, made black."""
    height, width, top, left = _box(pixels, rng, area)
    erased = pixels.copy()
    erased[top : top + height, left : left + width] = 0
    return erased


def crop(pixels: NDArray[np.uint8], rng: Generator, *, area: float) -> NDArray[np.uint8]:
    """A part of that share of the area, of the same shape, somewhere, kept at its own size."""
    height, width, top, left = _box(pixels, rng, area)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def resized_crop(pixels: NDArray[np.uint8], rng: Generator, *, area: float) -> NDArray[np.uint8]:
    """A crop brought back to the picture's size."""
    return _resized(crop(pixels, rng, area=area), pixels.shape[1], pixels.shape[0])


def scale(pixels: NDArray[np.uint8], _: Generator, *, x: float, y: float | None = None) -> NDArray[np.uint8]:
    """Resized by factors, averaging when smaller and cubic when larger; kept at the new size."""
    width, height = round(pixels.shape[1] * x), round(pixels.shape[0] * (x if y is None else y))
    return _resized(pixels, width, height)


def rotate(pixels: NDArray[np.uint8], _: Generator, *, degrees: float, grow: bool = False) -> NDArray[np.uint8]:
    """Turned anticlockwise about its middle, black outside; ``grow`` enlarges the canvas so that nothing is lost."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    if grow:
        cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
        grown = (round(width * cosine + height * sine), round(width * sine + height * cosine))
        matrix[:, 2] += (grown[0] - width) / 2, (grown[1] - height) / 2
        width, height = grown
    return _bytes(cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC))


def quarter_turns(pixels: NDArray[np.uint8], _: Generator, *, turns: int) -> NDArray[np.uint8]:
    """Turned anticlockwise by exact right angles."""
    return np.ascontiguousarray(np.rot90(pixels, turns))


def shear(pixels: NDArray[np.uint8], _: Generator, *, x: float, y: float = 0.0) -> NDArray[np.uint8]:
    """Rows moved by ``x`` pixels a pixel down, columns by ``y``, about the middle; black outside."""
    height, width = pixels.shape[:2]
    matrix = np.array([[1.0, x, -x * (height - 1) / 2], [y, 1.0, -y * (width - 1) / 2]])
    return _bytes(cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_CUBIC))


def flip(pixels: NDArray[np.uint8], _: Generator, *, axis: int) -> NDArray[np.uint8]:
    """Mirrored: axis 0 upside down, 1 left to right."""
    return np.ascontiguousarray(np.flip(pixels, axis))


def _through(pixels: NDArray[np.uint8], kind: str, **options: object) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return np.asarray(Image.open(file).convert("RGB"))


def _resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    return _bytes(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))


def _box(pixels: NDArray[np.uint8], rng: Generator, area: float) -> tuple[int, int, int, int]:
    height, width = (round(side * area**0.5) for side in pixels.shape[:2])
    top = int(rng.integers(pixels.shape[0] - height + 1))
    return height, width, top, int(rng.integers(pixels.shape[1] - width + 1))


def _bytes(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return np.asarray(values, dtype=np.uint8)
    rounded: NDArray[np.uint8] = np.clip(np.rint(values.astype(np.float32)), 0, 255).astype(np.uint8)
    return rounded
