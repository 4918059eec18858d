"""Keccak-256, the hash of Ethereum, from pycryptodome."""

from __future__ import annotations


def keccak(data: bytes) -> bytes:
    """The 32 bytes of Keccak-256 (not SHA3-256, which pads differently)."""
    # Imported late: a tenth of a second for cffi that reading the embedded chain does without.
    from Crypto.Hash.keccak import new

    return new(digest_bits=256, data=data).digest()
