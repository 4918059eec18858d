"""Merkle Patricia tries (Yellow Paper, appendix D): proofs checked against a root, and the root of a small trie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provenance.errors import FormatError
from provenance.ledger.keccak import keccak
from provenance.ledger.rlp import Item, decode, encode

EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")


def prove(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value under ``key``, or None if the proof shows that there is none; raises FormatError if it shows neither.

    ``key`` is the path itself: state and storage tries are keyed by the Keccak of an address or slot.
    """
    if root == EMPTY_ROOT:
        return None
    nodes = {keccak(each): each for each in proof}
    path = _nibbles(key)
    reference: Item = root
    while True:
        node = _resolve(reference, nodes)
        if len(node) == 17:
            if not path:
                return _value(node[16])
            reference, path = node[path[0]], path[1:]
            if reference == b"":
                return None
            continue
        prefix, is_leaf = _compact(node[0])
        if is_leaf:
            return _value(node[1]) if prefix == path else None
        if path[: len(prefix)] != prefix:
            return None
        reference, path = node[1], path[len(prefix) :]


def root_of(values: Mapping[bytes, bytes]) -> bytes:
    """The root of the trie that holds exactly these keys and values."""
    if not values:
        return EMPTY_ROOT
    return keccak(encode(_build([(_nibbles(key), value) for key, value in sorted(values.items())])))


def _resolve(reference: Item, nodes: Mapping[bytes, bytes]) -> list[Item]:
    if isinstance(reference, bytes):
        if reference not in nodes:
            raise FormatError("a proof lacks the node that its path needs")
        reference = decode(nodes[reference])
    if not isinstance(reference, list) or len(reference) not in (2, 17):
        raise FormatError("a proof holds something that is not a node")
    return reference


def _value(item: Item) -> bytes | None:
    if not isinstance(item, bytes):
        raise FormatError("a proof ends in something that is not a value")
    return item or None


def _nibbles(key: bytes) -> tuple[int, ...]:
    return tuple(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _compact(item: Item) -> tuple[tuple[int, ...], bool]:
    if not isinstance(item, bytes) or not item or item[0] >> 4 > 3:
        raise FormatError("a proof holds a node with a malformed path")
    nibbles = _nibbles(item)
    is_odd = nibbles[0] & 1
    return nibbles[2 - is_odd :], nibbles[0] >= 2


def _encode_path(path: Sequence[int], *, is_leaf: bool) -> bytes:
    flag = 2 * is_leaf + len(path) % 2
    nibbles = [flag, *path] if len(path) % 2 else [flag, 0, *path]
    return bytes(high << 4 | low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


def _build(entries: list[tuple[tuple[int, ...], bytes]]) -> list[Item]:
    first = entries[0][0]
    if len(entries) == 1:
        return [_encode_path(first, is_leaf=True), entries[0][1]]
    shared = 0
    # Sorted: what the first and the last share, all share.
    while shared < min(len(first), len(entries[-1][0])) and first[shared] == entries[-1][0][shared]:
        shared += 1
    if shared:
        below = _build([(path[shared:], value) for path, value in entries])
        return [_encode_path(first[:shared], is_leaf=False), _reference(below)]
    branch: list[Item] = [b""] * 17
    for nibble in range(16):
        if inside := [(path[1:], value) for path, value in entries if path and path[0] == nibble]:
            branch[nibble] = _reference(_build(inside))
    if not first:
        branch[16] = entries[0][1]
    return branch


def _reference(node: list[Item]) -> Item:
    data = encode(node)
    return node if len(data) < 32 else keccak(data)
