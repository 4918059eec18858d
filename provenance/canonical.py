"""Canonical JSON (RFC 8785 for the values we write: no floats beyond repr) and strict parsing of untrusted JSON."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from provenance.errors import FormatError

Json = dict[str, Any]

MAX_NESTING = 100
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def canonical_json(value: Any) -> bytes:
    """Serialises to UTF-8 JSON with sorted keys and no spaces; the same value gives the same bytes everywhere."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """The lower-case hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def parse_json(data: bytes, what: str, *, limit: int = 64 * 1024 * 1024) -> Any:
    """Parses untrusted JSON; raises FormatError.

    UTF-8 only, no duplicate keys, no NaN, at most ``limit`` bytes and 100 levels of nesting.
    """
    if len(data) > limit:
        raise FormatError(f"{what} is too large", expected=f"at most {limit} bytes", found=f"{len(data)} bytes")
    if _is_nested_too_deeply(data):
        raise FormatError(f"{what} is nested too deeply", expected=f"at most {MAX_NESTING} levels")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not valid JSON", found=str(error)) from error


def _is_nested_too_deeply(data: bytes) -> bool:
    # Not left to the interpreter: libraries for Ethereum raise its recursion limit until the C stack overflows first.
    if data.count(b"[") + data.count(b"{") <= MAX_NESTING:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub(b"", data)):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > MAX_NESTING:
            return True
    return False


def _unique_keys(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object names the same key twice")
    if any(isinstance(v, float) and not math.isfinite(v) for v in result.values()):
        raise ValueError("a number is out of range")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
