from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.errors import WatermarkError
from safety.watermark import Payload

PAYLOADS = st.builds(Payload, st.integers(0, 2**8 - 1), st.integers(0, 2**28 - 1), st.integers(0, 2**28 - 1))


@given(PAYLOADS)
def test_unpacking_a_packed_payload_gives_it_back(payload: Payload) -> None:
    assert Payload.unpack(payload.pack()) == payload


@given(st.integers(0, 2**64 - 1))
def test_every_64_bit_number_is_a_payload(number: int) -> None:
    assert Payload.unpack(number).pack() == number
    assert int(Payload.unpack(number).hex, 16) == number


def test_the_namespace_is_on_top_and_the_serial_at_the_bottom() -> None:
    assert Payload(0xAB, 0x1234567, 0x89ABCDE).hex == "ab123456789abcde"


@pytest.mark.parametrize("fields", [(256, 0, 0), (-1, 0, 0), (0, 2**28, 0), (0, 0, 2**28), (0, 0, 1.0), (True, 0, 0)])
def test_a_field_that_does_not_fit_is_refused_by_name(fields: tuple[int, int, int]) -> None:
    with pytest.raises(WatermarkError, match=r"namespace|stream|serial"):
        Payload(*fields)


@pytest.mark.parametrize("number", [-1, 2**64, 1.5, None, "7", True])
def test_a_number_that_is_not_64_bits_is_refused(number: int) -> None:
    with pytest.raises(WatermarkError, match="64-bit"):
        Payload.unpack(number)
