"""Blocks back to files and folders, read from a store as if a stranger had filled it.

Stores give only bytes that hash to their CID; what the bytes then say about names, sizes and depth is checked here
before it is followed. A graph of hashes has no cycles, but it can be deep, or small and enormous once unfolded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from provenance.cid import DAG_PB, RAW, Cid, as_cid
from provenance.errors import FileRefused, FormatError
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES, Link, Node
from provenance.unixfs.hamt import MAX_DEPTH as MAX_SHARD_DEPTH
from provenance.unixfs.hamt import leads_deeper, parse_shard, slot_of
from provenance.unixfs.message import DIRECTORY, FILE, HAMT_SHARD, RAW_DATA, TYPE_NAMES, Message
from provenance.unixfs.murmur3 import murmur3_64
from provenance.unixfs.tree import MAX_DEPTH, check_name

MAX_ENTRIES = 1_000_000
"""Names in one walk, whatever the graph unfolds to."""
MAX_FILE_DEPTH = 8
"""Levels of one file: five suffice for 2^63 bytes under either profile."""
MAX_READ_BYTES = 256 * 1024 * 1024


class BlockSource(Protocol):
    """Anything that gives blocks; what it gives must hash to the CID asked for."""

    def get(self, cid: Cid | str) -> bytes: ...


@dataclass(frozen=True)
class Entry:
    """What stands at a path. ``size`` is the file's bytes, none for a directory."""

    cid: Cid
    is_directory: bool
    size: int | None


def resolve(store: BlockSource, root: Cid | str, path: str = "") -> Entry:
    """Follows a path of names with ``/`` below a root; raises FileRefused when nothing stands there, or FormatError."""
    return _resolve(store, as_cid(root), path).entry()


def read_path(store: BlockSource, root: Cid | str, path: str = "", *, limit: int = MAX_READ_BYTES) -> bytes:
    """The bytes of the file at a path, at most ``limit`` of them; raises FileRefused or FormatError."""
    return b"".join(stream_path(store, root, path, limit=limit))


def stream_path(store: BlockSource, root: Cid | str, path: str = "", *, limit: int = 2**63 - 1) -> Iterator[bytes]:
    """The bytes of the file at a path in pieces; raises FileRefused or FormatError, at the latest at the end."""
    opened = _resolve(store, as_cid(root), path)
    size = opened.entry().size
    if size is None:
        raise FileRefused(
            f"{path or root} is a directory", expected="a file", fix=f"list it with `prov store get {root}`"
        )
    if size > limit:
        raise FormatError(f"{path or root} is too large", expected=f"at most {limit} bytes", found=f"{size} bytes")
    yield from _file(store, opened, size, 0)


def list_directory(store: BlockSource, cid: Cid | str) -> dict[str, Cid]:
    """The names in one directory and where they lead, sorted by their bytes; raises FileRefused or FormatError."""
    return {name: link.cid for name, link in _names(store, _open(store, as_cid(cid))).items()}


def walk(store: BlockSource, root: Cid | str) -> Iterator[tuple[str, Cid, int]]:
    """Every file below a directory as (path, CID, bytes), sorted folder by folder; a file by itself has the path "".

    The size is what the directory or the file's first block says; `read_path` and `stream_path` check it.
    """
    yield from _walk(store, _open(store, as_cid(root)), "", 0, [0])


def graph_blocks(store: BlockSource, root: Cid | str) -> Iterator[tuple[Cid, bytes]]:
    """Every block below a root once, parents before children, first links first: the order that Kubo exports."""
    waiting = [as_cid(root)]
    seen: set[bytes] = set()
    while waiting:
        cid = waiting.pop()
        if cid.to_bytes() in seen:
            continue
        seen.add(cid.to_bytes())
        data = store.get(cid)
        yield cid, data
        if cid.codec == DAG_PB:
            waiting.extend(link.cid for link in reversed(Node.parse(data).links))


@dataclass(frozen=True)
class _Opened:
    """A block and what it says; a raw one says that it is a file without parts."""

    cid: Cid
    links: tuple[Link, ...]
    message: Message

    @property
    def type(self) -> int:
        return self.message.type

    def entry(self) -> Entry:
        if self.type in (DIRECTORY, HAMT_SHARD):
            return Entry(self.cid, True, None)
        if self.message.size is None:
            raise FormatError(f"file {self.cid} does not say its size")
        return Entry(self.cid, False, self.message.size)


def _open(store: BlockSource, cid: Cid) -> _Opened:
    data = store.get(cid)
    if len(data) > MAX_BLOCK_BYTES:
        raise FormatError(
            f"block {cid} is too large", expected=f"at most {MAX_BLOCK_BYTES} bytes", found=f"{len(data)}"
        )
    if cid.codec == RAW:
        return _Opened(cid, (), Message(FILE, data=data, size=len(data)))
    node = Node.parse(data)
    return _Opened(cid, node.links, Message.parse(node.data))


