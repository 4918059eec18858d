"""Randomness that nobody can repeat: who is drawn and what noise is added when a training is differentially private.

The published seed of a training would undo its privacy: who knows the noise can take it away again. So these draws come
from 256 bits of the system's randomness that live in this process alone and are never written down. Every draw has a
key of its own, HMAC-SHA256 of (step, purpose), for the key stream of AES-256 in counter mode.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import torch

KEY_BYTES = 32
_BITS = 53


class Secret:
    """A key that cannot be printed, copied or pickled by accident; ``key`` is for tests, and fresh without it."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None = None) -> None:
        self._key = os.urandom(KEY_BYTES) if key is None else key

    def __repr__(self) -> str:
        return "Secret()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret stays in the process that drew it")

    def seed(self, step: int, purpose: str) -> int:
        """63 bits for a generator that needs a seed, such as that of dropout."""
        return int.from_bytes(self._stream(step, purpose, 8), "little") >> 1

    def chances(self, step: int, purpose: str, count: int) -> torch.Tensor:
        """``(count,) float64``, uniform in [0, 1), multiples of 2^-53."""
        drawn: torch.Tensor = self._integers(step, purpose, count).double() * 2.0**-_BITS
        return drawn

    def normals(self, step: int, purpose: str, count: int, device: str = "cpu") -> torch.Tensor:
        """``(count,) float64`` on a device, standard normal.

        Each is half the sum of four normal numbers (Box and Muller's), so that the gaps between floating-point numbers
        do not tell which of them noise was added to (arXiv:2107.10138, section 5.1).
        """
        import torch

        # Apple's accelerator has no float64.
        place = "cpu" if device == "mps" else device
        bits = self._integers(step, purpose, 4 * count).to(place).view(4, count)
        # In (0, 1], so that the logarithm is finite.
        chances = (bits + 1).double() * 2.0**-_BITS
        lengths, angles = (-2 * chances[:2].log()).sqrt(), 2 * torch.pi * chances[2:]
        drawn: torch.Tensor = (lengths * (angles.cos() + angles.sin())).sum(0) / 2
        return drawn

    def _integers(self, step: int, purpose: str, count: int) -> torch.Tensor:
        """``(count,) int64``, uniform in [0, 2^53)."""
        import torch

        raw = torch.frombuffer(bytearray(self._stream(step, purpose, 8 * count)), dtype=torch.int64)
        drawn: torch.Tensor = (raw >> (64 - _BITS)) & (2**_BITS - 1)
        return drawn

    def _stream(self, step: int, purpose: str, count: int) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        key = hmac.digest(self._key, f"{step}/{purpose}".encode(), hashlib.sha256)
        return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(count))
