"""Moments as our files write them: RFC 3339 in UTC, to the second, like ``2026-01-31T12:00:00Z``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from provenance.errors import FormatError

FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def utc_now() -> datetime:
    """The present moment, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def format_moment(moment: datetime) -> str:
    """A moment as text."""
    return moment.astimezone(UTC).strftime(FORMAT)


def parse_moment(text: Any, what: str) -> datetime:
    """Reads a moment back; only the one spelling is taken; raises FormatError."""
    try:
        moment = datetime.strptime(text, FORMAT).replace(tzinfo=UTC)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{what} has a malformed date", expected="like 2026-01-31T12:00:00Z") from error
    if format_moment(moment) != text:
        raise FormatError(f"{what} has a malformed date", expected="like 2026-01-31T12:00:00Z", found=text)
    return moment
