"""A tail-biting convolutional code of rate 1/2: 64 bits in 128, decoded softly, with nothing spent on ending.

Constraint length 9, generators 561 and 753 (octal). The encoder starts in the state it will end in, so the code has no
weak ends; the decoder goes round the trellis until start and end agree (wrap-around Viterbi; Shao, Lin and Fossorier,
2003).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from safety.watermark.payload import PAYLOAD_BITS, check_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY = 8
STATES = 1 << MEMORY
GENERATORS = (0o561, 0o753)
CODED_BITS = PAYLOAD_BITS * len(GENERATORS)
ROUNDS = 4


def encode(number: int) -> NDArray[np.uint8]:
    """The (128,) coded bits of a 64-bit payload, two for each input bit, most significant bit first."""
    check_payload(number)
    # Before the first bit the register holds the last ones, the very last on top.
    window = int(f"{number & STATES - 1:0{MEMORY}b}"[::-1], 2)
    coded = np.empty(CODED_BITS, dtype=np.uint8)
    for step in range(PAYLOAD_BITS):
        window = (number >> PAYLOAD_BITS - 1 - step & 1) << MEMORY | window
        for output, generator in enumerate(GENERATORS):
            coded[step * len(GENERATORS) + output] = (window & generator).bit_count() & 1
        window >>= 1
    return coded


def decode(soft: NDArray[np.float64]) -> int:
    """The payload of the likeliest codeword that was found; ``soft`` is (128,), positive for 1.

    There is always one: whether it was ever written is for its p-value to say.
    """
    predecessors, signs = _trellis()
    branches = np.einsum("snk,tk->tsn", signs, soft.reshape(PAYLOAD_BITS, len(GENERATORS)))
    metric = np.zeros(STATES)
    choices = np.empty((PAYLOAD_BITS, STATES), dtype=np.uint8)
    found = []
    for _ in range(ROUNDS):
        for step in range(PAYLOAD_BITS):
            reached = metric[predecessors] + branches[step]
            choices[step] = reached[:, 1] > reached[:, 0]
            metric = reached.max(axis=1)
        end = int(np.argmax(metric))
        start, number = _traced(end, choices, predecessors)
        found.append(number)
        if start == end:
            break
    return max(found, key=lambda number: float(soft @ (2.0 * encode(number) - 1.0)))


def _traced(end: int, choices: NDArray[np.uint8], predecessors: NDArray[np.int64]) -> tuple[int, int]:
    """Back along the survivor that ends in a state: the state it began in, and its message."""
    state, number = end, 0
    for step in range(PAYLOAD_BITS - 1, -1, -1):
        number |= (state >> MEMORY - 1) << PAYLOAD_BITS - 1 - step
        state = int(predecessors[state, choices[step, state]])
    return state, number


@cache
def _trellis() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # A state is the last eight input bits, newest on top; its two predecessors differ in the bit that falls out.
    windows = np.arange(STATES)[:, None] << 1 | np.arange(2)
    outputs = np.stack([np.bitwise_count(windows & generator) & 1 for generator in GENERATORS], axis=2)
    return windows & STATES - 1, 2.0 * outputs - 1.0
