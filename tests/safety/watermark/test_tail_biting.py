from __future__ import annotations

import numpy as np
import pytest

from safety.errors import WatermarkError
from safety.watermark.tail_biting import CODED_BITS, decode, encode

RNG = np.random.default_rng(5)
PAYLOADS = [0, 1, 2**64 - 1, *(int(number) for number in RNG.integers(0, 2**64, 20, dtype=np.uint64))]


def signed(payload: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 2.0 * encode(payload) - 1.0


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_codeword_decodes_to_its_payload(payload: int) -> None:
    assert decode(signed(payload)) == payload


@pytest.mark.parametrize("payload", PAYLOADS[3:])
def test_five_wrong_bits_anywhere_are_put_right(payload: int) -> None:
    soft = signed(payload)
    soft[RNG.choice(CODED_BITS, 5, replace=False)] *= -1
    assert decode(soft) == payload


def test_codewords_of_few_input_bits_are_twelve_apart_or_more() -> None:
    few = [
        1 << i | 1 << j | 1 << k | 1 << m for i in range(12) for j in range(i + 1) for k in range(j + 1) for m in (0, k)
    ]
    assert min(int(encode(payload).sum()) for payload in few) >= 12


def test_no_other_codeword_is_likelier_than_the_one_found() -> None:
    for _ in range(30):
        soft = signed(PAYLOADS[4]) + RNG.normal(0, 1.3, CODED_BITS)
        found = decode(soft)
        assert soft @ signed(found) >= soft @ signed(PAYLOADS[4])
        near = [found ^ 1 << place for place in range(64)]
        assert all(soft @ signed(found) >= soft @ signed(other) for other in near)


def test_turning_the_payload_turns_the_codeword() -> None:
    payload = PAYLOADS[5]
    turned = (payload << 1 | payload >> 63) & 2**64 - 1
    np.testing.assert_array_equal(encode(turned), np.roll(encode(payload), -2))


def test_doubtful_bits_weigh_less_than_sure_ones() -> None:
    payload = PAYLOADS[6]
    soft = signed(payload)
    soft[:16] *= -0.05
    assert decode(soft) == payload


def test_more_than_64_bits_are_refused() -> None:
    with pytest.raises(WatermarkError, match="64-bit"):
        encode(1 << 64)
