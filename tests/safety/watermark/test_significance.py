from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.watermark.significance import SMALLEST, log_tail, p_value


@given(st.integers(1, 400), st.data())
@settings(max_examples=60, deadline=None)
def test_the_tail_is_the_exact_binomial_sum(positions: int, data: st.DataObject) -> None:
    agreeing = data.draw(st.integers(0, positions))
    exact = Fraction(sum(math.comb(positions, k) for k in range(agreeing, positions + 1)), 2**positions)
    assert log_tail(agreeing, positions) == pytest.approx(math.log(exact), abs=1e-8)


def test_the_p_value_counts_every_payload_and_every_reading() -> None:
    tail = Fraction(sum(math.comb(1024, k) for k in range(750, 1025)), 2**1024)
    assert p_value(750, 1024, 13) == pytest.approx(float(tail * 2**64 * 13), rel=1e-6)


def test_chance_agreement_is_never_significant() -> None:
    assert p_value(512, 1024, 13) == 1.0
    assert p_value(640, 1024, 13) == 1.0


def test_a_perfect_reading_has_the_smallest_p_value_not_zero() -> None:
    assert p_value(4096, 4096, 13) == SMALLEST


def test_a_third_of_the_bits_may_be_wrong_in_a_256_pixel_picture() -> None:
    assert p_value(1024 * 69 // 100, 1024, 13) < 1e-9 < p_value(1024 * 66 // 100, 1024, 13)
