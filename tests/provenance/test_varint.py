"""Varints: the multiformats examples, every value there and back, and every form refused but the shortest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import FormatError
from provenance.varint import LIMIT, decode_varint, encode_varint

# https://github.com/multiformats/unsigned-varint
EXAMPLES = {
    1: "01",
    127: "7f",
    128: "8001",
    255: "ff01",
    300: "ac02",
    16384: "808001",
    LIMIT - 1: "ffffffffffffffff7f",
}


@pytest.mark.parametrize(("value", "text"), EXAMPLES.items())
def test_specification_examples_hold(value: int, text: str) -> None:
    assert encode_varint(value).hex() == text
    assert decode_varint(bytes.fromhex(text)) == (value, len(text) // 2)


@given(st.integers(0, LIMIT - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_every_value_comes_back(value: int, before: bytes, after: bytes) -> None:
    encoded = encode_varint(value)
    assert decode_varint(before + encoded + after, len(before)) == (value, len(before) + len(encoded))


@given(st.binary(max_size=12))
def test_bytes_are_refused_or_are_the_shortest_form(data: bytes) -> None:
    try:
        value, end = decode_varint(data)
    except FormatError:
        return
    assert encode_varint(value) == data[:end]


@pytest.mark.parametrize("value", [-1, LIMIT])
def test_values_out_of_range_are_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="63-bit"):
        encode_varint(value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cut off"),
        ("80", "cut off"),
        ("8000", "padded"),
        ("818000", "padded"),
        ("ffffffffffffffffff01", "too long"),
        ("80808080808080808001", "too long"),
    ],
)
def test_other_forms_are_refused(text: str, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        decode_varint(bytes.fromhex(text))
