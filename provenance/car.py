"""CARv1: a DAG-CBOR header that names the roots, then blocks behind their CIDs, each framed by a varint.

Specification: https://ipld.io/specs/transport/car/carv1/. Every block read is hashed before it is given out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from provenance.cid import Cid
from provenance.errors import FormatError
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES
from provenance.varint import decode_varint, encode_varint

MAX_ROOTS = 255
MAX_CID_BYTES = 36
MAX_HEADER_BYTES = 16 * 1024
ROOTS_KEY = b"\xa2\x65roots"
VERSION_1 = b"\x67version\x01"
CID_TAG = b"\xd8\x2a\x58"
CAR2_HEADER = b"\xa1\x67version\x02"


@dataclass(frozen=True)
class Car:
    """An archive being read: its roots, and its blocks, which can be gone through once."""

    roots: tuple[Cid, ...]
    blocks: Iterator[tuple[Cid, bytes]]


def car_chunks(roots: Iterable[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> Iterator[bytes]:
    """The archive's bytes in pieces: the header, then one piece per block; raises FormatError for oversized blocks."""
    header = _header(tuple(roots))
    yield encode_varint(len(header)) + header
    for cid, data in blocks:
        if len(data) > MAX_BLOCK_BYTES:
            raise FormatError(
                f"block {cid} is too large", expected=f"at most {MAX_BLOCK_BYTES} bytes", found=f"{len(data)} bytes"
            )
        binary = cid.to_bytes()
        yield encode_varint(len(binary) + len(data)) + binary + data


def write_car(stream: BinaryIO, roots: Iterable[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> int:
    """Writes an archive and gives the number of blocks in it."""
    count = -1
    for count, chunk in enumerate(car_chunks(roots, blocks)):  # noqa: B007
        stream.write(chunk)
    return count


def car_bytes(roots: Iterable[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> bytes:
    """A whole archive in memory."""
    return b"".join(car_chunks(roots, blocks))


def read_car(source: BinaryIO | bytes, *, limit: int = 2**63 - 1) -> Car:
    """Opens an archive of at most ``limit`` bytes; raises FormatError now, or while its blocks are gone through.

    Each block raises BlockCorrupt unless it hashes to its CID. Whether all blocks below the roots are there is for
    the caller to find out.
    """
    stream = _Counted(io.BytesIO(source) if isinstance(source, bytes) else source, limit)
    length = stream.varint(optional=False)
    if length is None or length > MAX_HEADER_BYTES:
        raise FormatError("a CAR header is too large", expected=f"at most {MAX_HEADER_BYTES} bytes", found=str(length))
    return Car(_parse_header(stream.exactly(length)), _blocks(stream))


def _blocks(stream: _Counted) -> Iterator[tuple[Cid, bytes]]:
    while (length := stream.varint(optional=True)) is not None:
        if not 0 < length <= MAX_BLOCK_BYTES + MAX_CID_BYTES:
            raise FormatError(
                "a CAR section has a bad length",
                expected=f"1 to {MAX_BLOCK_BYTES + MAX_CID_BYTES} bytes",
                found=f"{length} bytes",
            )
        section = stream.exactly(length)
        cid, offset = Cid.read(section)
        yield cid, cid.check(section[offset:])


def _header(roots: tuple[Cid, ...]) -> bytes:
    if not 0 < len(roots) <= MAX_ROOTS:
        raise FormatError("a CAR has the wrong number of roots", expected=f"1 to {MAX_ROOTS}", found=str(len(roots)))
    count = bytes([0x80 | len(roots)]) if len(roots) < 24 else bytes([0x98, len(roots)])
    parts = []
    for root in roots:
        # DAG-CBOR keeps the multibase identity prefix in front of a binary CID.
        binary = b"\x00" + root.to_bytes()
        parts.append(CID_TAG + bytes([len(binary)]) + binary)
    return ROOTS_KEY + count + b"".join(parts) + VERSION_1


def _parse_header(header: bytes) -> tuple[Cid, ...]:
    if header.startswith(CAR2_HEADER):
        raise FormatError(
            "this is a CARv2", expected="a CARv1", fix="export it as version 1, as `ipfs dag export` does"
        )
    if not header.startswith(ROOTS_KEY) or len(header) < len(ROOTS_KEY) + 1:
        raise FormatError("this is not a CAR", expected="a CARv1 header", found=header[:32].hex())
    offset = len(ROOTS_KEY)
    count = header[offset] & 0x7F
    offset += 1
    if header[offset - 1] == 0x98:
        count = header[offset] if offset < len(header) else 0
        offset += 1
    roots: list[Cid] = []
    while header.startswith(CID_TAG, offset) and len(roots) < count:
        length = header[offset + 3] if offset + 3 < len(header) else 0
        roots.append(Cid.from_bytes(header[offset + 5 : offset + 4 + length]))
        offset += 4 + length
    # One writer's form is the only one read, so whatever was misread above shows here.
    if not roots or _header(tuple(roots)) != header:
        raise FormatError("a CAR header is not in its canonical form", expected="roots and version 1, nothing else")
    return tuple(roots)


class _Counted:
    """A stream that gives exactly what is asked for and stops at a limit."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def exactly(self, count: int) -> bytes:
        self._spend(count)
        data = bytearray()
        while len(data) < count:
            part = self._stream.read(count - len(data))
            if not part:
                raise FormatError("a CAR is cut off", expected=f"{count} more bytes", found=f"{len(data)} bytes")
            data += part
        return bytes(data)

    def varint(self, *, optional: bool) -> int | None:
        data = bytearray()
        while True:
            byte = self._stream.read(1)
            if not byte and not data and optional:
                return None
            if not byte:
                raise FormatError(
                    "a CAR is cut off", expected="the length of a section", found=data.hex() or "no bytes"
                )
            self._spend(1)
            data += byte
            if byte[0] < 0x80 or len(data) > 9:
                return decode_varint(bytes(data))[0]

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise FormatError("a CAR is too large", fix="allow more, or split it")
