"""Error correction: CRC-12 and a tail-biting convolutional code of rate 1/4 and memory 10, list-decoded softly.

``304 = (64 payload + 12 CRC) × 4`` coded bits. Generators 2327, 2353, 2671, 3175 (octal). Tail biting means that the
encoder starts in the state in which it will end, so no bits are spent on leading it back to zero. The decoder is the
wrap-around Viterbi algorithm (Shao, Lin and Fossorier 2003); besides the likeliest codeword it looks at those that
leave its path once, and takes the likeliest whose CRC is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from safety.watermark.payload import PAYLOAD_BITS, check_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

CRC_BITS = 12
CRC_POLYNOMIAL = 0x80F
MEMORY = 10
GENERATORS = (0o2327, 0o2353, 0o2671, 0o3175)
STEPS = PAYLOAD_BITS + CRC_BITS
CODED_BITS = STEPS * len(GENERATORS)
STATES = 1 << MEMORY
ROUNDS = 2
ENDS = 4
CANDIDATES = 8


def crc12(number: int) -> int:
    """CRC-12 over the payload's 64 bits: polynomial 0x80F, initial value 0, final exclusive-or 0xFFF."""
    register = number << CRC_BITS
    for bit in range(PAYLOAD_BITS + CRC_BITS - 1, CRC_BITS - 1, -1):
        if register >> bit & 1:
            register ^= (1 << CRC_BITS | CRC_POLYNOMIAL) << bit - CRC_BITS
    return register ^ (1 << CRC_BITS) - 1


def encode(number: int) -> NDArray[np.uint8]:
    """The (304,) coded bits of a 64-bit payload, four for each message bit, most significant bit first."""
    check_payload(number)
    return encoded(number << CRC_BITS | crc12(number))


def encoded(message: int) -> NDArray[np.uint8]:
    """The (304,) coded bits of a 76-bit message."""
    window = _reversed(message & STATES - 1, MEMORY)
    coded = np.empty(CODED_BITS, dtype=np.uint8)
    for step in range(STEPS):
        window = (message >> STEPS - 1 - step & 1) << MEMORY | window
        for output, generator in enumerate(GENERATORS):
            coded[step * len(GENERATORS) + output] = (window & generator).bit_count() & 1
        window >>= 1
    return coded


def signs(number: int) -> NDArray[np.float32]:
    """The (304,) coded bits as +1 for 1 and -1 for 0."""
    return encode(number) * np.float32(2) - np.float32(1)


def decode(soft: NDArray[np.float64]) -> int | None:
    """The likeliest payload whose CRC is right, or None.

    ``soft`` is (304,): positive means 1, and the size is the confidence. A payload from here is a candidate, not a
    decision: about 1 in 500 random inputs gives one. What is not finite is not read.
    """
    return decode_all(soft[None])[0]


def decode_all(soft: NDArray[np.float64]) -> list[int | None]:
    """What ``decode`` says of each row of (n, 304), in less time than one by one."""
    readable = np.asarray(np.isfinite(soft).all(axis=1))
    clean = np.where(readable[:, None], soft, 0).astype(np.float32)
    survivors = _survivors(clean.reshape(len(soft), STEPS, len(GENERATORS)))
    return [_decoded(survivors.of(row)) if readable[row] else None for row in range(len(soft))]


@dataclass(frozen=True)
class _Survivors:
    """The last round's: (n, STEPS, STATES) choices and what each gained, start states, and (n, STATES) metrics."""

    choices: NDArray[np.bool_]
    margins: NDArray[np.float32]
    starts: NDArray[np.int32]
    metric: NDArray[np.float32]

    def of(self, row: int) -> _Survivors:
        """Those of one row."""
        return _Survivors(self.choices[row], self.margins[row], self.starts[row], self.metric[row])


