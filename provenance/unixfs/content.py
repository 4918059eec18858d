"""Files to blocks: fixed-size chunks under a balanced tree."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from provenance.cid import DEFAULT_PROFILE, RAW, Cid
from provenance.files import open_file
from provenance.unixfs.block import Block, Subtree
from provenance.unixfs.dagpb import Node
from provenance.unixfs.message import FILE, Message
from provenance.unixfs.profile import Profile, profile_named


def import_file(stream: BinaryIO, profile: str | Profile = DEFAULT_PROFILE) -> Iterator[Block]:
    """Reads a stream to its end and gives its blocks, children before parents; the last one is the root.

    Memory is bounded by one chunk and the links of one node per level.
    """
    rules = profile_named(profile)
    # levels[n] holds the subtrees of height n that wait for a parent; a parent is made when one more arrives.
    levels: list[list[Subtree]] = [[]]
    for chunk in _chunks(stream, rules.chunk_size):
        block = _leaf(chunk, rules)
        yield block
        yield from _push(levels, 0, block.subtree, rules)
    yield from _close(levels, rules)


def import_content(content: bytes | Path | BinaryIO, profile: str | Profile = DEFAULT_PROFILE) -> Iterator[Block]:
    """`import_file` for bytes, a path (regular files only, never through a symbolic link) or a stream."""
    if isinstance(content, bytes):
        yield from import_file(io.BytesIO(content), profile)
    elif isinstance(content, Path):
        with open_file(content) as stream:
            yield from import_file(stream, profile)
    else:
        yield from import_file(content, profile)


def hash_content(content: bytes | Path | BinaryIO, profile: str | Profile = DEFAULT_PROFILE) -> Cid:
    """The CID that `import_content` ends with."""
    root: Cid | None = None
    for block in import_content(content, profile):
        root = block.cid
    assert root is not None
    return root


def _chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    chunk = _read(stream, size)
    yield chunk
    while len(chunk) == size:
        chunk = _read(stream, size)
        if chunk:
            yield chunk


def _read(stream: BinaryIO, size: int) -> bytes:
    part = stream.read(size)
    parts = [part]
    missing = size - len(part)
    # Pipes and responses may give less than asked before their end.
    while part and missing:
        part = stream.read(missing)
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _leaf(chunk: bytes, rules: Profile) -> Block:
    if rules.raw_leaves:
        return Block(chunk, Subtree(Cid.of_block(chunk, RAW, 1), len(chunk), len(chunk)))
    message = Message(FILE, data=chunk or None, size=len(chunk))
    return Block.of_node(Node((), message.encode()), rules.cid_version, len(chunk))


def _push(levels: list[list[Subtree]], height: int, child: Subtree, rules: Profile) -> Iterator[Block]:
    if len(levels[height]) == rules.max_links:
        parent = _parent(levels[height], rules)
        levels[height] = []
        if len(levels) == height + 1:
            levels.append([])
        yield parent
        yield from _push(levels, height + 1, parent.subtree, rules)
    levels[height].append(child)


def _close(levels: list[list[Subtree]], rules: Profile) -> Iterator[Block]:
    height = 0
    while height < len(levels):
        if height == len(levels) - 1 and len(levels[height]) == 1:
            return
        parent = _parent(levels[height], rules)
        yield parent
        if height == len(levels) - 1:
            levels.append([])
        yield from _push(levels, height + 1, parent.subtree, rules)
        height += 1


def _parent(children: list[Subtree], rules: Profile) -> Block:
    sizes = tuple(child.size for child in children)
    message = Message(FILE, size=sum(sizes), block_sizes=sizes)
    node = Node(tuple(child.link("") for child in children), message.encode())
    return Block.of_node(node, rules.cid_version, sum(sizes))
