"""Amounts and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import UsageError
from provenance.ledger.licences import NEVER
from provenance.ledger.quantities import (
    MAX_PRICE,
    duration_of_days,
    format_date,
    format_duration,
    format_wei,
    parse_wei,
)


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("0", 0),
        ("5", 5),
        ("5 wei", 5),
        ("5gwei", 5 * 10**9),
        ("0.01 ether", 10**16),
        ("0.000000000000000001 eth", 1),
        (" 1 ether ", 10**18),
    ],
)
def test_amounts_are_read(text: str, wei: int) -> None:
    assert parse_wei(text) == wei


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "1.5 wei", "0.0000000001 gwei", "1e18", "ten", "1 dollar", "٣", str(MAX_PRICE + 1)]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_wei(text)


@given(st.integers(0, MAX_PRICE))
def test_written_amounts_read_back_exactly(wei: int) -> None:
    assert parse_wei(format_wei(wei)) == wei


def test_durations() -> None:
    assert duration_of_days(30) == 30 * 86400
    assert duration_of_days(None) == NEVER
    assert format_duration(NEVER) == "without end"
    assert format_duration(86400) == "1 day"
    for wrong in (0, -1, 1e-9, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            duration_of_days(wrong)


def test_dates() -> None:
    assert format_date(1_800_000_000) == "2027-01-15T08:00:00Z"
    assert format_date(NEVER) == "never"
    assert format_date(NEVER - 1) == f"{NEVER - 1} s after 1970"
