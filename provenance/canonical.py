"""Canonical JSON (RFC 8785 for the values we write: no floats beyond repr) and strict parsing of untrusted JSON."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from provenance.errors import FormatError

Json = dict[str, Any]


def canonical_json(value: Any) -> bytes:
    """Serialises to UTF-8 JSON with sorted keys and no spaces; the same value gives the same bytes everywhere."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """The lower-case hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def parse_json(data: bytes, what: str, *, limit: int = 64 * 1024 * 1024) -> Any:
    """Parses untrusted JSON: UTF-8 only, no duplicate keys, no NaN, at most ``limit`` bytes; raises FormatError."""
    if len(data) > limit:
        raise FormatError(f"{what} is too large", expected=f"at most {limit} bytes", found=f"{len(data)} bytes")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not valid JSON", found=str(error)) from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object names the same key twice")
    if any(isinstance(v, float) and not math.isfinite(v) for v in result.values()):
        raise ValueError("a number is out of range")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
