"""Writing the pattern: where on the plane the picture lies is chosen by the picture, and so is the strength."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from safety.watermark.code import signs
from safety.watermark.pixel.chips import STRIP, Residual, banded, folded, luma, residual, to_chips
from safety.watermark.pixel.pattern import PERIOD, WAVES, Pattern
from safety.watermark.pixel.perception import lifted, visibility_gain
from safety.watermark.pixel.waves import agreement

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAVE_SHARE = 0.33
WAVE_WEIGHT = 0.4
# What a reader should see, in deviations: of the bits and of the waves in the picture as it is, and of the bits when
# it is made half as large and saved as JPEG 50. The unmarked picture at the shift chosen gives the first few of them.
READ, FIND, READ_SMALL = 31.0, 15.5, 18.0
UNMARKED_BITS, UNMARKED_WAVES = 3.5, 1.75
SMALL_QUALITY = 50
# PSNR in dB between which the strength is chosen, and that of the trial it is chosen by.
FAINTEST, LOUDEST, TRIAL = 43.6, 37.4, 42.0
# The mark's deviation where the picture is flat, in levels: more would show.
FLAT_LEVELS = 1.2


@dataclass(frozen=True)
class Placed:
    """A codeword's signs (304,) on a key's plane, from chip (x, y) on."""

    code: NDArray[np.float32]
    pattern: Pattern
    x: int
    y: int


@dataclass(frozen=True)
class Margins:
    """How far above noise a reader of the right place would be: of the bits, and of the waves, in deviations."""

    bits: float
    waves: float


def mark(pixels: NDArray[np.uint8], payload: int, pattern: Pattern, strength: float) -> NDArray[np.uint8]:
    """A marked copy of an (H, W, 3) uint8 picture; ``strength`` multiplies the amplitude that is chosen for it."""
    chips = to_chips(luma(pixels))
    placed = best_place(residual(_small(chips)), signs(payload), pattern)
    shape = visibility_gain(chips) * drawn(placed, *_size(chips))
    return _laid(pixels, np.float32(strength * _amplitude(chips, shape, placed)) * shape)


def best_place(own: Residual, code: NDArray[np.float32], pattern: Pattern) -> Placed:
    """The place on the plane where an unmarked picture already looks most like the mark.

    A reader finds the place by the waves, so every shift is free to choose; the best of 2^18 adds about four
    deviations to what a reader sees. Seen through a JPEG of half the size, where they count most.
    """
    band = np.zeros((PERIOD, PERIOD), dtype=np.float32)
    once = folded(own.band)
    band[: once.shape[0], : once.shape[1]] = once
    plane = np.fft.rfft2(pattern.signs * code[pattern.bits])
    bits = np.fft.irfft2(plane * np.conj(np.fft.rfft2(band)), s=band.shape) / np.float32(own.band_norm + 1e-9)
    waves = agreement(_sums(own, pattern, 0, 0), pattern)
    y, x = np.unravel_index(int((bits + np.float32(WAVE_WEIGHT) * waves).argmax()), bits.shape)
    return Placed(code, pattern, int(x), int(y))


def drawn(placed: Placed, rows: int, columns: int) -> NDArray[np.float32]:
    """(rows, columns) of the pattern, of mean square one."""
    chip_signs, bits = placed.pattern.chips(rows, columns, placed.x, placed.y)
    data = banded(chip_signs * placed.code[bits]) / _band_gain()
    along, down = _turns(placed.pattern, rows, columns, placed.x, placed.y)
    down = down * np.exp(1j * placed.pattern.phases).astype(np.complex64)
    waves = (down.real @ along.real.T - down.imag @ along.imag.T) * np.float32(np.sqrt(2 / WAVES))
    whole: NDArray[np.float32] = np.float32(np.sqrt(WAVE_SHARE)) * waves + np.float32(np.sqrt(1 - WAVE_SHARE)) * data
    return whole


def margins(own: Residual, placed: Placed) -> Margins:
    """What a reader sees who knows the place and the payload."""
    chip_signs, bits = placed.pattern.chips(*_size(own.band), placed.x, placed.y)
    read = float(np.vdot(own.band, chip_signs * placed.code[bits])) / (own.band_norm + 1e-9)
    waves = _sums(own, placed.pattern, placed.x, placed.y).real.sum() / np.sqrt(WAVES)
    return Margins(read, float(waves))


def _sums(own: Residual, pattern: Pattern, x: int, y: int) -> NDArray[np.complex64]:
    """(16,): what each wave sums to, its phase at chip (x, y) taken off, over the noise of the sum's real part."""
    along, down = _turns(pattern, *_size(own.white), x, y)
    lines = own.white @ along.real - 1j * (own.white @ along.imag)
    total = np.einsum("rw,rw->w", lines, np.conj(down)) * np.exp(-1j * pattern.phases)
    sums: NDArray[np.complex64] = (total / (own.white_norm / np.sqrt(2) + 1e-9)).astype(np.complex64)
    return sums


