"""The pixel layer as a watermark backend."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from safety.errors import WatermarkError
from safety.watermark.detection import THRESHOLD, Detection
from safety.watermark.geometry import Geometry, Placement
from safety.watermark.payload import check_payload
from safety.watermark.pixel.chips import chip_pixels, luma, residual, to_chips
from safety.watermark.pixel.detection import Found, search
from safety.watermark.pixel.embedding import mark
from safety.watermark.pixel.pattern import PERIOD, pattern
from safety.watermark.pixel.reading import readings

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_SIDE, SMALLEST_READ, LARGEST_SIDE = 256, 64, 16384
WEAKEST, STRONGEST = 0.1, 8.0
KEYS_AT_ONCE = 16


class PixelLayer:
    """Spread-spectrum bits in luma, read back after crops, turns, scaling and recompression; needs no weights.

    ``strength`` multiplies the amplitude that the embedder chooses for the picture, 0.1 to 8, 1 by default.
    """

    name = "pixel"
    strengths: tuple[float, ...] = (1.0, 1.4, 2.0)
    smallest_side = SMALLEST_SIDE

    def embed(
        self, pixels: NDArray[np.uint8], payload: int, key: bytes | None, strength: float | None
    ) -> NDArray[np.uint8]:
        """A marked copy of an (H, W, 3) picture; see WatermarkBackend."""
        check_payload(payload)
        factor = 1.0 if strength is None else strength
        if not WEAKEST <= factor <= STRONGEST:
            raise WatermarkError(
                "the watermark's strength is out of range",
                expected=f"a factor from {WEAKEST:g} to {STRONGEST:g}",
                found=repr(strength),
            )
        return mark(_sized(pixels, SMALLEST_SIDE), payload, pattern(key), factor)

    def detect(self, pixels: NDArray[np.uint8], key: bytes | None) -> Detection:
        """Reads an (H, W, 3) picture; see WatermarkBackend."""
        started = time.perf_counter()
        found = search(luma(_sized(pixels, SMALLEST_READ)), pattern(key), THRESHOLD)
        milliseconds = 1000 * (time.perf_counter() - started)
        if found is None or found.reading.p_value >= THRESHOLD:
            p_value = 1.0 if found is None else found.reading.p_value
            return Detection(None, p_value, self.name, milliseconds)
        reading = found.reading
        geometry = _geometry(found, pixels)
        return Detection(reading.payload, reading.p_value, self.name, milliseconds, geometry, _placement(found))

    def p_values(self, pixels: NDArray[np.uint8], keys: Sequence[bytes]) -> list[float]:
        """The p-value of one reading of an (H, W, 3) picture, as it is, under each of many keys.

        For measuring how often nothing is taken for something: the geometry is not searched, since under a wrong key
        every place is as good as any other, but each reading is charged for the whole search.
        """
        own = residual(to_chips(luma(_sized(pixels, SMALLEST_READ))))
        found: list[float] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            read = readings(own, keys[start : start + KEYS_AT_ONCE])
            found += [1.0 if reading is None else reading.p_value for reading in read]
        return found


def _geometry(found: Found, pixels: NDArray[np.uint8]) -> Geometry:
    # Chips a pixel, turned round: pixels of this picture for a pixel of one that was marked at two pixels a chip.
    side = chip_pixels(*pixels.shape[:2])
    (a, b), (c, d) = np.linalg.inv(found.place.matrix) / side
    return Geometry.of(float(a), float(b), float(c), float(d))


def _placement(found: Found) -> Placement:
    (a, b), (c, d) = found.place.matrix.tolist()
    left, top = (found.place.shift % PERIOD).tolist()
    return Placement(a, b, c, d, left, top, PERIOD)


def _sized(pixels: NDArray[np.uint8], smallest: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    if not smallest <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        raise WatermarkError(
            f"the picture is too {'small' if min(height, width) < smallest else 'large'} for a watermark",
            expected=f"{smallest} to {LARGEST_SIDE} pixels along each side",
            found=f"{width} × {height}",
        )
    return pixels
