"""How much change each chip hides, and how a change of luma is laid into the pixels."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np

from safety.watermark.pixel.chips import LUMA, blurred

if TYPE_CHECKING:
    from numpy.typing import NDArray

DETAIL, NEAR = 1.5, 1.5
WITHIN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
EXPONENT = 0.7
QUIET = 1.0
STEPS = 64


def visibility_gain(chips: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns): the amplitude that is about equally visible everywhere, up to one factor.

    Contrast masking: activity to the power of 0.7, one where nothing is going on. The least activity within two chips
    is taken, so that a flat area beside an edge counts as flat.
    """
    fine = chips - blurred(chips, DETAIL)
    activity = np.sqrt(cv2.erode(blurred(fine * fine, NEAR), WITHIN))
    gain: NDArray[np.float32] = (activity + np.float32(QUIET)) ** np.float32(EXPONENT)
    return gain


def lifted(pixels: NDArray[np.uint8], change: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Adds an (H, W) change of luma, small ones rounded channel by channel so that luma comes out nearest.

    With whole steps in all three channels a change of less than half a level would be lost in flat areas; a step in
    one channel moves luma by 0.1 to 0.6 levels.
    """
    steps = np.rint(change).astype(np.int16)[..., None].repeat(3, axis=2)
    small = np.abs(change) < 1
    fraction = np.minimum((change[small] + 1) * np.float32(STEPS), 2 * STEPS - 1).astype(np.uint8)
    steps[small] = _roundings()[fraction]
    marked: NDArray[np.uint8] = cv2.add(pixels, steps, dtype=cv2.CV_8U)
    return marked


@cache
def _roundings() -> NDArray[np.int16]:
    """(128, 3): for a change of luma from -1 to 1, which channels to lower or raise by one."""
    ups = np.array(list(product((0, 1), repeat=3)), dtype=np.int16)
    reached = ups @ np.array(LUMA)
    wanted = (np.arange(STEPS) + 0.5) / STEPS
    table: NDArray[np.int16] = ups[np.abs(wanted[:, None] - reached[None, :]).argmin(axis=1)]
    return np.concatenate([-table[::-1], table])
