from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.watermark.code import CODED_BITS, CRC_POLYNOMIAL, crc12, decode, encode, signs

NUMBERS = st.integers(0, 2**64 - 1)


def test_the_crc_is_the_remainder_of_the_payload_times_x_to_the_twelfth() -> None:
    generator = 1 << 12 | CRC_POLYNOMIAL
    for number in (0, 1, 0x123456789ABCDEF0, 2**64 - 1):
        rest = number << 12
        while rest.bit_length() > 12:
            rest ^= generator << rest.bit_length() - 13
        assert crc12(number) == rest ^ 0xFFF


@given(NUMBERS)
@settings(max_examples=30, deadline=None)
def test_a_codeword_decodes_to_its_payload(number: int) -> None:
    assert decode(encode(number) * 2.0 - 1.0) == number
    assert decode(signs(number).astype(np.float64)) == number


@given(NUMBERS, st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_any_twelve_wrong_bits_are_corrected(number: int, seed: int) -> None:
    soft = encode(number) * 2.0 - 1.0
    soft[np.random.default_rng(seed).choice(CODED_BITS, 12, replace=False)] *= -1
    assert decode(soft) == number


@given(NUMBERS, st.integers(0, 75))
@settings(max_examples=30, deadline=None)
def test_a_message_turned_by_whole_steps_gives_the_codeword_turned(number: int, turn: int) -> None:
    # Tail biting: the code has no beginning.
    from safety.watermark import code

    message = number << 12 | crc12(number)
    turned = (message << turn | message >> 76 - turn) & (1 << 76) - 1
    assert np.array_equal(code.encoded(turned), np.roll(encode(number), -4 * turn))


@given(NUMBERS, NUMBERS)
@settings(max_examples=30, deadline=None)
def test_the_code_is_affine(first: int, second: int) -> None:
    assert not (encode(first) ^ encode(second) ^ encode(first ^ second) ^ encode(0)).any()


def test_two_payloads_differ_in_at_least_29_bits() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        number = int(rng.integers(0, 2**63))
        other = number ^ 1 << int(rng.integers(64))
        assert np.count_nonzero(encode(number) != encode(other)) >= 29


def test_at_two_decibels_nine_in_ten_are_read_and_hardly_one_wrongly() -> None:
    rng = np.random.default_rng(3)
    energy = 2 * 64 * 10**0.2
    right = wrong = 0
    for _ in range(60):
        number = int(rng.integers(0, 2**63))
        read = decode(signs(number) * np.sqrt(energy / CODED_BITS) + rng.normal(size=CODED_BITS))
        right += read == number
        wrong += read is not None and read != number
    assert right >= 54
    assert wrong == 0


def test_noise_is_seldom_taken_for_a_payload() -> None:
    rng = np.random.default_rng(2)
    assert sum(decode(rng.normal(size=CODED_BITS)) is not None for _ in range(200)) <= 4


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, np.inf, np.nan])
def test_constant_input_decodes_to_nothing_or_a_payload_without_failing(level: float) -> None:
    decode(np.full(CODED_BITS, level))
