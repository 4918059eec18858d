"""dag-pb nodes and UnixFS messages: what is written is read, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.cid import DAG_PB, Cid
from provenance.errors import FormatError
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES, Link, Node, bytes_field, varint_field
from provenance.unixfs.message import DIRECTORY, FILE, Message

sizes = st.integers(0, 2**63 - 1)
links = st.builds(
    Link, st.builds(Cid, st.binary(min_size=32, max_size=32)), st.text(st.characters(codec="utf-8"), max_size=9), sizes
)
messages = st.builds(
    Message,
    st.sampled_from([0, 1, 2, 5]),
    st.none() | st.binary(max_size=20),
    st.none() | sizes,
    st.lists(sizes, max_size=4).map(tuple),
    st.none() | sizes,
    st.none() | sizes,
)

CID = Cid(bytes(32))
DATA = bytes_field(1, Message(DIRECTORY).encode())
HASH = bytes_field(1, CID.to_bytes())
NAME = bytes_field(2, b"a")
SIZE = varint_field(3, 1)


@given(st.lists(links, max_size=4).map(tuple), st.binary(max_size=20))
def test_nodes_come_back(links: tuple[Link, ...], data: bytes) -> None:
    node = Node(links, data)
    assert Node.parse(node.encode()) == node


@given(messages)
def test_messages_come_back(message: Message) -> None:
    assert Message.parse(message.encode()) == message


@given(st.binary(max_size=80))
def test_bytes_are_refused_or_are_canonical(data: bytes) -> None:
    for kind in (Node, Message):
        try:
            value = kind.parse(data)
        except FormatError:
            continue
        assert value.encode() == data


def test_known_empty_folder_and_file() -> None:
    empty = Node((), Message(DIRECTORY).encode()).encode()
    assert str(Cid.of_block(empty, DAG_PB, 0)) == "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
    assert str(Cid.of_block(empty, DAG_PB, 1)) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    assert Node((), Message(FILE, size=0).encode()).encode().hex() == "0a0408021800"


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (b"", "no data"),
        (bytes_field(2, HASH + NAME + SIZE), "no data"),
        (DATA + DATA, "malformed"),
        (DATA + bytes_field(2, HASH + NAME + SIZE), "malformed"),
        (bytes_field(3, b"") + DATA, "malformed"),
        (varint_field(1, 1), "malformed"),
        (DATA + b"\x00", "cut off"),
        (DATA[:-1], "cut off"),
        (b"\x8a\x00" + DATA[1:], "padded"),
        (b"\x0a\x82\x00" + DATA[2:], "padded"),
        (b"\x0d\x00\x00\x00\x00" + DATA, "wire type 5"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut off"),
        (bytes_field(2, HASH + NAME) + DATA, "link is malformed"),
        (bytes_field(2, HASH + SIZE) + DATA, "link is malformed"),
        (bytes_field(2, NAME + SIZE) + DATA, "link is malformed"),
        (bytes_field(2, HASH + NAME + SIZE + varint_field(4, 1)) + DATA, "link is malformed"),
        (bytes_field(2, NAME + HASH + SIZE) + DATA, "canonical"),
        (bytes_field(2, HASH + HASH + NAME + SIZE) + DATA, "canonical"),
        (bytes_field(2, HASH + bytes_field(2, b"\xff") + SIZE) + DATA, "UTF-8"),
        (bytes_field(2, bytes_field(1, b"\x01\x71\x12\x20" + bytes(32)) + NAME + SIZE) + DATA, "codec"),
        (bytes_field(2, bytes_field(1, CID.to_bytes() + b"x") + NAME + SIZE) + DATA, "trailing"),
        (bytes_field(1, bytes(MAX_BLOCK_BYTES)), "too large"),
    ],
)
def test_other_nodes_are_refused(block: bytes, fault: str) -> None:
    with pytest.raises(FormatError) as caught:
        Node.parse(block)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "no type"),
        (varint_field(1, 3), "type 3"),
        (varint_field(1, 4), "type 4"),
        (varint_field(1, 9), "type 9"),
        (varint_field(1, 1) + varint_field(7, 0o644), "field 7"),
        (varint_field(1, 1) + bytes_field(8, b""), "field 8"),
        (varint_field(1, 1) + bytes_field(4, b"\x01"), "field 4"),
        (varint_field(1, 1) + varint_field(2, 1), "field 2"),
        (varint_field(1, 1) + varint_field(1, 1), "canonical"),
        (varint_field(3, 1) + varint_field(1, 1), "canonical"),
        (varint_field(1, 1) + b"\x18", "cut off"),
    ],
)
def test_other_messages_are_refused(data: bytes, fault: str) -> None:
    with pytest.raises(FormatError) as caught:
        Message.parse(data)
    assert fault in str(caught.value)