def _turns(
    pattern: Pattern, rows: int, columns: int, x: int, y: int
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """(columns, 16) and (rows, 16): each wave's turning along x and along y, whose product is the wave."""
    turn = 2j * np.pi / PERIOD * pattern.frequencies
    along = np.exp(np.outer(np.arange(columns) + x, turn[:, 0])).astype(np.complex64)
    return along, np.exp(np.outer(np.arange(rows) + y, turn[:, 1])).astype(np.complex64)


def _amplitude(chips: NDArray[np.float32], shape: NDArray[np.float32], placed: Placed) -> float:
    """The least amplitude at which the mark reads well as it is, and also at half the size after JPEG 50."""
    root = float(np.sqrt(np.mean(np.square(shape))))
    loudest, faintest, trial = (255 / 10 ** (decibels / 20) / root for decibels in (LOUDEST, FAINTEST, TRIAL))
    marked = chips + np.float32(trial) * shape
    plain, small = (margins(residual(seen), placed) for seen in (marked, _small(marked)))
    wanted = max(
        _reaching(READ, UNMARKED_BITS, plain.bits),
        _reaching(FIND, UNMARKED_WAVES, plain.waves),
        _reaching(READ_SMALL, UNMARKED_BITS, small.bits),
    )
    return min(float(np.clip(trial * wanted, faintest, loudest)), FLAT_LEVELS)


def _reaching(wanted: float, without: float, at_trial: float) -> float:
    """The multiple of the trial amplitude at which a margin is reached, taking it as linear."""
    gained = at_trial - without
    return (wanted - without) / gained if gained > 0 else np.inf


def _small(chips: NDArray[np.float32]) -> NDArray[np.float32]:
    """The chips after JPEG: where a chip is two pixels they are the picture at half its size."""
    levels = np.clip(np.rint(chips), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, SMALL_QUALITY])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    return decoded.astype(np.float32)


def _laid(pixels: NDArray[np.uint8], change: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    marked = np.empty_like(pixels)
    for top in range(0, height, STRIP):
        strip = slice(top, min(top + STRIP, height))
        marked[strip] = lifted(pixels[strip], _enlarged(change, strip, height, width))
    return marked


def _enlarged(change: NDArray[np.float32], strip: slice, height: int, width: int) -> NDArray[np.float32]:
    """Rows ``strip`` of the change at the picture's own size, bicubic."""
    across, down = change.shape[1] / width, change.shape[0] / height
    mapping = np.array([[across, 0, across / 2 - 0.5], [0, down, down * (strip.start + 0.5) - 0.5]])
    method = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    enlarged: NDArray[np.float32] = cv2.warpAffine(
        change, mapping, (width, strip.stop - strip.start), flags=method, borderMode=cv2.BORDER_REPLICATE
    )
    return enlarged


def _size(plane: NDArray[np.float32]) -> tuple[int, int]:
    rows, columns = plane.shape
    return rows, columns


@cache
def _band_gain() -> np.float32:
    impulse = np.zeros((65, 65), dtype=np.float32)
    impulse[32, 32] = 1
    return np.float32(np.sqrt(np.sum(np.square(banded(impulse)))))
