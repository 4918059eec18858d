"""Sharded directories: a hash array mapped trie of fanout 256 over murmur3, as UnixFS lays it out.

A name's 8 hash bytes are its slots from the root down. A link is named by its slot as two upper-case hex digits,
followed by the entry's name, or by nothing when it leads to a deeper shard. The node's data is the bit field of
slots in use: bit 0 is the last byte's lowest, leading zero bytes are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from provenance.errors import FormatError
from provenance.unixfs.block import Block, Subtree
from provenance.unixfs.dagpb import Link, Node
from provenance.unixfs.message import HAMT_SHARD, MURMUR3, Message
from provenance.unixfs.murmur3 import murmur3_64
from provenance.unixfs.profile import HAMT_FANOUT, Profile

MAX_DEPTH = 8


def shard_blocks(entries: Mapping[str, Subtree], rules: Profile) -> Iterator[Block]:
    """The blocks of a sharded directory, children first; the last one is the root. Raises FormatError."""
    hashed = [(murmur3_64(name.encode()), name, subtree) for name, subtree in entries.items()]
    yield from _shard(hashed, 0, rules)


def parse_shard(links: tuple[Link, ...], message: Message) -> dict[int, Link]:
    """The links of a shard by slot; raises FormatError when its data, names and order disagree."""
    if message.hash_type != MURMUR3 or message.fanout != HAMT_FANOUT:
        raise FormatError(
            "a sharded directory is of a kind we do not read",
            expected="murmur3 (0x22), fanout 256",
            found=f"hash {message.hash_type}, fanout {message.fanout}",
        )
    slots: dict[int, Link] = {}
    for link in links:
        prefix = link.name[:2]
        if len(prefix) != 2 or any(digit not in "0123456789ABCDEF" for digit in prefix):
            raise FormatError("a sharded directory has a link without a slot", found=repr(link.name))
        slot = int(prefix, 16)
        if slots and slot <= max(slots):
            raise FormatError("a sharded directory has its links out of order", found=repr(link.name))
        slots[slot] = link
    if message.data != _bit_field(slots) or message.size is not None or message.block_sizes:
        raise FormatError("a sharded directory's bit field and links disagree")
    return slots


def slot_of(name: str, depth: int) -> int:
    """The slot of a name in a shard ``depth`` levels below the root; raises FormatError past the last level."""
    if depth >= MAX_DEPTH:
        raise FormatError("a sharded directory is too deep", expected=f"at most {MAX_DEPTH} levels")
    return murmur3_64(name.encode())[depth]


def leads_deeper(link: Link) -> bool:
    """Whether a link leads to a deeper shard rather than to an entry."""
    return len(link.name) == 2


def _shard(hashed: list[tuple[bytes, str, Subtree]], depth: int, rules: Profile) -> Iterator[Block]:
    if depth == MAX_DEPTH:
        raise FormatError(
            "two names have the same 64-bit murmur3 hash", found=f"{hashed[0][1]!r}, {hashed[1][1]!r}", fix="rename one"
        )
    slots: dict[int, list[tuple[bytes, str, Subtree]]] = {}
    for entry in hashed:
        slots.setdefault(entry[0][depth], []).append(entry)
    links: list[Link] = []
    size = 0
    for slot, inside in sorted(slots.items()):
        name = f"{slot:02X}"
        if len(inside) == 1:
            name, subtree = name + inside[0][1], inside[0][2]
        else:
            deeper: Block | None = None
            for deeper in _shard(inside, depth + 1, rules):
                yield deeper
            assert deeper is not None
            subtree = deeper.subtree
        links.append(subtree.link(name))
        size += subtree.size
    message = Message(HAMT_SHARD, data=_bit_field(slots), hash_type=MURMUR3, fanout=HAMT_FANOUT)
    yield Block.of_node(Node(tuple(links), message.encode()), rules.cid_version, size)


def _bit_field(slots: Mapping[int, object]) -> bytes:
    field = sum(1 << slot for slot in slots)
    return field.to_bytes((field.bit_length() + 7) // 8, "big")
