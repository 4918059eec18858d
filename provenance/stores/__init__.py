"""Block stores: the embedded folder, a Kubo daemon, or what a bundle brought along, behind one protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from provenance.cid import DEFAULT_PROFILE, Cid
from provenance.errors import FormatError
from provenance.home import Home
from provenance.stores.folder import FolderStore
from provenance.stores.memory import MemoryStore
from provenance.stores.protocol import BlockStore
from provenance.unixfs import Block, Content, graph_blocks, import_content, import_tree

__all__ = [
    "BlockStore",
    "FolderStore",
    "MemoryStore",
    "add_bytes",
    "add_tree",
    "check_complete",
    "open_store",
]


def open_store(home: Home) -> BlockStore:
    """The block store that a home's settings name; a daemon is not asked before it is needed."""
    settings = home.store
    if settings.kind == "folder":
        return FolderStore(home.path / "blocks")
    if settings.kind == "kubo":
        from provenance.stores.address import DEFAULT_URL
        from provenance.stores.kubo import KuboStore

        return KuboStore(settings.url or DEFAULT_URL, allow_remote=settings.allow_remote)
    raise FormatError(
        f"the home {home.path} names a store we do not know",
        expected="folder or kubo",
        found=settings.kind,
        fix="choose one with `prov store use`",
    )


def add_bytes(store: BlockStore, content: Content, profile: str = DEFAULT_PROFILE) -> Cid:
    """Stores bytes, or a file by its path, keeps them, and gives the CID."""
    return _add(store, import_content(content, profile))


def add_tree(store: BlockStore, files: Path | Mapping[str, Content], profile: str = DEFAULT_PROFILE) -> Cid:
    """Stores a folder, or a mapping from relative names to bytes or paths, keeps it, and gives the root's CID.

    A folder's hidden entries are left out, as the profiles say; links are refused.
    """
    return _add(store, import_tree(files, profile))


def check_complete(store: BlockStore, root: Cid | str) -> int:
    """Reads everything below a root and gives the number of blocks; raises BlockMissing or BlockCorrupt."""
    return sum(1 for _ in graph_blocks(store, root))


def _add(store: BlockStore, blocks: Iterable[Block]) -> Cid:
    last: list[Cid] = []

    def noting_the_root() -> Iterator[Block]:
        for block in blocks:
            last[:] = [block.cid]
            yield block

    store.put_blocks(noting_the_root())
    store.keep(last[0])
    return last[0]
