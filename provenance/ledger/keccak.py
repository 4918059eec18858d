"""Keccak-256, the hash of Ethereum (not SHA3-256, which pads differently): Keccak reference 3.0, FIPS 202.

Importing the compiled one takes longer than hashing a header and a few proofs without it, which is all that a licence
check does; so the first blocks are hashed here, and pycryptodome is imported once there are many.
"""

from __future__ import annotations

from collections.abc import Callable

RATE = 136
"""Bytes taken in by one permutation."""
FEW = 256
"""Permutations in a process before the compiled implementation is worth its import: a quarter of a millisecond each."""
MASK = (1 << 64) - 1

_hash: Callable[[bytes], bytes] | None = None
_done = 0


def keccak(data: bytes) -> bytes:
    """The 32 bytes of Keccak-256."""
    global _hash, _done
    if _hash is None:
        _done += len(data) // RATE + 1
        if _done <= FEW:
            return keccak_in_python(data)
        _hash = _compiled()
    return _hash(data)


def keccak_in_python(data: bytes) -> bytes:
    """The same, slowly and without importing anything."""
    state = [0] * 25
    padded = bytearray(data + bytes(RATE - len(data) % RATE))
    padded[len(data)] |= 0x01
    padded[-1] |= 0x80
    for start in range(0, len(padded), RATE):
        for lane in range(RATE // 8):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def _permute(state: list[int]) -> None:
    for constant in ROUND_CONSTANTS:
        # θ: each lane takes in the parity of two columns.
        parity = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        mixed = [parity[x - 1] ^ (parity[x - 4] << 1 | parity[x - 4] >> 63) & MASK for x in range(5)]
        # ρ and π: each lane is rotated and moved.
        moved = [0] * 25
        for source, target, shift in MOVES:
            lane = state[source] ^ mixed[source % 5]
            moved[target] = (lane << shift | lane >> 64 - shift) & MASK
        # χ: rows are combined, the one step that is not linear.
        for y in range(0, 25, 5):
            a, b, c, d, e = moved[y : y + 5]
            state[y : y + 5] = a ^ (~b & c), b ^ (~c & d), c ^ (~d & e), d ^ (~e & a), e ^ (~a & b)
        # ι
        state[0] ^= constant


def _moves() -> tuple[tuple[int, int, int], ...]:
    """Where ρ and π take each lane from and to, and by how many bits it is rotated."""
    moves = [(0, 0, 0)]
    x, y = 1, 0
    for step in range(24):
        target = y, (2 * x + 3 * y) % 5
        moves.append((x + 5 * y, target[0] + 5 * target[1], (step + 1) * (step + 2) // 2 % 64))
        x, y = target
    return tuple(moves)


def _round_constants() -> tuple[int, ...]:
    """The bits of a linear feedback shift register over x^8 + x^6 + x^5 + x^4 + 1, seven to a round."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << (1 << power) - 1
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _compiled() -> Callable[[bytes], bytes]:
    from Crypto.Hash.keccak import new

    return lambda data: bytes(new(digest_bits=256, data=data).digest())


MOVES = _moves()
ROUND_CONSTANTS = _round_constants()