def _survivors(soft: NDArray[np.float32]) -> _Survivors:
    outputs, corners = _trellis()
    count = len(soft)
    branches = (soft @ corners.T)[:, :, outputs]
    metric = np.zeros((count, STATES), dtype=np.float32)
    choices = np.empty((count, STEPS, STATES), dtype=np.bool_)
    margins = np.empty((count, STEPS, STATES), dtype=np.float32)
    starts = np.empty((count, STEPS + 1, STATES), dtype=np.int32)
    starts[:, 0] = np.arange(STATES, dtype=np.int32)
    for last in (False,) * (ROUNDS - 1) + (True,):
        before = metric
        for step in range(STEPS):
            first, second = (_predecessors(metric, oldest) + branches[:, step, :, oldest] for oldest in (0, 1))
            metric = np.maximum(first, second)
            if last:
                margins[:, step] = np.abs(second - first)
                choices[:, step] = second > first
                origins = (_predecessors(starts[:, step], oldest) for oldest in (1, 0))
                starts[:, step + 1] = np.where(choices[:, step], *origins)
    return _Survivors(choices, margins, starts, metric - np.take_along_axis(before, starts[:, STEPS], axis=1))


def _predecessors(values: NDArray[Any], oldest: int) -> NDArray[Any]:
    """(n, STATES): for each state the value of its predecessor, 2t + ``oldest`` modulo STATES for state t."""
    half = values[:, oldest::2]
    return np.concatenate([half, half], axis=1)


def _decoded(survivors: _Survivors) -> int | None:
    for _, end, deviation in _candidates(survivors)[:CANDIDATES]:
        message = _trace(survivors, end, deviation)
        number, check = message >> CRC_BITS, message & (1 << CRC_BITS) - 1
        if crc12(number) == check:
            return number
    return None


def _candidates(survivors: _Survivors) -> list[tuple[float, int, int]]:
    """(metric, end state, step at which it leaves the survivor, or -1), best first, tail-biting ones only."""
    ends = np.flatnonzero(survivors.starts[STEPS] == np.arange(STATES))
    best = ends[np.argsort(-survivors.metric[ends])[:ENDS]]
    found = []
    for end in best.tolist():
        metric = float(survivors.metric[end])
        found.append((metric, end, -1))
        states = _path(survivors, end)
        steps = np.arange(STEPS)
        others = (2 * states + 1 - survivors.choices[steps, states]) % STATES
        returning = np.flatnonzero(survivors.starts[steps, others] == end)
        losses = survivors.margins[returning, states[returning]].tolist()
        found += [(metric - loss, end, step) for loss, step in zip(losses, returning.tolist(), strict=True)]
    return sorted(found, key=lambda candidate: -candidate[0])


def _path(survivors: _Survivors, end: int) -> NDArray[np.int64]:
    """(STEPS,): the state after each step of the survivor that ends in ``end``."""
    states = np.empty(STEPS, dtype=np.int64)
    choices, state = survivors.choices, end
    for step in range(STEPS - 1, -1, -1):
        states[step] = state
        state = (2 * state + int(choices[step, state])) % STATES
    return states


def _trace(survivors: _Survivors, end: int, deviation: int) -> int:
    state, message = end, 0
    for step in range(STEPS - 1, -1, -1):
        message |= (state >> MEMORY - 1) << STEPS - 1 - step
        chosen = int(survivors.choices[step, state]) ^ (step == deviation)
        state = (2 * state + chosen) % STATES
    return message


def _reversed(bits: int, length: int) -> int:
    return int(f"{bits:0{length}b}"[::-1], 2)


@cache
def _trellis() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which of the 16 outputs each branch (STATES, 2) gives, and the signs (16, 4) of each output."""
    count = len(GENERATORS)
    outputs = np.empty((STATES, 2), dtype=np.int64)
    for state in range(STATES):
        for oldest in range(2):
            window = state << 1 | oldest
            outputs[state, oldest] = sum(((window & g).bit_count() & 1) << k for k, g in enumerate(GENERATORS))
    corners = np.array([[2 * (o >> k & 1) - 1 for k in range(count)] for o in range(1 << count)], dtype=np.float32)
    return outputs, corners
