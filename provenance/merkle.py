"""The Merkle tree of RFC 6962, section 2.1: SHA-256, with leaves and nodes hashed under different first bytes.

A leaf is ``SHA-256(0x00 || data)``, a node ``SHA-256(0x01 || left || right)``; a tree of n leaves splits at the
largest power of two below n. The root does not say how many leaves there are, so whoever anchors it anchors the
count too, and `verify_proof` takes it from there.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """The 32-byte hash of one leaf's data."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The 32-byte root over leaf hashes in order; raises ValueError when there are none or one is not a hash."""
    _check(leaves)
    level = list(leaves)
    while len(level) > 1:
        pairs = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of one leaf, from its sibling up to the root's child; raises ValueError."""
    _check(leaves)
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index} among {len(leaves)}")
    path: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        pairs = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
        index >>= 1
    return tuple(path)


def verify_proof(leaf: bytes, index: int, count: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a leaf hash stands at ``index`` among ``count`` leaves under a root; RFC 9162, section 2.1.3.2."""
    if not 0 <= index < count or any(len(node) != HASH_BYTES for node in (leaf, root, *proof)):
        return False
    found = leaf
    last = count - 1
    for node in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            found = node_hash(node, found)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            found = node_hash(found, node)
        index >>= 1
        last >>= 1
    return last == 0 and hmac.compare_digest(found, root)


def _check(leaves: Sequence[bytes]) -> None:
    if not leaves:
        raise ValueError("a tree needs at least one leaf")
    if any(len(leaf) != HASH_BYTES for leaf in leaves):
        raise ValueError("a leaf hash has 32 bytes")
