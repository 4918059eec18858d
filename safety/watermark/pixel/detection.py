"""Detection: the picture as it is first, then turned, scaled and mirrored ones, then stretched and sheared ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from safety.watermark.pixel.chips import residual, resized, to_chips
from safety.watermark.pixel.pattern import PERIOD, Pattern
from safety.watermark.pixel.reading import Reading, read, straightened
from safety.watermark.pixel.search import Candidate, Spectrum, refined, similarities, spectrum
from safety.watermark.pixel.waves import Place, places, wave_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEARCH_SIDE = 640
LONGEST = 1024
CANDIDATES, KEPT = 24, 6
AS_IT_IS = 3
# In standard deviations of the waves' agreement.
WORTH_READING, WORTH_READING_AT_ONCE = 6.3, 9.0
CLEAR, DOUBTFUL = 8, 16
SAME = 0.5
EACH = 2
SETTLED = 0.12
RINGS, RING = 7, 0.04


@dataclass(frozen=True)
class Found:
    """The best reading and where the picture was found to lie: chips of the plane for a pixel of the picture."""

    reading: Reading
    place: Place


def search(grey: NDArray[np.float32], pattern: Pattern, threshold: float) -> Found | None:
    """The first reading whose p-value is below ``threshold``, else the best there is, else None."""
    best: Found | None = None
    for found in _readings(grey, pattern):
        if best is None or found.reading.p_value < best.reading.p_value:
            best = found
        if best.reading.p_value < threshold:
            break
    return best


def _readings(grey: NDArray[np.float32], pattern: Pattern) -> Iterator[Found]:
    yield from _as_it_is(grey, pattern)
    view = _searched(grey)
    doubtful: list[Place] = []
    for stretches, kept in ((_UNSTRETCHED, KEPT), (_stretches(), 2 * KEPT)):
        here = _distinct(_candidates(view, pattern, stretches, kept), grey.shape)
        clear = [place for place in here if place.score > WORTH_READING_AT_ONCE][:CLEAR]
        for place in clear:
            yield from _read_at(grey, place, pattern)
        doubtful += here[len(clear) :]
    # Chance alone gives places of six and seven deviations too: these are read when nothing better was found.
    for place in _distinct(doubtful, grey.shape)[:DOUBTFUL]:
        yield from _read_at(grey, place, pattern)


def _distinct(found: Iterable[Place], shape: tuple[int, ...]) -> list[Place]:
    """Those worth reading, the best first, and of those that put the picture on the same chips only the best."""
    corners = np.array([[0, 0], [shape[1], 0], [0, shape[0]]])
    kept: list[NDArray[np.float64]] = []
    best = []
    for place in sorted(found, key=lambda place: -place.score):
        laid = corners @ place.matrix.T + place.shift
        if place.score > WORTH_READING and all(np.abs(laid - other).max() > SAME for other in kept):
            kept.append(laid)
            best.append(place)
    return best


def _as_it_is(grey: NDArray[np.float32], pattern: Pattern) -> Iterator[Found]:
    chips = to_chips(grey)
    own = residual(chips)
    waves = wave_sums(own.white, np.eye(2), pattern, max(own.white_norm, 1e-9) / np.sqrt(2))
    ratio = np.array([chips.shape[1] / grey.shape[1], chips.shape[0] / grey.shape[0]])
    for place in places(waves, np.eye(2), pattern)[:AS_IT_IS]:
        if place.score < WORTH_READING:
            break
        in_pixels = _resampled(place, ratio)
        whole = np.rint(place.shift).astype(int)
        if _is_settled(place, whole, chips.shape):
            reading = read(own, int(whole[0]), int(whole[1]), pattern)
            if reading is not None:
                yield Found(reading, in_pixels)
        else:
            yield from _read_at(grey, in_pixels, pattern)


def _is_settled(place: Place, whole: NDArray[np.int64], shape: tuple[int, ...]) -> bool:
    """Whether the picture lies so nearly on whole chips that it can be read without resampling."""
    corners = np.array([[0, 0], [shape[1], 0], [0, shape[0]], [shape[1], shape[0]]])
    off = corners @ (place.matrix - np.eye(2)).T + place.shift - whole
    return float(np.abs(off).max()) < SETTLED


@dataclass(frozen=True)
class _View:
    """The spectrum of a picture made small: ``scale`` (2,) samples for a pixel, its window starting at ``origin``."""

    seen: Spectrum
    scale: NDArray[np.float64]
    origin: NDArray[np.float64]


def _searched(grey: NDArray[np.float32]) -> _View:
    height, width = grey.shape
    shrink = min(1.0, SEARCH_SIDE / min(height, width))
    rows, columns = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = grey if shrink == 1.0 else resized(grey, rows, columns)
    top, left = max(0, rows - LONGEST) // 2, max(0, columns - LONGEST) // 2
    window = small[top : top + LONGEST, left : left + LONGEST]
    scale = np.array([columns / width, rows / height])
    return _View(spectrum(window), scale, np.array([left, top], dtype=np.float64))


def _candidates(view: _View, pattern: Pattern, stretches: NDArray[np.float64], kept: int) -> Iterator[Place]:
    """The likeliest places, for pixels of the picture, under maps that turn and scale after one of the stretches."""
    found = similarities(view.seen, pattern, stretches, 4 * CANDIDATES if len(stretches) > 1 else CANDIDATES)
    best = sorted((refined(view.seen, candidate, pattern) for candidate in found), key=lambda found: -found.power)
    for candidate in best[:kept]:
        for place in _places_at(view.seen, candidate, pattern):
            moved = Place(place.matrix, place.shift - place.matrix @ view.origin, place.score)
            yield _resampled(moved, view.scale)


def _places_at(seen: Spectrum, candidate: Candidate, pattern: Pattern) -> list[Place]:
    matrix = candidate.matrix
    power = seen.at(pattern.frequencies @ matrix / PERIOD)
    waves = wave_sums(seen.white, matrix, pattern, 1.0)
    # A sum's own size over what the spectrum says it stands above its surroundings is the noise at that place.
    noise = np.abs(waves.sums.sum(axis=0)) / np.sqrt(2 * np.clip(power, 1e-3, 20))
    waves = replace(waves, sums=waves.sums / np.maximum(noise, 1e-9).astype(np.float32))
    return places(waves, matrix, pattern)[:EACH] + places(waves.turned(pattern), -matrix, pattern)[:EACH]


def _read_at(grey: NDArray[np.float32], place: Place, pattern: Pattern) -> Iterator[Found]:
    laid = straightened(grey, place)
    reading = read(*laid, pattern) if laid is not None else None
    if reading is not None:
        yield Found(reading, place)


def _resampled(place: Place, ratio: NDArray[np.float64]) -> Place:
    """The place for pixels, from the one for samples of which there are ``ratio`` to a pixel along x and y."""
    # The centre of the first pixel is half a pixel in; that of the first sample half a sample.
    matrix = place.matrix * ratio[None, :]
    return Place(matrix, place.shift + place.matrix @ (ratio / 2 - 0.5), place.score)


_UNSTRETCHED = np.eye(2)[None]


@lru_cache(maxsize=1)
def _stretches() -> NDArray[np.float64]:
    """Symmetric stretches of 4 to 32 % along 3 to 22 directions: with a turn and a scale, every linear map near by."""
    made = []
    for ring in range(1, RINGS + 1):
        ratio = np.exp(ring * RING)
        # A stretch along the opposite direction is the same: half a circle of 2π·ring rings holds π·ring of them.
        for direction in np.arange(count := round(np.pi * ring)) * np.pi / count:
            axis = np.array([[np.cos(direction), -np.sin(direction)], [np.sin(direction), np.cos(direction)]])
            made.append(axis @ np.diag([np.sqrt(ratio), 1 / np.sqrt(ratio)]) @ axis.T)
    return np.array(made)
