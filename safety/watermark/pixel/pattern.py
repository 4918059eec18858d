"""What a key decides: 16 waves by which a picture's geometry is found, and a plane of signs that carries the bits.

The pattern covers the plane in chips and repeats every 512 chips in both directions. A *wave* is a cosine whose
frequency is a whole number of cycles in 512 chips along each axis. The *plane* gives every chip a sign and one of the
304 coded bits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from safety.watermark.code import CODED_BITS
from safety.watermark.keys import checked_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERIOD = 512
WAVES = 16
SLOWEST, FASTEST = 0.10, 0.30


@dataclass(frozen=True)
class Pattern:
    """A key's pattern.

    ``frequencies`` (16, 2) int: cycles in 512 chips along x and y; ``phases`` (16,) radians; ``signs`` (512, 512)
    float32 of ±1; ``bits`` (512, 512) int32: which coded bit each chip carries.
    """

    frequencies: NDArray[np.int64]
    phases: NDArray[np.float64]
    signs: NDArray[np.float32]
    bits: NDArray[np.int32]

    def chips(self, rows: int, columns: int, x: int, y: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The signs and bits of a (rows, columns) window whose first chip is (x, y) of the plane."""
        window = np.ix_((np.arange(rows) + y) % PERIOD, (np.arange(columns) + x) % PERIOD)
        return self.signs[window], self.bits[window]


@lru_cache(maxsize=8)
def pattern(key: bytes | None) -> Pattern:
    """The pattern of a key (None: the public one); raises WatermarkError when it is no key."""
    key = checked_key(key)
    signs, bits = _plane(key, PERIOD)
    frequencies, phases = _waves(_words(key, b"waves", 4 * WAVES).reshape(4, WAVES).astype(np.int64))
    for array in (signs, bits, frequencies, phases):
        array.flags.writeable = False
    return Pattern(frequencies, phases, signs, bits)


def corner(key: bytes, rows: int, columns: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The first rows and columns of a key's plane alone: signs and bits, for trying many keys."""
    signs, bits = _plane(checked_key(key), min(rows, PERIOD))
    return signs[:, :columns], bits[:, :columns]


def _plane(key: bytes, rows: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    words = _words(key, b"chips", rows * PERIOD).reshape(rows, PERIOD)
    signs = np.float32(1) - np.float32(2) * (words >> 15)
    return signs, (words & 0x7FFF).astype(np.int32) * CODED_BITS >> 15


def _waves(words: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # One wave in each of 16 sectors of the half plane and one in each of 16 rings, so that together they pin down
    # every linear map whatever the key.
    angles = np.pi * (np.arange(WAVES) + words[0] / 65536) / WAVES
    rings = np.argsort(words[1], kind="stable")
    radii = SLOWEST + (FASTEST - SLOWEST) * (rings + words[2] / 65536) / WAVES
    frequencies = np.rint(PERIOD * radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return frequencies.astype(np.int64), 2 * np.pi * words[3] / 65536


def _words(key: bytes, purpose: bytes, count: int) -> NDArray[np.uint16]:
    digest = hashlib.shake_256(b"urn:prov:watermark:pixel:1\0" + purpose + b"\0" + key).digest(2 * count)
    return np.frombuffer(digest, dtype=">u2").astype(np.uint16)
