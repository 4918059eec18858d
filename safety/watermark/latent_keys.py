"""What a key decides in the latent layer: who carries which coded bit, every image's mask, and the payload's disguise.

Nothing repeats from image to image. Masks differ by nonce, and before coding the payload goes through a permutation
of 64-bit numbers, so two images that happen to share a nonce carry unrelated codewords and uncorrelated noise.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from safety.errors import WatermarkError
from safety.watermark.code import CODED_BITS, encode
from safety.watermark.keys import checked_key
from safety.watermark.payload import PAYLOAD_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOMAIN = b"urn:prov:latent-watermark:v1\0"
NONCE_BITS = 16
NONCES = 1 << NONCE_BITS
FEWEST, MOST = 4096, 1 << 22
HALF_BITS = PAYLOAD_BITS // 2
HALF = (1 << HALF_BITS) - 1
FEISTEL_ROUNDS = 4
BLOCK_BYTES = 64


@dataclass(frozen=True)
class LatentLayout:
    """Where the coded bits lie in one shape of latents under one key.

    ``slots`` is (CODED_BITS, S) of positions in the flattened latents, S a multiple of 8, -1 where a bit has no
    further copy. Bit j (most significant first) of byte b of a coded bit's mask belongs to slot 8b + j.
    """

    key: bytes
    shape: tuple[int, int, int]
    slots: NDArray[np.int64]

    @property
    def mask_bytes(self) -> int:
        """How many bytes one image's mask has."""
        return self.slots.size // 8

    def masks(self, first: int, count: int) -> NDArray[np.uint8]:
        """(count, CODED_BITS, S / 8) mask bytes of the nonces from ``first`` on: consecutive ChaCha20 blocks."""
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

        blocks = -(-self.mask_bytes // BLOCK_BYTES)
        counter = (first * blocks).to_bytes(4, "little") + bytes(12)
        stream_key = digest(self.key, b"mask", _shape_bytes(self.shape), length=32)
        stream = (
            Cipher(ChaCha20(stream_key, counter), mode=None).encryptor().update(bytes(count * blocks * BLOCK_BYTES))
        )
        rows = np.frombuffer(stream, dtype=np.uint8).reshape(count, blocks * BLOCK_BYTES)
        return rows[:, : self.mask_bytes].reshape(count, len(self.slots), -1)

    def signs(self, payload: int, nonce: int) -> NDArray[np.float32]:
        """The (n,) signs, +1 or -1, that a payload and a nonce give the flattened latents."""
        codeword = encode(disguise(payload, self.key, nonce))
        bits = np.unpackbits(self.masks(nonce, 1)[0], axis=1) ^ codeword[:, None]
        return self.scatter(bits * np.float32(2) - np.float32(1))

    def scatter(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(CODED_BITS, S) values put at their positions, (n,)."""
        flat = np.empty(math.prod(self.shape), dtype=np.float32)
        used = self.slots >= 0
        flat[self.slots[used]] = values[used]
        return flat

    def gather(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) values laid out by coded bit, (CODED_BITS, S), zero where there is no copy."""
        return np.where(self.slots >= 0, flat[self.slots], np.float32(0))


@lru_cache(maxsize=8)
def latent_layout(key: bytes | None, shape: tuple[int, int, int]) -> LatentLayout:
    """The layout of a key (None: the public one) for latents of shape (C, h, w).

    A keyed permutation deals the positions out to the coded bits in turn. Raises WatermarkError for a key that is not
    one, and for fewer than 4,096 or more than 2^22 values.
    """
    key, size = checked_key(key), math.prod(checked_shape(shape))
    words = np.frombuffer(digest(key, b"order", _shape_bytes(shape), length=8 * size), dtype=">u8")
    order = np.argsort(words, kind="stable")
    copies = -(-size // CODED_BITS)
    slots = np.full((CODED_BITS, -(-copies // 8) * 8), -1, dtype=np.int64)
    turn = np.arange(size)
    slots[turn % CODED_BITS, turn // CODED_BITS] = order
    return LatentLayout(key, shape, slots)


def checked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, if it is (C, h, w) and can carry a payload; raises WatermarkError."""
    whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
    if not whole or len(shape) != 3 or not FEWEST <= math.prod(shape) <= MOST:
        raise WatermarkError(
            "latents of this shape carry no watermark",
            expected=f"(channels, height, width) with {FEWEST} to {MOST} values",
            found=repr(shape)[:100],
            fix="draw a larger picture",
        )
    return shape


def carries_mark(shape: tuple[int, ...]) -> bool:
    """Whether latents of a shape have room for a payload that can be told from chance."""
    return len(shape) == 3 and FEWEST <= math.prod(shape) <= MOST


def checked_nonce(nonce: int) -> int:
    """The nonce, if it has 16 bits; raises WatermarkError."""
    if type(nonce) is not int or not 0 <= nonce < NONCES:
        raise WatermarkError("the nonce is out of range", expected=f"0 to {NONCES - 1}", found=repr(nonce)[:100])
    return nonce


def image_nonce(payload: int, seed: int, key: bytes | None = None) -> int:
    """The nonce of an image that is drawn from a seed: pseudo-random, and the same whenever all three are."""
    data = payload.to_bytes(8, "big") + str(seed).encode()
    return int.from_bytes(digest(checked_key(key), b"nonce", data, length=2), "big")


def disguise(payload: int, key: bytes, nonce: int) -> int:
    """A keyed permutation of 64-bit numbers, another for every nonce: a Feistel network of four rounds."""
    left, right = payload >> HALF_BITS, payload & HALF
    for turn in range(FEISTEL_ROUNDS):
        left, right = right, left ^ _round(key, nonce, turn, right)
    return left << HALF_BITS | right


def reveal(number: int, key: bytes, nonce: int) -> int:
    """The payload whose disguise this is."""
    left, right = number >> HALF_BITS, number & HALF
    for turn in reversed(range(FEISTEL_ROUNDS)):
        left, right = right ^ _round(key, nonce, turn, left), left
    return left << HALF_BITS | right


def digest(key: bytes, purpose: bytes, data: bytes, *, length: int) -> bytes:
    """SHAKE-256 of the domain, a purpose, the lengths of key and data, and both."""
    sizes = len(key).to_bytes(4, "big") + len(data).to_bytes(4, "big")
    return hashlib.shake_256(DOMAIN + purpose + b"\0" + sizes + key + data).digest(length)


def _round(key: bytes, nonce: int, turn: int, half: int) -> int:
    data = nonce.to_bytes(2, "big") + bytes([turn]) + half.to_bytes(4, "big")
    return int.from_bytes(digest(key, b"disguise", data, length=4), "big")


def _shape_bytes(shape: tuple[int, ...]) -> bytes:
    return b"".join(side.to_bytes(4, "big") for side in shape)
