"""The grid of chips under a picture, and what is left of the picture on it when what is predictable is taken away.

A chip is 2 pixels wide in pictures whose short side is at most 1024 pixels and 1/512 of the short side in larger
ones, so that a large picture keeps its mark when it is made small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from safety.watermark.pixel.pattern import PERIOD

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHIP_PIXELS = 2.0
LUMA = (0.299, 0.587, 0.114)
FINE, COARSE = 0.75, 1.7
DETAIL, NEIGHBOURHOOD = 1.6, 2.0
FLATTEST = 1.0
CLIP = 2.5
SMOOTHING = 11
STRIP = 512


def chip_pixels(height: int, width: int) -> float:
    """The side of a chip in pixels, for an uncropped picture of that size."""
    return CHIP_PIXELS * max(1.0, min(height, width) / (CHIP_PIXELS * PERIOD))


def grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the chips that cover a picture exactly, each as nearly square as that allows."""
    side = chip_pixels(height, width)
    return max(1, round(height / side)), max(1, round(width / side))


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) float32 luma of an (H, W, 3) picture, 0 to 255."""
    # In strips: OpenCV wants the whole picture as float before it weighs the channels.
    height, width = pixels.shape[:2]
    weights = np.array([LUMA], dtype=np.float32)
    grey = np.empty((height, width), dtype=np.float32)
    for top in range(0, height, STRIP):
        strip = pixels[top : top + STRIP].astype(np.float32)
        grey[top : top + STRIP] = cv2.transform(strip, weights).reshape(strip.shape[:2])
    return grey


def to_chips(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean luma of each chip of an uncropped picture."""
    rows, columns = grid(*grey.shape)
    return resized(grey, rows, columns)


def resized(grey: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """A plane at another size: by area when it shrinks, bicubic when it grows."""
    shrinks = rows <= grey.shape[0] and columns <= grey.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    smaller: NDArray[np.float32] = cv2.resize(grey, (columns, rows), interpolation=method)
    return smaller


def blurred(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur; ``sigma`` in samples."""
    blur: NDArray[np.float32] = cv2.GaussianBlur(plane, (0, 0), sigma)
    return blur


def banded(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """The band in which chips are written: a difference of Gaussians of 0.75 and 1.7 chips."""
    return blurred(plane, FINE) - blurred(plane, COARSE)


@dataclass(frozen=True)
class Residual:
    """A picture on its chips with its own texture evened out, in space and in frequency.

    ``white`` is (rows, columns) float32 of nearly flat spectrum, in which the waves are sought; ``band`` is the
    same in the band in which chips are written.
    """

    white: NDArray[np.float32]
    band: NDArray[np.float32]

    @property
    def white_norm(self) -> float:
        """The Euclidean norm of ``white``."""
        return float(np.linalg.norm(self.white))

    @property
    def band_norm(self) -> float:
        """The Euclidean norm of ``band``."""
        return float(np.linalg.norm(self.band))


def residual(chips: NDArray[np.float32], mask: NDArray[np.float32] | None = None) -> Residual:
    """Whitens (rows, columns) luma: detail over its local deviation, clipped, over its local spectrum's root.

    ``mask`` is 1 where there is picture and 0 elsewhere.
    """
    shape = chips.shape
    even = evened(chips, DETAIL, NEIGHBOURHOOD, FLATTEST)
    if mask is not None:
        even *= mask
    spectrum = np.fft.rfft2(even)
    level = _smoothed(np.square(np.abs(spectrum)))
    flat = spectrum / np.sqrt(level + np.float32(1e-3) * level.mean() + np.float32(1e-9))
    white = np.fft.irfft2(flat, s=shape).astype(np.float32, copy=False)
    band = np.fft.irfft2(flat * _band(*shape), s=shape).astype(np.float32, copy=False)
    if mask is not None:
        white *= mask
        band *= mask
    return Residual(white, band)


def folded(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of what lies a whole period apart: (512, 512), or less where the plane is smaller."""
    rows, columns = (min(side, PERIOD) for side in plane.shape)
    total = np.zeros((rows, columns), dtype=np.float32)
    for top in range(0, plane.shape[0], PERIOD):
        for left in range(0, plane.shape[1], PERIOD):
            part = plane[top : top + PERIOD, left : left + PERIOD]
            total[: part.shape[0], : part.shape[1]] += part
    return total


def evened(plane: NDArray[np.float32], detail: float, neighbourhood: float, flattest: float) -> NDArray[np.float32]:
    """What a blur takes away, over its local deviation (at least ``flattest`` levels), clipped at 2.5."""
    fine = plane - blurred(plane, detail)
    deviation = np.sqrt(blurred(fine * fine, neighbourhood) + np.float32(flattest * flattest))
    even: NDArray[np.float32] = np.clip(fine / deviation, -CLIP, CLIP)
    return even


def _smoothed(power: NDArray[np.float32]) -> NDArray[np.float32]:
    pad = SMOOTHING // 2
    wrapped = np.concatenate([power[-pad:], power, power[:pad]], axis=0) if power.shape[0] > pad else power
    smooth: NDArray[np.float32] = cv2.blur(wrapped, (SMOOTHING, SMOOTHING), borderType=cv2.BORDER_REFLECT)
    return smooth[pad:-pad] if power.shape[0] > pad else smooth


@lru_cache(maxsize=16)
def _band(rows: int, columns: int) -> NDArray[np.float32]:
    """The spectrum of ``banded``."""
    across, along = np.fft.rfftfreq(columns)[None, :], np.fft.fftfreq(rows)[:, None]
    squared = across**2 + along**2
    band = np.exp(-2 * (np.pi * FINE) ** 2 * squared) - np.exp(-2 * (np.pi * COARSE) ** 2 * squared)
    return band.astype(np.float32)
