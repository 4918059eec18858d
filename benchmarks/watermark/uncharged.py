"""The tail before it is charged: one payload named beforehand, read under keys that wrote nothing.

Every decision of the pixel layer multiplies its tail by 2^64 payloads and 64 readings, which puts nearly all null
p-values at 1 and says little of the tail itself. Here nothing is multiplied, so that a share p of such readings at
most may have a tail of p or less, whatever p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from safety.watermark.code import signs
from safety.watermark.pixel.chips import folded, luma, residual, to_chips
from safety.watermark.pixel.pattern import corner
from safety.watermark.significance import log_rademacher_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMED = 0x0123456789ABCDEF


def tails(pixels: NDArray[np.uint8], keys: Sequence[bytes], payload: int = NAMED) -> list[float]:
    """The tail of one payload's score in an (H, W, 3) picture, as it lies, under each of many keys."""
    band = folded(residual(to_chips(luma(pixels))).band)
    norm, coded = float(np.linalg.norm(band)), signs(payload)
    found = []
    for key in keys:
        chips, bits = corner(key, *band.shape)
        found.append(math.exp(log_rademacher_tail(float(np.vdot(chips * coded[bits], band)) / norm)))
    return found
