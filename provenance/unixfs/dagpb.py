"""dag-pb nodes, read only in the one form that writers give them.

Specification: https://ipld.io/specs/codecs/dag-pb/spec/. A node is its links (field 2) and then its data (field 1);
a link is its CID (1), name (2) and total size (3), in that order and all present.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provenance.cid import Cid
from provenance.errors import FormatError
from provenance.varint import decode_varint, encode_varint

MAX_BLOCK_BYTES = 2 * 1024 * 1024
"""The largest block that the IPFS network exchanges (2 MiB)."""
VARINT = 0
BYTES = 2


@dataclass(frozen=True)
class Link:
    """A link: where to, under which name, and the total bytes of the blocks below it (untrusted, for display)."""

    cid: Cid
    name: str
    total: int

    def encode(self) -> bytes:
        """The link's own message, without the node's tag."""
        name = self.name.encode()
        return bytes_field(1, self.cid.to_bytes()) + bytes_field(2, name) + varint_field(3, self.total)


@dataclass(frozen=True)
class Node:
    """One dag-pb node."""

    links: tuple[Link, ...]
    data: bytes

    def encode(self) -> bytes:
        """The block's bytes."""
        return b"".join(bytes_field(2, link.encode()) for link in self.links) + bytes_field(1, self.data)

    @classmethod
    def parse(cls, block: bytes) -> Node:
        """Reads a block; raises FormatError unless encoding the result gives the very same bytes."""
        if len(block) > MAX_BLOCK_BYTES:
            raise FormatError(
                "a block is too large", expected=f"at most {MAX_BLOCK_BYTES} bytes", found=f"{len(block)} bytes"
            )
        links: list[Link] = []
        data: bytes | None = None
        for field, value in fields(block, "a dag-pb node"):
            if not isinstance(value, bytes) or data is not None or field not in (1, 2):
                raise FormatError(
                    "a dag-pb node is malformed", expected="links, then data once", found=f"field {field}"
                )
            if field == 2:
                links.append(_parse_link(value))
            else:
                data = value
        if data is None:
            raise FormatError("a dag-pb node has no data", expected="a UnixFS message")
        node = cls(tuple(links), data)
        if node.encode() != block:
            raise FormatError("a dag-pb node is not in its canonical form", expected="CID, name and size in each link")
        return node


def varint_field(field: int, value: int) -> bytes:
    """A protobuf integer field."""
    return encode_varint(field << 3 | VARINT) + encode_varint(value)


def bytes_field(field: int, value: bytes) -> bytes:
    """A protobuf bytes field."""
    return encode_varint(field << 3 | BYTES) + encode_varint(len(value)) + value


def fields(message: bytes, what: str) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message in order: integers and bytes only; raises FormatError."""
    offset = 0
    while offset < len(message):
        tag, offset = decode_varint(message, offset)
        value, offset = decode_varint(message, offset)
        if tag & 7 == VARINT:
            yield tag >> 3, value
        elif tag & 7 == BYTES:
            if value > len(message) - offset:
                raise FormatError(f"{what} is cut off", expected=f"{value} bytes", found=f"{len(message) - offset}")
            yield tag >> 3, message[offset : offset + value]
            offset += value
        else:
            raise FormatError(f"{what} is malformed", expected="integers and bytes", found=f"wire type {tag & 7}")


def _parse_link(message: bytes) -> Link:
    values = dict(fields(message, "a dag-pb link"))
    cid, name, total = values.get(1), values.get(2), values.get(3)
    if not isinstance(cid, bytes) or not isinstance(name, bytes) or not isinstance(total, int) or len(values) != 3:
        raise FormatError("a dag-pb link is malformed", expected="a CID, a name and a size", found=message[:64].hex())
    try:
        return Link(Cid.from_bytes(cid), name.decode(), total)
    except UnicodeDecodeError as error:
        raise FormatError("a dag-pb link has a name that is not UTF-8", found=name.hex()) from error
