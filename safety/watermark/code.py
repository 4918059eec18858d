"""Error correction: CRC-16 and a rate-1/3 convolutional code of constraint length 7, decoded softly.

``258 = (64 payload + 16 CRC + 6 flush) × 3`` coded bits. Generators 133, 171, 165 (octal), free distance 15.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from safety.watermark.payload import PAYLOAD_BITS, check_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

CRC_BITS = 16
MEMORY = 6
GENERATORS = (0o133, 0o171, 0o165)
STEPS = PAYLOAD_BITS + CRC_BITS + MEMORY
CODED_BITS = STEPS * len(GENERATORS)
STATES = 1 << MEMORY


def crc16(number: int) -> int:
    """CRC-16/IBM-3740 (polynomial 0x1021, initial value 0xFFFF) over the payload's eight big-endian bytes."""
    register = 0xFFFF
    for byte in number.to_bytes(PAYLOAD_BITS // 8, "big"):
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ 0x1021 if register & 0x8000 else register << 1) & 0xFFFF
    return register


def encode(number: int) -> NDArray[np.uint8]:
    """The (258,) coded bits of a 64-bit payload, three for each input bit, most significant bit first."""
    check_payload(number)
    message = (number << CRC_BITS | crc16(number)) << MEMORY
    window = 0
    coded = np.empty(CODED_BITS, dtype=np.uint8)
    for step in range(STEPS):
        window = (message >> STEPS - 1 - step & 1) << MEMORY | window >> 1
        for output, generator in enumerate(GENERATORS):
            coded[step * len(GENERATORS) + output] = (window & generator).bit_count() & 1
    return coded


def decode(soft: NDArray[np.float64]) -> int | None:
    """The payload of the likeliest codeword, or None when its CRC is wrong.

    ``soft`` is (258,): positive means 1, and the size is the confidence. A payload from here is a
    candidate, not a decision: 1 in 65,536 random inputs passes.
    """
    predecessors, signs = _trellis()
    branches = np.einsum("snk,tk->tsn", signs, soft.reshape(STEPS, len(GENERATORS)))
    metric = np.full(STATES, -np.inf)
    metric[0] = 0.0
    choices = np.empty((STEPS, STATES), dtype=np.uint8)
    for step in range(STEPS):
        reached = metric[predecessors] + branches[step]
        choices[step] = reached[:, 1] > reached[:, 0]
        metric = reached.max(axis=1)
    state, message = 0, 0
    for step in range(STEPS - 1, -1, -1):
        message |= (state >> MEMORY - 1) << STEPS - 1 - step
        state = int(predecessors[state, choices[step, state]])
    message >>= MEMORY
    number, check = message >> CRC_BITS, message & (1 << CRC_BITS) - 1
    return number if crc16(number) == check else None


@cache
def _trellis() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # A state is the last six input bits, newest on top; its two predecessors differ in the bit that falls out.
    predecessors = np.empty((STATES, 2), dtype=np.int64)
    signs = np.empty((STATES, 2, len(GENERATORS)))
    for state in range(STATES):
        for oldest in range(2):
            window = state << 1 | oldest
            predecessors[state, oldest] = window & STATES - 1
            signs[state, oldest] = [2.0 * ((window & g).bit_count() & 1) - 1.0 for g in GENERATORS]
    return predecessors, signs
