"""A perceptual fingerprint: what a picture looks like from afar, in 385 bytes.

PLACEHOLDER
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from provenance.errors import FormatError, ImageRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
LUMA_SIDE, CHROMA_SIDE = 16, 8
BYTES = 1 + LUMA_SIDE**2 + 2 * CHROMA_SIDE**2
MATCH_THRESHOLD = 0.1
FULL_DISTANCE = 64.0
GAINS = np.linspace(0.75, 1.35, 25)

_TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_TO_RGB = np.linalg.inv(_TO_YCBCR)
_PATTERN = re.compile(rf"{VERSION:02x}[0-9a-f]{{{2 * (BYTES - 1)}}}")


def fingerprint(image: NDArray[np.uint8]) -> str:
    """The fingerprint of an (H, W, 3) uint8 RGB picture as 770 lower-case hexadecimal digits.

    Raises ImageRefused for anything else.
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ImageRefused(
            "this picture cannot be fingerprinted",
            expected="an (H, W, 3) array of uint8",
            found=f"shape {getattr(image, 'shape', None)}, {getattr(image, 'dtype', type(image).__name__)}",
        )
    if 0 in image.shape:
        raise ImageRefused("this picture cannot be fingerprinted", expected="at least one pixel", found="none")
    cells = _averages(image, LUMA_SIDE) @ _TO_YCBCR.T
    coarse = cells.reshape(CHROMA_SIDE, 2, CHROMA_SIDE, 2, 3).mean(axis=(1, 3))
    values = np.concatenate([cells[..., 0].ravel(), coarse[..., 1].ravel() + 128, coarse[..., 2].ravel() + 128])
    return bytes([VERSION, *np.clip(np.round(values), 0, 255).astype(np.uint8).tolist()]).hex()


def distance(first: str, second: str) -> float:
    """How different two pictures look, from 0 (the same) to 1.

    The root mean square over the cells of luma and chroma, in units of 64 levels, after the brightness and
    contrast of one were fitted to the other. Symmetric. Raises FormatError for what is not a fingerprint.
    """
    one, other = _parsed(first), _parsed(second)
    return min(1.0, _residual(one, other) / FULL_DISTANCE, _residual(other, one) / FULL_DISTANCE)


def _averages(image: NDArray[Any], side: int) -> NDArray[np.float64]:
    """(side, side, 3) means over a grid of equal cells, pixels on a border shared by their area."""
    rows, columns = _shares(image.shape[0], side), _shares(image.shape[1], side)
    means: NDArray[np.float64] = np.einsum("ih,hjc->ijc", rows, np.einsum("hwc,jw->hjc", image, columns))
    return means


def _shares(pixels: int, side: int) -> NDArray[np.float64]:
    edges = np.arange(side + 1) * (pixels / side)
    places = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    return np.clip(overlap, 0, None) * (side / pixels)


def _parsed(text: str) -> NDArray[np.float64]:
    """(16, 16, 3) RGB cells, with the colour of each four of them shared."""
    if not isinstance(text, str) or not _PATTERN.fullmatch(text):
        raise FormatError(
            "this is not a picture's fingerprint", expected=f"{2 * BYTES} hexadecimal digits beginning with {VERSION:02x}"
        )
    values = np.frombuffer(bytes.fromhex(text[2:]), np.uint8).astype(np.float64)
    luma = values[: LUMA_SIDE**2].reshape(LUMA_SIDE, LUMA_SIDE)
    chroma = values[LUMA_SIDE**2 :].reshape(2, CHROMA_SIDE, CHROMA_SIDE).repeat(2, axis=1).repeat(2, axis=2) - 128
    cells: NDArray[np.float64] = np.stack([luma, *chroma], axis=-1) @ _TO_RGB.T
    return cells


def _residual(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The least root mean square between ``other`` and a brighter, darker, flatter or steeper ``one``."""
    middle = (one @ _TO_YCBCR[0]).mean()
    pivots = np.repeat([0.0, middle], len(GAINS))[:, None, None, None]
    gains = np.tile(GAINS, 2)[:, None, None, None]
    changed = np.clip(pivots + gains * (one - pivots), 0, 255)
    left = (changed - other) @ _TO_YCBCR.T
    return float(np.sqrt((left**2).sum(axis=-1).mean(axis=(1, 2)).min()))
