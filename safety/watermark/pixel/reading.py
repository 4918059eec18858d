"""Reading the bits of a picture that lies in a known place, and how unlikely they are by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from safety.watermark.code import CODED_BITS, decode, decode_all, signs
from safety.watermark.pixel.chips import Residual, blurred, folded, residual
from safety.watermark.pixel.pattern import PERIOD, Pattern, corner
from safety.watermark.significance import log_rademacher_tail, over_all_payloads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from safety.watermark.pixel.waves import Place

READINGS = 64
LARGEST_CANVAS = 2048


@dataclass(frozen=True)
class Reading:
    """A payload that the code found, and the chance of so good a reading in an unmarked picture."""

    payload: int
    p_value: float


def read(own: Residual, x: int, y: int, pattern: Pattern) -> Reading | None:
    """Reads a residual whose first chip is (x, y) of the plane; None when no codeword fits.

    Under a key that is independent of the picture the chips' signs are independent coin tosses, so for each of the
    2^64 payloads ``T = Σ s·b·u / ‖u‖`` is a Rademacher sum, whatever the picture. What several periods of the plane
    show of one chip is added up first. At most 64 readings are made of a picture, and each is charged for all.
    """
    rows, columns = own.band.shape
    band = folded(own.band) if max(rows, columns) > PERIOD else own.band
    soft = _soft(band, *pattern.chips(band.shape[0], band.shape[1], x, y))
    return _decided(soft, decode(soft), float(np.linalg.norm(band)))


def readings(own: Residual, keys: Sequence[bytes]) -> list[Reading | None]:
    """What ``read`` says of a residual under each of many keys, laid on the plane's first chip."""
    band = folded(own.band)
    norm = float(np.linalg.norm(band))
    soft = np.stack([_soft(band, *corner(key, band.shape[0], band.shape[1])) for key in keys])
    return [_decided(row, payload, norm) for row, payload in zip(soft, decode_all(soft), strict=True)]


def _soft(band: NDArray[np.float32], chip_signs: NDArray[np.float32], bits: NDArray[np.int32]) -> NDArray[np.float64]:
    return np.bincount(bits.ravel(), weights=(chip_signs * band).ravel(), minlength=CODED_BITS).astype(np.float64)


def _decided(soft: NDArray[np.float64], payload: int | None, norm: float) -> Reading | None:
    if payload is None or norm == 0:
        return None
    score = float(soft @ signs(payload)) / norm
    return Reading(payload, over_all_payloads(log_rademacher_tail(score), READINGS))


def straightened(grey: NDArray[np.float32], place: Place) -> tuple[Residual, int, int] | None:
    """The residual of a picture laid onto the plane's own chips, and its first chip; None for an absurd place."""
    height, width = grey.shape
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]])
    on_plane = corners @ place.matrix.T + place.shift
    first = np.floor(on_plane.min(axis=0) + 0.5).astype(int)
    columns, rows = (8 * np.ceil((on_plane.max(axis=0) - first + 0.5) / 8)).astype(int).tolist()
    if not (0 < columns <= LARGEST_CANVAS and 0 < rows <= LARGEST_CANVAS):
        return None
    chip = 1 / math.sqrt(abs(float(np.linalg.det(place.matrix))))
    smooth = blurred(grey, 0.32 * chip - 0.25) if chip > 1.6 else grey
    mapping = np.hstack([place.matrix, (place.shift - first)[:, None]])
    chips = cv2.warpAffine(smooth, mapping, (columns, rows), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return residual(chips, _inside(on_plane - first, rows, columns)), int(first[0]), int(first[1])


def _inside(corners: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float32]:
    """1 where a chip lies wholly in the picture with these corners (top left, top right, bottom left, bottom right)."""
    outline = np.rint(corners[[0, 1, 3, 2]] * 256).astype(np.int32)
    mask = cv2.fillConvexPoly(np.zeros((rows, columns), np.uint8), outline, (1,), shift=8)
    inner = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0))
    return inner.astype(np.float32)
