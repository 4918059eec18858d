"""The waves in a picture: how strong they are, where they say the picture lies, and by how much a guess is off.

A picture's sample at ``(x, y)`` lies at chip ``c = A (x, y) + t`` of the plane, with ``A`` a 2×2 matrix and ``t`` a
place in the plane. A wave of frequency ``k`` (cycles in 512 chips) and phase ``φ`` is ``cos(2π k·c / 512 + φ)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from safety.watermark.pixel.pattern import PERIOD, WAVES, Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = 4
STARTS = 6
ROUNDS = 8


@dataclass(frozen=True)
class WaveSums:
    """What each wave of a pattern sums to over 4 × 4 blocks of a picture, for one guess of ``A``.

    ``sums`` (16, 16) complex, the wave's own phase taken off and weighted to unit noise; ``x`` and ``y`` (16,) the
    blocks' centres in samples.
    """

    sums: NDArray[np.complex64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def turned(self, pattern: Pattern) -> WaveSums:
        """The same for the guess ``-A``: a picture upside down has the same spectrum."""
        turn = np.exp(-2j * pattern.phases).astype(np.complex64)
        return WaveSums(np.conj(self.sums) * turn, self.x, self.y)


@dataclass(frozen=True)
class Place:
    """Where a picture lies: ``matrix`` A (2, 2), ``shift`` t (2,), and how many standard deviations speak for it."""

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    score: float


def wave_sums(
    white: NDArray[np.float32], matrix: NDArray[np.float64], pattern: Pattern, noise: NDArray[np.float64] | float
) -> WaveSums:
    """Sums every wave over the blocks of a white picture; ``noise`` is the deviation of a whole sum's real part."""
    rows, columns = white.shape
    frequencies = pattern.frequencies @ matrix / PERIOD
    along = np.exp(-2j * np.pi * np.outer(np.arange(columns), frequencies[:, 0])).astype(np.complex64)
    down = np.exp(-2j * np.pi * np.outer(np.arange(rows), frequencies[:, 1])).astype(np.complex64)
    left, top = (np.linspace(0, side, BLOCKS + 1).astype(int) for side in (columns, rows))
    sums = np.empty((BLOCKS, BLOCKS, WAVES), dtype=np.complex64)
    for block in range(BLOCKS):
        part = slice(left[block], left[block + 1])
        lines = white[:, part] @ along[part].real + 1j * (white[:, part] @ along[part].imag)
        sums[:, block] = np.add.reduceat(lines * down, top[:-1], axis=0)
    x, y = np.meshgrid((left[:-1] + left[1:] - 1) / 2, (top[:-1] + top[1:] - 1) / 2)
    weights = (np.exp(-1j * pattern.phases) / noise).astype(np.complex64)
    return WaveSums(sums.reshape(-1, WAVES) * weights, x.ravel(), y.ravel())


def agreement(sums: NDArray[np.complex64], pattern: Pattern) -> NDArray[np.float32]:
    """(512, 512): at each whole shift of the plane, in standard deviations, how well (16,) sums agree with it."""
    spectrum = np.zeros((PERIOD, PERIOD), dtype=np.complex64)
    column, row = pattern.frequencies[:, 0], pattern.frequencies[:, 1]
    spectrum[row % PERIOD, column % PERIOD] += np.conj(sums) / 2
    spectrum[-row % PERIOD, -column % PERIOD] += sums / 2
    scale = np.float32(PERIOD * PERIOD / np.sqrt(WAVES))
    summed = np.fft.irfft2(spectrum[:, : PERIOD // 2 + 1], s=(PERIOD, PERIOD)).astype(np.float32, copy=False)
    return summed * scale


def places(waves: WaveSums, matrix: NDArray[np.float64], pattern: Pattern) -> list[Place]:
    """The likeliest places for a guess of ``A``, best first, each refined by the blocks' phases."""
    whole = agreement(waves.sums.sum(axis=0), pattern)
    peaks = np.flatnonzero((whole == cv2.dilate(whole, np.ones((5, 5), np.uint8))).ravel())
    if len(peaks) > STARTS:
        peaks = peaks[np.argpartition(-whole.ravel()[peaks], STARTS)[:STARTS]]
    shifts = np.stack([peaks % PERIOD, peaks // PERIOD], axis=1).astype(np.float64)
    return sorted(_refined(waves, matrix, shifts, pattern), key=lambda place: -place.score)


def _refined(
    waves: WaveSums, matrix: NDArray[np.float64], shifts: NDArray[np.float64], pattern: Pattern
) -> list[Place]:
    """From each start to the nearest maximum of the blocks' agreement over ``A`` and ``t``, by Levenberg–Marquardt."""
    centre = np.array([waves.x.mean(), waves.y.mean()])
    reach = np.maximum(np.array([np.ptp(waves.x), np.ptp(waves.y)]), 1.0) / 2
    # Parameters: six, three for each axis of the plane: along x, along y, and at the centre.
    base = np.stack([(waves.x - centre[0]) / reach[0], (waves.y - centre[1]) / reach[1], np.ones_like(waves.x)], axis=1)
    turns = 2 * np.pi / PERIOD * np.einsum("bi,wa->bwai", base, pattern.frequencies).reshape(-1, 6)
    squares = (turns[:, :, None] * turns[:, None, :]).reshape(len(turns), 36)
    values = waves.sums.ravel().astype(np.complex128)
    # Never singular, not even for a picture of one colour.
    floor = (0.15 * np.abs(values) + 1e-9) @ squares
    guess = np.zeros((len(shifts), 6))
    guess[:, 2], guess[:, 5] = shifts.T
    damping = np.full(len(shifts), 1e-2)
    aligned = values * np.exp(-1j * guess @ turns.T)
    best = aligned.real.sum(axis=1)
    for _ in range(ROUNDS):
        slope = aligned.imag @ turns
        bend = (np.maximum(aligned.real, 0) @ squares + floor).reshape(-1, 6, 6)
        bend += damping[:, None, None] * bend * np.eye(6)
        trial = guess + np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
        trial_aligned = values * np.exp(-1j * trial @ turns.T)
        reached = trial_aligned.real.sum(axis=1)
        better = reached > best
        damping = np.where(better, damping * 0.3, damping * 10)
        guess = np.where(better[:, None], trial, guess)
        aligned = np.where(better[:, None], trial_aligned, aligned)
        best = np.maximum(best, reached)
    found = []
    for parameters, score in zip(guess, best, strict=True):
        change = np.stack([parameters[0:2], parameters[3:5]]) / reach
        shift = parameters[[2, 5]] - change @ centre
        found.append(Place(matrix + change, shift, float(score / np.sqrt(WAVES))))
    return found
