"""Finding how a picture was turned, scaled, stretched and mirrored, from the spectrum of what is in it.

Each wave is a peak in the power spectrum, too weak to be seen by itself. Where the 16 peaks must lie under a linear
map is known, so every map of a family is scored by the sum of the power there: similarity maps on a log-polar
spectrum, where turning and scaling are shifts, and stretched ones by the same after stretching the waves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np

from safety.watermark.pixel.chips import CHIP_PIXELS, evened
from safety.watermark.pixel.pattern import PERIOD, Pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray

TURNS = 450
LEVELS = 64
SCALE_STEP = 0.008
SMALLEST, LARGEST = 0.33, 3.0
NYQUIST = 0.48
FEWEST = 6
LOUDEST_PEAK = 15.0
DETAIL, NEIGHBOURHOOD, FLATTEST = 3.0, 6.0, 0.7
TAPER = 0.08
SURROUNDINGS = 41
FRAME = 1024
STEPS = (2.6, 1.6, 0.9, 0.5, 0.25)


@dataclass(frozen=True)
class Spectrum:
    """The power spectrum of a picture, every place over the mean around it.

    ``white`` (rows, columns) float32 is the picture that it is of; ``power`` (N, N/2 + 1) has zero frequency at
    ``(N/2, 0)``.
    """

    white: NDArray[np.float32]
    power: NDArray[np.float32]

    @property
    def size(self) -> int:
        """N."""
        return int(self.power.shape[0])

    def at(self, frequencies: NDArray[np.float64]) -> NDArray[np.float32]:
        """The power at (..., 2) frequencies in cycles a sample, 1 where there is none to see."""
        folded = frequencies * np.where(frequencies[..., :1] < 0, -self.size, self.size)
        x, y = folded.reshape(-1, 2).T.astype(np.float32)
        power = _sampled(self.power, x[None], y[None] + np.float32(self.size // 2)).reshape(folded.shape[:-1])
        return np.where(np.abs(frequencies).max(axis=-1) < NYQUIST, power, np.float32(1))


@dataclass(frozen=True)
class Candidate:
    """A linear map (chips a sample) and the power found where it puts the waves."""

    matrix: NDArray[np.float64]
    power: float


def spectrum(grey: NDArray[np.float32]) -> Spectrum:
    """The spectrum of a picture of at most 1024 samples a side."""
    white = evened(grey, DETAIL, NEIGHBOURHOOD, FLATTEST)
    white *= _taper(white.shape[0])[:, None] * _taper(white.shape[1])[None, :]
    size = FRAME
    framed = np.zeros((size, size), dtype=np.float32)
    framed[: white.shape[0], : white.shape[1]] = white
    power = np.square(np.abs(np.fft.fftshift(np.fft.rfft2(framed), axes=0)))
    around = _surroundings(power)
    around = _surroundings(np.minimum(power, 4 * around))
    return Spectrum(white, power / (around + np.float32(1e-4) * around.mean() + np.float32(1e-9)))


def similarities(seen: Spectrum, pattern: Pattern, stretches: NDArray[np.float64], count: int) -> list[Candidate]:
    """The best maps that turn, scale and mirror after one of the (n, 2, 2) ``stretches``."""
    polar = _log_polar(seen)
    found = []
    for stretch in stretches:
        for mirror in (1.0, -1.0):
            linear = stretch @ np.diag([mirror, 1.0])
            scores = _scores(polar, _waves(pattern) @ np.linalg.inv(linear))
            found += _best(scores, linear, count if len(stretches) == 1 else 1)
    found.sort(key=lambda candidate: -candidate.power)
    return found[:count]


def refined(seen: Spectrum, candidate: Candidate, pattern: Pattern) -> Candidate:
    """The map nearby that has the most power under its waves, to about a tenth of a spectral line."""
    frequencies = pattern.frequencies / PERIOD
    reach = seen.size * float(np.sqrt(np.mean(np.sum(frequencies**2, axis=1))))
    matrix, power = candidate.matrix, candidate.power
    for step in STEPS:
        trials = matrix + _nudges() * (step / reach)
        powers = np.minimum(seen.at(frequencies @ trials), 20).sum(axis=1)
        best = int(powers.argmax())
        matrix, power = trials[best], float(powers[best])
    return Candidate(matrix, power)


def _waves(pattern: Pattern) -> NDArray[np.float64]:
    """(16, 2) frequencies in cycles a pixel of an unchanged picture of at most 1024 pixels."""
    waves: NDArray[np.float64] = pattern.frequencies / (PERIOD * CHIP_PIXELS)
    return waves


def _scores(polar: NDArray[np.uint16], waves: NDArray[np.float64]) -> NDArray[np.float32]:
    """(turns, scales): the sum of the waves' power, over the root of how many are in sight."""
    scales, rings = int(np.log(LARGEST / SMALLEST) / SCALE_STEP) + 1, polar.shape[1]
    total = np.zeros((TURNS, scales), dtype=np.uint16)
    seen = np.zeros(scales, dtype=np.uint16)
    for x, y in waves:
        turn = round((np.arctan2(y, x) / np.pi + 0.5) % 1 * TURNS) % TURNS
        ring = round((np.log(np.hypot(x, y) / SMALLEST) - np.log(_slowest())) / SCALE_STEP)
        # The rings run inwards, as a wave does when the picture grows.
        shift = rings - 1 - ring
        low, high = max(0, -shift), min(scales, rings - shift)
        if low < high:
            total[:, low:high] += polar[turn : turn + TURNS, low + shift : high + shift]
            seen[low:high] += 1
    scores: NDArray[np.float32] = total - np.float32(LEVELS) * seen
    scores /= np.sqrt(np.maximum(seen, np.float32(FEWEST)))
    return scores


