"""murmur3 against published values, and shards that are refused."""

from __future__ import annotations

import pytest

from provenance.cid import Cid
from provenance.errors import FormatError
from provenance.unixfs import Subtree
from provenance.unixfs.dagpb import Link
from provenance.unixfs.hamt import parse_shard, shard_blocks, slot_of
from provenance.unixfs.message import HAMT_SHARD, Message
from provenance.unixfs.murmur3 import murmur3_64
from provenance.unixfs.profile import V1_2025

LEAF = Cid.of_block(b"x")


# Published with MurmurHash3 x64-128, seed 0 (spaolacci/murmur3 and others): the first half of each.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "0000000000000000"),
        (b"hello", "cbd8a7b341bd9b02"),
        (b"hello, world", "342fac623a5ebc8e"),
        (b"19 Jan 2038 at 3:14:07 AM", "b89e5988b737affc"),
        (b"The quick brown fox jumps over the lazy dog.", "cd99481f9ee902c9"),
    ],
)
def test_murmur3_matches_published_values(data: bytes, expected: str) -> None:
    assert murmur3_64(data).hex() == expected


def shard(**changes: object) -> Message:
    return Message(**{"type": HAMT_SHARD, "data": b"\x02", "hash_type": 0x22, "fanout": 256, **changes})  # type: ignore[arg-type]


def test_a_shard_is_read() -> None:
    assert parse_shard((Link(LEAF, "01a", 1),), shard()) == {1: Link(LEAF, "01a", 1)}


@pytest.mark.parametrize(
    ("names", "message", "fault"),
    [
        (["01a"], shard(fanout=16), "kind"),
        (["01a"], shard(hash_type=0x12), "kind"),
        (["01a"], shard(fanout=None), "kind"),
        (["01a"], shard(data=b"\x04"), "bit field"),
        (["01a"], shard(data=b"\x00\x02"), "bit field"),
        (["01a"], shard(data=None), "bit field"),
        (["01a"], shard(size=1), "bit field"),
        (["01a", "00b"], shard(data=b"\x03"), "order"),
        (["01a", "01b"], shard(), "order"),
        (["1"], shard(), "without a slot"),
        (["0aa"], shard(data=b"\x04\x00"), "without a slot"),
        (["+1a"], shard(), "without a slot"),
    ],
)
def test_shards_that_contradict_themselves_are_refused(names: list[str], message: Message, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        parse_shard(tuple(Link(LEAF, name, 1) for name in names), message)


def test_names_that_collide_entirely_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Finding a real 64-bit collision is possible and slow; the depth at which it is noticed is what matters.
    monkeypatch.setattr("provenance.unixfs.hamt.murmur3_64", lambda _: bytes(8))
    with pytest.raises(FormatError, match="same 64-bit murmur3 hash"):
        list(shard_blocks({"a": Subtree(LEAF, 1, 1), "b": Subtree(LEAF, 1, 1)}, V1_2025))


def test_there_are_eight_levels() -> None:
    assert [slot_of("hello", depth) for depth in range(8)] == list(bytes.fromhex("cbd8a7b341bd9b02"))
    with pytest.raises(FormatError, match="too deep"):
        slot_of("hello", 8)