def _resolve(store: BlockSource, cid: Cid, path: str) -> _Opened:
    parts = path.split("/") if path else []
    if len(parts) > MAX_DEPTH + 1:
        raise FormatError("a path is too deep", expected=f"at most {MAX_DEPTH + 1} names", found=f"{len(parts)}")
    opened = _open(store, cid)
    for part in parts:
        link = _find(store, opened, part)
        if link is None:
            raise FileRefused(f"{path} is not in {cid}", fix=f"list it with `prov store get {cid}`")
        opened = _open(store, link.cid)
        if link.cid.codec == RAW:
            _check_size(link.cid, opened.entry().size, link.total)
    return opened


def _walk(
    store: BlockSource, opened: _Opened, path: str, depth: int, count: list[int]
) -> Iterator[tuple[str, Cid, int]]:
    if depth > MAX_DEPTH + 1:
        raise FormatError("folders are nested too deep", expected=f"at most {MAX_DEPTH}", found=path)
    size = opened.entry().size
    if size is not None:
        yield path, opened.cid, size
        return
    for name, link in _names(store, opened).items():
        count[0] += 1
        if count[0] > MAX_ENTRIES:
            raise FormatError("a folder holds too many entries", expected=f"at most {MAX_ENTRIES}")
        inner = f"{path}/{name}" if path else name
        if link.cid.codec == RAW:
            yield inner, link.cid, link.total
        else:
            yield from _walk(store, _open(store, link.cid), inner, depth + 1, count)


def _check_directory(opened: _Opened) -> None:
    if opened.type not in (DIRECTORY, HAMT_SHARD):
        raise FileRefused(f"{opened.cid} is not a directory", expected="a directory")
    if opened.type == DIRECTORY and opened.message != Message(DIRECTORY):
        raise FormatError(f"directory {opened.cid} says more than a directory can")


def _find(store: BlockSource, opened: _Opened, name: str) -> Link | None:
    _check_directory(opened)
    depth = 0
    while opened.type == HAMT_SHARD:
        link = parse_shard(opened.links, opened.message).get(slot_of(name, depth))
        if link is None or link.name[2:] == name:
            return link
        if not leads_deeper(link):
            return None
        opened = _open_shard(store, link.cid)
        depth += 1
    return next((link for link in opened.links if link.name == name), None)


def _open_shard(store: BlockSource, cid: Cid) -> _Opened:
    opened = _open(store, cid)
    if opened.type != HAMT_SHARD:
        raise FormatError(f"{cid} is not part of a sharded directory", found=TYPE_NAMES[opened.type])
    return opened


def _names(store: BlockSource, opened: _Opened) -> dict[str, Link]:
    _check_directory(opened)
    found: dict[str, Link] = {}
    pairs = _shard_names(store, opened, b"") if opened.type == HAMT_SHARD else ((x.name, x) for x in opened.links)
    for name, link in pairs:
        try:
            check_name(name)
        except FileRefused as error:
            raise FormatError("a directory holds a name that no file can have", found=repr(name)) from error
        if name in found:
            raise FormatError("a directory holds the same name twice", found=repr(name))
        if len(found) == MAX_ENTRIES:
            raise FormatError("a directory is too large", expected=f"at most {MAX_ENTRIES} names")
        found[name] = link
    names = sorted(found, key=str.encode)
    if opened.type == DIRECTORY and names != list(found):
        raise FormatError(f"directory {opened.cid} is not sorted")
    return {name: found[name] for name in names}


def _shard_names(store: BlockSource, opened: _Opened, above: bytes) -> Iterator[tuple[str, Link]]:
    if len(above) == MAX_SHARD_DEPTH:
        raise FormatError("a sharded directory is too deep", expected=f"at most {MAX_SHARD_DEPTH} levels")
    for slot, link in parse_shard(opened.links, opened.message).items():
        place = above + bytes([slot])
        if leads_deeper(link):
            yield from _shard_names(store, _open_shard(store, link.cid), place)
        else:
            name = link.name[2:]
            if not murmur3_64(name.encode()).startswith(place):
                raise FormatError("a sharded directory holds a name in the wrong slot", found=repr(name))
            yield name, link


def _file(store: BlockSource, opened: _Opened, size: int, depth: int) -> Iterator[bytes]:
    cid, message = opened.cid, opened.message
    if depth > MAX_FILE_DEPTH:
        raise FormatError("a file is nested too deep", expected=f"at most {MAX_FILE_DEPTH} levels")
    if message.type not in (FILE, RAW_DATA):
        raise FormatError(f"{cid} is part of a file and is none", expected="a file", found=TYPE_NAMES[message.type])
    if len(opened.links) != len(message.block_sizes) or any(link.name for link in opened.links):
        raise FormatError(f"file {cid} does not say the size of each part")
    own = message.data or b""
    _check_size(cid, len(own) + sum(message.block_sizes), message.size)
    _check_size(cid, message.size, size)
    # Empty parts would let a few blocks stand for an endless file that never grows.
    if 0 in message.block_sizes:
        raise FormatError(f"file {cid} has an empty part")
    if own:
        yield own
    for link, part in zip(opened.links, message.block_sizes, strict=True):
        yield from _file(store, _open(store, link.cid), part, depth + 1)


def _check_size(cid: Cid, found: int | None, expected: int | None) -> None:
    if found != expected:
        raise FormatError(f"{cid} has the wrong size", expected=f"{expected} bytes", found=f"{found} bytes")
