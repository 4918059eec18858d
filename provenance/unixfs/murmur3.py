"""The first 64 bits of MurmurHash3 x64-128 with seed 0, by which sharded directories place names.

Not a cryptographic hash: names can be made to collide, so a directory's depth is capped where it is used.
"""

from __future__ import annotations

MASK = 2**64 - 1
C1 = 0x87C37B91114253D5
C2 = 0x4CF5AD432745937F


def murmur3_64(data: bytes) -> bytes:
    """The 8 bytes of the hash's first half, most significant first."""
    h1 = h2 = 0
    whole = len(data) // 16 * 16
    for offset in range(0, whole, 16):
        h1 ^= _mix1(int.from_bytes(data[offset : offset + 8], "little"))
        h1 = (_rotate(h1, 27) + h2) * 5 + 0x52DCE729 & MASK
        h2 ^= _mix2(int.from_bytes(data[offset + 8 : offset + 16], "little"))
        h2 = (_rotate(h2, 31) + h1) * 5 + 0x38495AB5 & MASK
    # A missing half mixes to zero, so the tail needs no case of its own.
    h1 ^= _mix1(int.from_bytes(data[whole : whole + 8], "little"))
    h2 ^= _mix2(int.from_bytes(data[whole + 8 :], "little"))
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = h1 + h2 & MASK
    h2 = h2 + h1 & MASK
    return (_final(h1) + _final(h2) & MASK).to_bytes(8, "big")


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & MASK


def _mix1(half: int) -> int:
    return _rotate(half * C1 & MASK, 31) * C2 & MASK


def _mix2(half: int) -> int:
    return _rotate(half * C2 & MASK, 33) * C1 & MASK


def _final(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & MASK
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33
