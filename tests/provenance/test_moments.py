from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import FormatError
from provenance.moments import format_moment, parse_moment


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)))
def test_moment_survives_a_round_trip(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert parse_moment(format_moment(moment), "a") == moment


def test_other_time_zones_are_written_in_utc() -> None:
    zone = timezone(timedelta(hours=2))
    assert format_moment(datetime(2026, 1, 31, 12, 0, tzinfo=zone)) == "2026-01-31T10:00:00Z"


@pytest.mark.parametrize(
    "text", ["", "2026-01-31", "2026-1-31T12:00:00Z", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", None, 5]
)
def test_other_spellings_are_refused(text: object) -> None:
    with pytest.raises(FormatError, match="malformed date"):
        parse_moment(text, "a")
