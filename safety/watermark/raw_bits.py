"""A payload in a fixed grid of raw bits: the `dwtDctSvd` backend, keyed, coded and decided."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from safety.errors import WatermarkError
from safety.watermark.code import CODED_BITS, decode, encode
from safety.watermark.detection import THRESHOLD, Detection
from safety.watermark.dwt_dct_svd import DwtDctSvd
from safety.watermark.keys import Layout, layout
from safety.watermark.significance import p_value

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RawBits:
    """The payload's codeword spread over all raw bits of `dwtDctSvd`; ``strength`` is its quantiser's step."""

    name = DwtDctSvd.name
    strengths = DwtDctSvd.strengths

    def embed(
        self, pixels: NDArray[np.uint8], payload: int, key: bytes | None, strength: float | None
    ) -> NDArray[np.uint8]:
        """A marked copy; see WatermarkBackend."""
        grid = DwtDctSvd()
        bits = layout(key, _positions(pixels, grid)).spread(encode(payload))
        return grid.write(pixels, bits, self.strengths[0] if strength is None else strength)

    def detect(self, pixels: NDArray[np.uint8], key: bytes | None) -> Detection:
        """Tries each of the grid's readings until one is significant; see WatermarkBackend."""
        started = time.perf_counter()
        grid = DwtDctSvd()
        plan = layout(key, _positions(pixels, grid))
        best: tuple[float, int | None] = (1.0, None)
        for soft in grid.readings(pixels):
            best = min(best, _decide(soft, plan, grid.hypotheses), key=lambda found: found[0])
            if best[0] < THRESHOLD:
                break
        p, payload = best
        milliseconds = 1000 * (time.perf_counter() - started)
        return Detection(payload if p < THRESHOLD else None, p, self.name, milliseconds)


def _decide(soft: NDArray[np.float64], plan: Layout, hypotheses: int) -> tuple[float, int | None]:
    payload = decode(plan.gather(soft))
    if payload is None:
        return 1.0, None
    agreeing = int(np.count_nonzero((soft > 0) == plan.spread(encode(payload)).astype(bool)))
    return p_value(agreeing, len(soft), hypotheses), payload


def _positions(pixels: NDArray[np.uint8], grid: DwtDctSvd) -> int:
    positions = grid.positions(pixels.shape[0], pixels.shape[1])
    if positions < CODED_BITS:
        raise WatermarkError(
            "the picture is too small for a watermark",
            expected=f"at least {CODED_BITS} blocks of 8 × 8 pixels, as in 144 × 144",
            found=f"{pixels.shape[1]} × {pixels.shape[0]} pixels",
        )
    return positions
