"""What a node's answers are made of: quantities and byte strings in hexadecimal, parsed strictly.

Ethereum JSON-RPC specification, "Hex value encoding".
"""

from __future__ import annotations

import re
from typing import Any

from provenance.errors import FormatError
from provenance.ledger.keccak import keccak

QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})")
DATA = re.compile(r"0x(?:[0-9a-f]{2})*")


def parse_quantity(value: Any, what: str, *, bits: int = 64) -> int:
    """A number below 2**bits from ``0x…`` without leading zeros; raises FormatError."""
    if not isinstance(value, str) or not QUANTITY.fullmatch(value.lower()) or (number := int(value, 16)) >= 2**bits:
        raise FormatError(f"{what} is not a number", expected=f"0x… below 2^{bits}", found=repr(value)[:100])
    return number


def parse_bytes(value: Any, what: str, *, length: int | None = None) -> bytes:
    """Bytes from ``0x…``, of a length if one is given; raises FormatError."""
    if not isinstance(value, str) or not DATA.fullmatch(value.lower()):
        raise FormatError(f"{what} is not bytes", expected="0x and pairs of digits", found=repr(value)[:100])
    data = bytes.fromhex(value[2:])
    if length is not None and len(data) != length:
        raise FormatError(f"{what} has the wrong length", expected=f"{length} bytes", found=f"{len(data)} bytes")
    return data


def checksum(address: str) -> str:
    """An address with the capitals of EIP-55, which some signers insist on."""
    digits = address.removeprefix("0x").lower()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        each.upper() if int(mark, 16) > 7 else each for each, mark in zip(digits, marks, strict=False)
    )
