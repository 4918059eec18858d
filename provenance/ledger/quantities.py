"""Money and times as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from provenance.errors import UsageError
from provenance.ledger.licences import NATIVE, NEVER

UNITS = {"wei": 0, "gwei": 9, "ether": 18}
AMOUNT = re.compile(r"(\d{1,30})(?:\.(\d{1,18}))?(?:\s*(wei|gwei|ether|eth))?", re.ASCII)
DAY = 24 * 3600
MAX_PRICE = 2**96 - 1


def parse_wei(text: str) -> int:
    """Wei from ``"0.01 ether"``, ``"5 gwei"`` or a bare number of wei; raises UsageError."""
    match = AMOUNT.fullmatch(text.strip())
    unit = match[3] if match else None
    places = UNITS["ether" if unit == "eth" else unit or "wei"]
    if match is None or len(match[2] or "") > places:
        raise UsageError(f"{text!r} is not an amount", expected='like "0.01 ether", "5 gwei" or a whole number of wei')
    wei = int(match[1] + (match[2] or "").ljust(places, "0"))
    if wei > MAX_PRICE:
        raise UsageError(f"{text!r} is more than the ledger can hold", expected=f"at most {MAX_PRICE} wei")
    return wei


def format_wei(wei: int) -> str:
    """An amount in the largest unit that keeps it short and exact."""
    if wei < 10**9:
        return f"{wei} wei"
    unit = "ether" if wei >= 10**14 else "gwei"
    whole, rest = divmod(wei, 10 ** UNITS[unit])
    return f"{whole}.{rest:0{UNITS[unit]}d}".rstrip("0").rstrip(".") + f" {unit}"


def format_date(timestamp: int) -> str:
    """A time of the chain in UTC, to the second; ``never`` for NEVER."""
    if timestamp >= NEVER:
        return "never"
    try:
        return datetime.fromtimestamp(timestamp, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{timestamp} s after 1970"


def format_duration(seconds: int) -> str:
    """A licence's duration in days when it is whole days."""
    if seconds >= NEVER:
        return "without end"
    if seconds % DAY:
        return f"{seconds} s"
    return "1 day" if seconds == DAY else f"{seconds // DAY} days"


def duration_of_days(days: float | None) -> int:
    """Seconds from days; None is NEVER; raises UsageError."""
    if days is None:
        return NEVER
    seconds = int(days * DAY) if 0 < days < 10**9 else 0
    if seconds < 1:
        raise UsageError(f"{days} days is not a duration", expected="more than 0")
    return seconds


def currency_name(currency: str) -> str:
    """What to call a currency in a sentence."""
    return "the chain's own money" if currency.lower() == NATIVE else f"the token {currency.lower()}"


def format_money(amount: int, currency: str) -> str:
    """An amount in the chain's own money, or in the smallest unit of a token."""
    return format_wei(amount) if currency == NATIVE else f"{amount} units of {currency}"
