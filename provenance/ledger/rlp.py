"""Recursive Length Prefix (Ethereum Yellow Paper, appendix B): strict both ways, bytes and lists only."""

from __future__ import annotations

from collections.abc import Sequence

from provenance.errors import FormatError

Item = bytes | list["Item"]

MAX_NESTING = 32


def encode(item: bytes | Sequence[Item]) -> bytes:
    """The one encoding of a byte string or of a list."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefix(len(item), 0x80) + item
    payload = b"".join(encode(each) for each in item)
    return _prefix(len(payload), 0xC0) + payload


def encode_number(value: int) -> bytes:
    """A number as the byte string that RLP wants of it: big-endian without leading zeros; 0 is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """The item that ``data`` encodes in the one canonical way; raises FormatError."""
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise FormatError("RLP data has bytes behind its end", found=f"{len(data) - end} bytes")
    return item


def decode_number(item: Item) -> int:
    """The number of a byte string; raises FormatError for leading zeros or a list."""
    if not isinstance(item, bytes) or item[:1] == b"\0":
        raise FormatError("an RLP item is not a number")
    return int.from_bytes(item, "big")


def _prefix(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = encode_number(length)
    return bytes([base + 55 + len(size)]) + size


def _decode(data: bytes, start: int, limit: int, depth: int) -> tuple[Item, int]:
    if start >= limit or depth > MAX_NESTING:
        raise FormatError("RLP data ends too early or is nested too deeply")
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    base = 0x80 if first < 0xC0 else 0xC0
    begin, end = _extent(data, start, limit, first - base)
    if base == 0xC0:
        items: list[Item] = []
        while begin < end:
            item, begin = _decode(data, begin, end, depth + 1)
            items.append(item)
        return items, end
    if end - begin == 1 and data[begin] < 0x80:
        raise FormatError("RLP data is not canonical")
    return data[begin:end], end


def _extent(data: bytes, start: int, limit: int, length: int) -> tuple[int, int]:
    begin = start + 1
    if length > 55:
        size = length - 55
        raw = data[begin : begin + size]
        begin, length = begin + size, int.from_bytes(raw, "big")
        if begin > limit or raw[:1] == b"\0" or length < 56:
            raise FormatError("RLP data is not canonical")
    if begin + length > limit:
        raise FormatError("RLP data ends too early")
    return begin, begin + length
