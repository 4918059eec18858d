"""CARs: the specification's own bytes, every archive there and back, and archives that lie."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.car import MAX_ROOTS, car_bytes, read_car, write_car
from provenance.cid import DAG_PB, RAW, Cid
from provenance.errors import BlockCorrupt, FormatError, ProvenanceError
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES
from provenance.varint import encode_varint

DATA = b"hello world"
CID = Cid.of_block(DATA)
BLOCK = encode_varint(36 + len(DATA)) + CID.to_bytes() + DATA
HEADER = bytes.fromhex("a265726f6f747381d82a58250001551220") + CID.digest + bytes.fromhex("6776657273696f6e01")
CAR = encode_varint(len(HEADER)) + HEADER + BLOCK

contents = st.lists(
    st.tuples(st.binary(max_size=50), st.sampled_from([(RAW, 1), (DAG_PB, 1), (DAG_PB, 0)])), max_size=6
)


def framed(header: bytes, *sections: bytes) -> bytes:
    return encode_varint(len(header)) + header + b"".join(sections)


def test_the_bytes_are_those_of_the_specification() -> None:
    assert car_bytes([CID], [(CID, DATA)]) == CAR
    stream = io.BytesIO()
    assert write_car(stream, [CID], [(CID, DATA), (CID, DATA)]) == 2
    assert stream.getvalue() == CAR + BLOCK


def test_an_archive_without_blocks_is_read() -> None:
    assert write_car(io.BytesIO(), [CID], []) == 0
    assert list(read_car(framed(HEADER)).blocks) == []


@given(contents, st.integers(1, 30))
def test_archives_come_back(content: list[tuple[bytes, tuple[int, int]]], roots: int) -> None:
    blocks = [(Cid.of_block(data, *kind), data) for data, kind in content]
    names = tuple(Cid.of_block(bytes([index])) for index in range(roots))
    car = read_car(car_bytes(names, blocks))
    assert car.roots == names
    assert list(car.blocks) == blocks


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda tail: CAR + tail))
def test_bytes_are_refused_or_are_what_we_write(data: bytes) -> None:
    try:
        car = read_car(data)
        blocks = list(car.blocks)
    except ProvenanceError:
        return
    assert car_bytes(car.roots, blocks) == data


@given(st.integers(0, len(CAR) - 1))
def test_a_cut_archive_is_refused(length: int) -> None:
    if length == len(CAR) - len(BLOCK):
        return
    with pytest.raises(FormatError, match="cut off"):
        list(read_car(CAR[:length]).blocks)


@given(st.integers(0, len(CAR) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(position: int, change: int) -> None:
    changed = bytearray(CAR)
    changed[position] ^= change
    try:
        car = read_car(bytes(changed))
        assert (car.roots, list(car.blocks)) != ((CID,), [(CID, DATA)])
    except ProvenanceError:
        pass


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "cut off"),
        (b"\x00", "not a CAR"),
        (b"not a car at all, whatever its name says, really nothing like it", "cut off|not a CAR|too large"),
        (b"\x8a\x00" + CAR[1:], "padded"),
        (b"\xff" * 12, "too long"),
        (encode_varint(2**40) + HEADER, "header is too large"),
        (framed(b"\xa1\x67version\x02"), "CARv2"),
        (framed(HEADER[:-1] + b"\x02"), "canonical"),
        (framed(HEADER[:-1]), "canonical"),
        (framed(HEADER + b"\x00"), "canonical"),
        (framed(b"\xa2\x65roots"), "not a CAR"),
        (framed(b"\xa2\x65roots\x80\x67version\x01"), "canonical"),
        (framed(b"\xa2\x65roots\x98"), "canonical"),
        (framed(HEADER.replace(b"\x81\xd8", b"\x98\x01\xd8")), "canonical"),
        (framed(HEADER.replace(b"\x81\xd8", b"\x82\xd8")), "canonical"),
        (framed(HEADER.replace(b"\x58\x25\x00", b"\x58\x25\x01")), "canonical"),
        (framed(HEADER.replace(b"\x58\x25", b"\x58\x24")), "cut off"),
        (framed(HEADER, b"\x00"), "bad length"),
        (framed(HEADER, b"\x80\x00"), "padded"),
        (framed(HEADER, encode_varint(MAX_BLOCK_BYTES + 37)), "bad length"),
        (framed(HEADER, encode_varint(2**50), bytes(100)), "bad length"),
        (framed(HEADER, b"\x05hello"), "version"),
        (framed(HEADER, encode_varint(36), b"\x01\x71\x12\x20", bytes(32)), "codec"),
        (framed(HEADER, encode_varint(68), b"\x01\x55\x13\x40", bytes(64)), "hash"),
        (CAR + b"\x80", "cut off"),
        (CAR + b"\x25" + b"x" * 36, "cut off"),
    ],
)
def test_other_archives_are_refused(data: bytes, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        list(read_car(data).blocks)


def test_a_block_that_does_not_hash_to_its_cid_is_refused() -> None:
    blocks = read_car(CAR[:-1] + b"D").blocks
    with pytest.raises(BlockCorrupt, match=str(CID)):
        next(blocks)


def test_blocks_before_a_fault_are_given_and_those_after_it_are_not() -> None:
    blocks = read_car(CAR + BLOCK[:-1] + b"D" + BLOCK).blocks
    assert next(blocks) == (CID, DATA)
    with pytest.raises(BlockCorrupt):
        next(blocks)
    assert list(blocks) == []


def test_an_archive_is_bounded() -> None:
    assert list(read_car(CAR, limit=len(CAR)).blocks) == [(CID, DATA)]
    with pytest.raises(FormatError, match="CAR is too large"):
        list(read_car(CAR, limit=len(CAR) - 1).blocks)


def test_nothing_is_read_beyond_what_a_section_says() -> None:
    class Endless(io.RawIOBase):
        """Says that it has a section of 2 MiB and drips zeros for ever."""

        def __init__(self) -> None:
            self.given = 0
            self.start = io.BytesIO(framed(HEADER, encode_varint(MAX_BLOCK_BYTES)))

        def read(self, size: int = -1, /) -> bytes:
            part = self.start.read(size) or bytes(min(size, 1000))
            self.given += len(part)
            return part

    stream = Endless()
    with pytest.raises(FormatError):
        list(read_car(stream).blocks)  # type: ignore[arg-type]
    assert stream.given < MAX_BLOCK_BYTES + 200


@pytest.mark.parametrize("count", [0, MAX_ROOTS + 1])
def test_the_number_of_roots_is_bounded(count: int) -> None:
    with pytest.raises(FormatError, match="number of roots"):
        car_bytes([CID] * count, [])


def test_oversized_blocks_are_not_written() -> None:
    data = bytes(MAX_BLOCK_BYTES + 1)
    with pytest.raises(FormatError, match="too large"):
        car_bytes([CID], [(Cid.of_block(data), data)])
