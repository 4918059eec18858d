"""Canonical JSON, and the parser of untrusted JSON."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.canonical import MAX_NESTING, canonical_json, parse_json
from provenance.errors import FormatError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
)


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert parse_json(canonical_json(value), "a value") == value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_format_error(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        parse_json(data, "some bytes")


@pytest.mark.parametrize("data", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b'["\\"]",' + b"[" * 1_000_000])
def test_deep_nesting_is_refused_whatever_the_interpreters_limit(data: bytes) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(FormatError, match="nested too deeply"):
            parse_json(data, "a hostile file")
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_in_text_and_wide_lists_are_not_nesting() -> None:
    assert parse_json(canonical_json(["[" * 5000]), "text") == ["[" * 5000]
    assert parse_json(canonical_json([[]] * 5000), "a list") == [[]] * 5000
    nested: Any = []
    for _ in range(MAX_NESTING - 1):
        nested = [nested]
    assert parse_json(canonical_json(nested), "a list") == nested


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b"NaN", "NaN"),
        (b'{"a":1e999}', "out of range"),
        (b"\xff", "utf-8"),
        (b"", "Expecting"),
    ],
)
def test_what_json_leaves_open_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(FormatError) as refusal:
        parse_json(data, "a file")
    assert found in str(refusal.value)


def test_the_size_is_limited() -> None:
    with pytest.raises(FormatError, match="too large"):
        parse_json(b" " * 101, "a file", limit=100)
