"""What a key decides: which coded bit each position carries, and which positions are inverted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from safety.errors import WatermarkError
from safety.watermark.code import CODED_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

PUBLIC_KEY = b"prov public watermark key v1"


@dataclass(frozen=True)
class Layout:
    """``coded``: (n,) index of the coded bit at each position; ``mask``: (n,) 0 or 1, added modulo 2."""

    coded: NDArray[np.int64]
    mask: NDArray[np.uint8]

    def spread(self, codeword: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The bit for each position."""
        return codeword[self.coded] ^ self.mask

    def gather(self, soft: NDArray[np.float64]) -> NDArray[np.float64]:
        """The (258,) sums of what all positions say about each coded bit."""
        signed = soft * (1.0 - 2.0 * self.mask)
        return np.bincount(self.coded, weights=signed, minlength=CODED_BITS).astype(np.float64)


def checked_key(key: bytes | None) -> bytes:
    """The key, or the public one for None; raises WatermarkError for what is no key."""
    if key is None:
        return PUBLIC_KEY
    if not isinstance(key, bytes) or not key:
        raise WatermarkError("the watermark key is empty or not bytes", expected="at least one byte, or None")
    return key


@lru_cache(maxsize=8)
def layout(key: bytes | None, positions: int) -> Layout:
    """The layout of a key (None: the public one) for a number of positions.

    Every coded bit gets ``positions // 258`` places or one more, spread over the picture by a keyed
    permutation. The mask is a SHAKE-256 stream: to whoever does not know the key, the bits are coin tosses.
    """
    key = checked_key(key)
    words = np.frombuffer(_stream(key, b"order", positions, 8 * positions), dtype=">u8")
    order = np.argsort(words, kind="stable")
    coded = np.empty(positions, dtype=np.int64)
    coded[order] = np.arange(positions) % CODED_BITS
    bits = np.frombuffer(_stream(key, b"mask", positions, (positions + 7) // 8), dtype=np.uint8)
    return Layout(coded, np.unpackbits(bits)[:positions])


def _stream(key: bytes, purpose: bytes, positions: int, length: int) -> bytes:
    head = b"urn:prov:watermark:v2\0" + purpose + b"\0" + positions.to_bytes(8, "big")
    return hashlib.shake_256(head + key).digest(length)
