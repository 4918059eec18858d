"""The UnixFS message inside a dag-pb node.

Specification: https://specs.ipfs.tech/unixfs/. Written and read without mode and modification time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from provenance.errors import FormatError
from provenance.unixfs.dagpb import bytes_field, fields, varint_field

RAW_DATA = 0
DIRECTORY = 1
FILE = 2
HAMT_SHARD = 5
MURMUR3 = 0x22
TYPE_NAMES = {RAW_DATA: "raw", DIRECTORY: "directory", FILE: "file", HAMT_SHARD: "sharded directory"}


@dataclass(frozen=True)
class Message:
    """One UnixFS message. ``size`` is the file's bytes below this node, ``block_sizes`` those below each link."""

    type: int
    data: bytes | None = None
    size: int | None = None
    block_sizes: tuple[int, ...] = ()
    hash_type: int | None = None
    fanout: int | None = None

    def encode(self) -> bytes:
        """The message's bytes, fields in ascending order."""
        out = [varint_field(1, self.type)]
        if self.data is not None:
            out.append(bytes_field(2, self.data))
        if self.size is not None:
            out.append(varint_field(3, self.size))
        out.extend(varint_field(4, size) for size in self.block_sizes)
        if self.hash_type is not None:
            out.append(varint_field(5, self.hash_type))
        if self.fanout is not None:
            out.append(varint_field(6, self.fanout))
        return b"".join(out)

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Reads a message; raises FormatError for other types, other fields, or any but the canonical form."""
        message = cls(-1)
        sizes: list[int] = []
        for field, value in fields(data, "a UnixFS message"):
            if field == 2 and isinstance(value, bytes):
                message = replace(message, data=value)
            elif isinstance(value, bytes) or field not in (1, 3, 4, 5, 6):
                raise FormatError(
                    "a UnixFS message has a field we do not read",
                    expected="type, data, size, block sizes, hash type, fanout",
                    found=f"field {field}",
                    fix="import the files again without modes and times",
                )
            elif field == 4:
                sizes.append(value)
            else:
                message = _with_number(message, field, value)
        message = replace(message, block_sizes=tuple(sizes))
        if message.type not in TYPE_NAMES:
            found = "no type" if message.type < 0 else f"type {message.type}"
            raise FormatError(
                "a UnixFS node is of a type we do not read",
                expected="a file or a directory, no symbolic link",
                found=found,
            )
        if message.encode() != data:
            raise FormatError("a UnixFS message is not in its canonical form")
        return message


def _with_number(message: Message, field: int, value: int) -> Message:
    if field == 1:
        return replace(message, type=value)
    if field == 3:
        return replace(message, size=value)
    if field == 5:
        return replace(message, hash_type=value)
    return replace(message, fanout=value)
