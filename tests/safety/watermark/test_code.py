from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.watermark.code import CODED_BITS, crc16, decode, encode

NUMBERS = st.integers(0, 2**64 - 1)


def test_the_crc_is_the_published_check_value_for_its_class() -> None:
    # CRC-16/IBM-3740 of "123456789" is 0x29B1; ours takes eight bytes, so "12345678" by the same definition.
    assert crc16(int.from_bytes(b"12345678", "big")) == 0xA12B


@given(NUMBERS)
@settings(max_examples=50, deadline=None)
def test_a_codeword_decodes_to_its_payload(number: int) -> None:
    assert decode(encode(number) * 2.0 - 1.0) == number


@given(NUMBERS, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_any_seven_wrong_bits_are_corrected(number: int, seed: int) -> None:
    soft = encode(number) * 2.0 - 1.0
    soft[np.random.default_rng(seed).choice(CODED_BITS, 7, replace=False)] *= -1
    assert decode(soft) == number


@given(NUMBERS, NUMBERS)
@settings(max_examples=50, deadline=None)
def test_the_code_is_linear_over_payloads_with_the_same_crc_class(first: int, second: int) -> None:
    # CRC with a nonzero start is affine, and so is the code: a ^ b ^ c ^ (a^b^c) is zero.
    third = first ^ second
    assert not (encode(first) ^ encode(second) ^ encode(third) ^ encode(0)).any()


def test_two_payloads_differ_in_at_least_fifteen_bits() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        number = int(rng.integers(0, 2**63))
        other = number ^ 1 << int(rng.integers(64))
        assert np.count_nonzero(encode(number) != encode(other)) >= 15


def test_noise_passes_the_crc_about_once_in_65536() -> None:
    rng = np.random.default_rng(2)
    assert sum(decode(rng.normal(size=CODED_BITS)) is not None for _ in range(300)) <= 1


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_constant_input_decodes_to_nothing_or_a_payload_without_failing(level: float) -> None:
    decode(np.full(CODED_BITS, level))
