"""A tail-biting convolutional code of rate 1/2: 64 bits in 128, decoded softly, with nothing spent on ending.

Constraint length 9, generators 561 and 753 (octal), free distance 12. The encoder starts in the state it ends in, so
the code has no weak ends; the decoder tries the possible ends, likeliest first, until no other can be likelier.
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
ENDS_AT_ONCE = 16


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
    """The payload of the likeliest codeword; ``soft`` is (128,), positive for 1.

    There is always one: whether it was ever written is for its p-value to say.
    """
    _, signs = _trellis()
    branches = np.einsum("snk,tk->tsn", signs, soft.reshape(PAYLOAD_BITS, len(GENERATORS)))
    # A path from any start is at least as likely as one that starts where it ends.
    bounds = _walk(np.zeros((1, STATES)), branches)[0][0]
    ends = np.argsort(-bounds)
    best, payload = -np.inf, 0
    for first in range(0, STATES, ENDS_AT_ONCE):
        if best >= bounds[ends[first]]:
            break
        some = ends[first : first + ENDS_AT_ONCE]
        metrics = np.full((len(some), STATES), -np.inf)
        metrics[np.arange(len(some)), some] = 0.0
        metrics, choices = _walk(metrics, branches)
        closed = metrics[np.arange(len(some)), some]
        likeliest = int(np.argmax(closed))
        if closed[likeliest] > best:
            best = float(closed[likeliest])
            payload = _traced(int(some[likeliest]), choices[:, likeliest])
    return payload


def _walk(metrics: NDArray[np.float64], branches: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Once through the trellis from (n, 256) metrics: those at the end, and (64, n, 256) which way each state came."""
    predecessors, _ = _trellis()
    choices = np.empty((PAYLOAD_BITS, *metrics.shape), dtype=np.uint8)
    for step in range(PAYLOAD_BITS):
        reached = metrics[:, predecessors] + branches[step]
        choices[step] = reached[..., 1] > reached[..., 0]
        metrics = reached.max(axis=2)
    return metrics, choices


def _traced(end: int, choices: NDArray[np.uint8]) -> int:
    """Back along the survivor that ends in a state: its message."""
    predecessors, _ = _trellis()
    state, number = end, 0
    for step in range(PAYLOAD_BITS - 1, -1, -1):
        number |= (state >> MEMORY - 1) << PAYLOAD_BITS - 1 - step
        state = int(predecessors[state, choices[step, state]])
    return number


@cache
def _trellis() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # A state is the last eight input bits, newest on top; its two predecessors differ in the bit that falls out.
    windows = np.arange(STATES)[:, None] << 1 | np.arange(2)
    outputs = np.stack([np.bitwise_count(windows & generator) & 1 for generator in GENERATORS], axis=2)
    return windows & STATES - 1, 2.0 * outputs - 1.0
