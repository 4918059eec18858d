"""Unsigned LEB128 integers as multiformats and protobuf write them, refused unless they are the shortest form."""

from __future__ import annotations

from provenance.errors import FormatError

LIMIT = 2**63
"""Values stay below this: nine bytes, the limit of the multiformats unsigned-varint specification."""


def encode_varint(value: int) -> bytes:
    """The bytes of an integer in 0..2^63-1, least significant seven bits first; raises ValueError."""
    if not 0 <= value < LIMIT:
        raise ValueError(f"{value} is not an unsigned 63-bit integer")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Reads one integer and gives it with the offset after it; raises FormatError when cut, too long or padded."""
    value = 0
    for position in range(9):
        if offset + position >= len(data):
            raise FormatError("a varint is cut off", found=data[offset:].hex() or "no bytes")
        byte = data[offset + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            if byte == 0 and position:
                raise FormatError(
                    "a varint is padded",
                    expected="the shortest form",
                    found=data[offset : offset + position + 1].hex(),
                )
            return value, offset + position + 1
    raise FormatError("a varint is too long", expected="at most nine bytes", found=data[offset : offset + 10].hex())
