"""A received picture laid back onto the rectangle of the recorded one, as far as its watermark says where it lies.

The watermark's pattern covers a plane; a record says where the delivered picture lay on it, a detection where the
received one lies. Together they give the map from received to recorded pixels, whatever was cropped, turned, scaled,
stretched or mirrored in between. The fingerprint's cells are then measured where something of them can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np

from provenance.fingerprint import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from safety.watermark import Placement

SAMPLES = 16
PROBES = 48
FURTHEST = 4
LIKELY = 0.5
NUDGE = 1 / 128
BORDER_LEVELS = 20
BORDER_EDGE = 2
LEAST_BORDER = 0.005


@dataclass(frozen=True)
class View:
    """What a received picture shows of a recorded one.

    ``cells`` (12, 12, 3) are the mean RGB levels of what is visible of each cell, ``coverage`` (12, 12) how much of it
    is, 0 to 1. ``matrix`` (2, 2) maps received pixels to recorded ones. ``beyond`` is the share of the received
    picture that lies outside the recorded one and is no plain border.
    """

    cells: NDArray[np.float64]
    coverage: NDArray[np.float64]
    matrix: NDArray[np.float64]
    beyond: float

    @property
    def visible(self) -> float:
        """How much of the recorded picture is visible, 0 to 1."""
        return float(self.coverage.mean())


@dataclass(frozen=True)
class Lying:
    """One way in which the received picture may lie on the recorded one; the plane repeats, so there may be several.

    ``mapping`` (2, 3) takes pixels of the received picture to those of the recorded one, both counted at their
    centres; ``overlap`` is the share of the received picture that lies inside the recorded one.
    """

    mapping: NDArray[np.float64]
    overlap: float


def lyings(received: Placement, issued: Placement, seen: tuple[int, int], size: tuple[int, int]) -> list[Lying]:
    """The ways to lay a received picture of ``seen`` (width, height) onto a recorded one of ``size``, largest first.

    Those that show less than half of what the largest shows are left out; empty when there is no overlap at all.
    """
    found = []
    for column, row in product(range(-FURTHEST, FURTHEST + 1), repeat=2):
        a, b, c, d, left, top = received.in_pixels_of(issued, column, row)
        mapping = np.array([[a, b, left], [c, d, top]])
        if np.isfinite(mapping).all():
            inside = _inside(_probes(*seen) @ mapping[:, :2].T + mapping[:, 2], size)
            found.append(Lying(mapping, float(inside.mean())))
    largest = max((lying.overlap for lying in found), default=0.0)
    likely = [lying for lying in found if lying.overlap > 0 and lying.overlap >= LIKELY * largest]
    return sorted(likely, key=lambda lying: -lying.overlap)


def nudged(lying: Lying, size: tuple[int, int]) -> Iterator[Lying]:
    """The same, moved by 1/128 of the recorded picture in each of eight directions: what a detection may be off by."""
    for across, down in product((-NUDGE, 0.0, NUDGE), repeat=2):
        if across or down:
            moved = lying.mapping + np.array([[0, 0, across * size[0]], [0, 0, down * size[1]]])
            yield Lying(moved, lying.overlap)


class Straightener:
    """Lays one received (H, W, 3) uint8 picture onto a recorded one of ``size`` (width, height)."""

    def __init__(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> None:
        self._pixels, self._size = pixels, size

    def views(self, lying: Lying) -> Iterator[View]:
        """What is seen if all of the picture counts, and then, if it has any, without its plain borders."""
        side = SIDE * SAMPLES
        onto = np.array([side / self._size[0], side / self._size[1]])
        small, ratio = self._shrunk(lying, onto)
        # From samples of the small picture to pixels of the received one, to recorded ones, to samples of the canvas.
        linear = onto[:, None] * lying.mapping[:, :2]
        shift = onto * (lying.mapping[:, 2] + 0.5) - 0.5 + linear @ (ratio / 2 - 0.5)
        mapping = np.hstack([linear * ratio, shift[:, None]])
        border = _plain_border(small)
        canvas = cv2.warpAffine(small, mapping, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        beyond = self._beyond(small, mapping, border)
        for counted in (np.ones_like(border), ~border) if border.any() else (np.ones_like(border),):
            weight = cv2.warpAffine(counted.astype(np.float32), mapping, (side, side), flags=cv2.INTER_LINEAR)
            yield View(*_cells(canvas, weight > 0.5), lying.mapping[:, :2], beyond)

    def _shrunk(self, lying: Lying, onto: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The picture with about as many samples as the canvas, by area; and its pixels for each sample, (x, y)."""
        height, width = self._pixels.shape[:2]
        density = float(np.sqrt(abs(np.linalg.det(onto[:, None] * lying.mapping[:, :2]))))
        if density >= 1:
            return self._pixels, np.ones(2)
        columns, rows = max(1, round(width * density)), max(1, round(height * density))
        small = cv2.resize(self._pixels, (columns, rows), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8), np.array([width / columns, height / rows])

    def _beyond(self, small: NDArray[np.uint8], mapping: NDArray[np.float64], border: NDArray[np.bool_]) -> float:
        side = SIDE * SAMPLES
        y, x = np.nonzero(~border)
        places = np.stack([x, y], axis=1) @ mapping[:, :2].T + mapping[:, 2]
        # A sample of grace, for what lies on the edge.
        outside = (places < -1.5).any(axis=1) | (places > side + 0.5).any(axis=1)
        return float(outside.sum() / border.size)


def _cells(canvas: NDArray[np.uint8], seen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    blocks = (SIDE, SAMPLES, SIDE, SAMPLES)
    count = seen.reshape(blocks).sum(axis=(1, 3))
    total = (canvas * seen[..., None]).reshape(*blocks, 3).sum(axis=(1, 3), dtype=np.float64)
    return total / np.maximum(count, 1)[..., None], count / SAMPLES**2


def _plain_border(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(rows, columns): what has nearly the colour at a corner and hangs together with it, and a rim around it.

    Less than half a percent is no border.
    """
    height, width = small.shape[:2]
    mask = np.zeros((height + 2, width + 2), dtype=np.uint8)
    levels = (BORDER_LEVELS,) * 3
    how = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
    canvas = small.copy()
    # Three starts to a corner: JPEG leaves single samples of a border in another colour.
    for (x, y), (right, down) in product(product((0, width - 1), (0, height - 1)), ((0, 0), (3, 0), (0, 3))):
        x, y = abs(x - min(right, width - 1)), abs(y - min(down, height - 1))
        if not mask[y + 1, x + 1]:
            cv2.floodFill(canvas, mask, (x, y), 0, levels, levels, how)
    filled = mask[1:-1, 1:-1]
    if np.count_nonzero(filled) < LEAST_BORDER * filled.size:
        return np.zeros((height, width), dtype=np.bool_)
    rim = np.ones((2 * BORDER_EDGE + 1, 2 * BORDER_EDGE + 1), np.uint8)
    return np.asarray(cv2.dilate(filled, rim)) > 0


def _probes(width: int, height: int) -> NDArray[np.float64]:
    across, down = np.meshgrid(
        (np.arange(PROBES) + 0.5) * width / PROBES - 0.5, (np.arange(PROBES) + 0.5) * height / PROBES - 0.5
    )
    return np.stack([across.ravel(), down.ravel()], axis=1)


def _inside(places: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(((places >= -0.5) & (places <= np.array(size) - 0.5)).all(axis=1))