def _best(scores: NDArray[np.float32], linear: NDArray[np.float64], count: int) -> list[Candidate]:
    if count == 1:
        peaks = scores.reshape(1, -1).argmax(axis=1)
    else:
        peaks = np.flatnonzero((scores == cv2.dilate(scores, np.ones((9, 9), np.uint8))).ravel())
    if len(peaks) > count:
        peaks = peaks[np.argpartition(-scores.ravel()[peaks], count)[:count]]
    found = []
    for peak in peaks.tolist():
        turn, scale = divmod(peak, scores.shape[1])
        angle, size = np.pi * turn / TURNS, SMALLEST * np.exp(scale * SCALE_STEP)
        # The spectrum of a turned picture is turned with it; of an enlarged one it is smaller.
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.linalg.inv(linear) @ turned.T / (size * CHIP_PIXELS)
        found.append(Candidate(matrix, float(scores[turn, scale])))
    return found


def _log_polar(seen: Spectrum) -> NDArray[np.uint16]:
    """(2 turns, rings): power by direction, half a turn and the same again, and by frequency, the fastest first.

    In steps of 1/64, which whole numbers add up faster.
    """
    power = np.minimum(_sampled(seen.power, *_polar_map(seen.size)), LOUDEST_PEAK)
    levels = np.rint(power * np.float32(LEVELS)).astype(np.uint16)[:, ::-1]
    return np.concatenate([levels, levels])


def _sampled(power: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    sampled: NDArray[np.float32] = cv2.remap(
        power, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0
    )
    return sampled


@lru_cache(maxsize=2)
def _polar_map(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rings = int(np.log(0.49 / _slowest()) / SCALE_STEP) + 1
    angles = np.pi * (np.arange(TURNS) / TURNS - 0.5)
    radii = size * _slowest() * np.exp(np.arange(rings) * SCALE_STEP)
    across, down = np.outer(np.cos(angles), radii), np.outer(np.sin(angles), radii) + size // 2
    return across.astype(np.float32), down.astype(np.float32)


def _slowest() -> float:
    return 0.1 / CHIP_PIXELS / LARGEST / 1.35


def _surroundings(power: NDArray[np.float32]) -> NDArray[np.float32]:
    pad = SURROUNDINGS // 2
    wrapped = np.concatenate([power[-pad:], power, power[:pad]])
    smooth: NDArray[np.float32] = cv2.blur(wrapped, (SURROUNDINGS, SURROUNDINGS), borderType=cv2.BORDER_REFLECT)
    return smooth[pad:-pad]


@lru_cache(maxsize=8)
def _taper(length: int) -> NDArray[np.float32]:
    edge = max(2, int(length * TAPER))
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)).astype(np.float32)
    window = np.ones(length, dtype=np.float32)
    window[:edge] *= rise
    window[-edge:] *= rise[::-1]
    return window


@lru_cache(maxsize=1)
def _nudges() -> NDArray[np.float64]:
    return np.array(list(product((-1.0, 0.0, 1.0), repeat=4))).reshape(-1, 2, 2)
