"""Archives into stores and out of them, and files out of stores onto the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provenance.car import car_chunks
from provenance.cid import Cid, as_cid
from provenance.errors import FileRefused
from provenance.faults import printable
from provenance.files import open_file, write_chunks
from provenance.names import check_name, collisions
from provenance.stores.protocol import BlockStore
from provenance.unixfs import graph_blocks, resolve, stream_path, walk


@dataclass(frozen=True)
class Imported:
    """What an archive brought: its roots, and the number of blocks below them."""

    roots: tuple[Cid, ...]
    blocks: int


def export_car(store: BlockStore, root: Cid | str, path: Path) -> int:
    """Writes a CARv1 with everything below a root and gives the number of blocks.

    Written whole or not at all: a missing block raises BlockMissing and leaves no file.
    """
    root = as_cid(root)
    count = 0

    def blocks() -> Iterator[tuple[Cid, bytes]]:
        nonlocal count
        for count, block in enumerate(graph_blocks(store, root), 1):  # noqa: B007
            yield block

    write_chunks(path, car_chunks([root], blocks()))
    return count


def import_car(store: BlockStore, path: Path) -> Imported:
    """Stores a CARv1 and keeps what is below its roots; raises BlockMissing when the archive and store lack some of it.

    Blocks of a refused archive that came before the fault stay in the store; each of them hashes to its CID.
    """
    with open_file(path) as stream:
        roots = store.put_car(stream)
    blocks = sum(1 for root in roots for _ in graph_blocks(store, root))
    for root in roots:
        store.keep(root)
    return Imported(roots, blocks)


def extract(store: BlockStore, root: Cid | str, path: str, target: Path) -> list[str]:
    """Writes the file at a path, or the folder as a new folder, and gives the names written; raises FileRefused.

    Names that mean another place or the same file on some system are refused before anything is written.
    """
    entry = resolve(store, root, path)
    if not entry.is_directory:
        write_chunks(target, stream_path(store, entry.cid))
        return [target.name]
    names = [check_name(name) for name, _, _ in walk(store, entry.cid)]
    for first, second in collisions(names):
        raise FileRefused(f"{printable(first)} and {printable(second)} are one file on some systems")
    if target.exists():
        raise FileRefused(f"{target} exists", expected="a folder still to be made", fix="choose another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Filled beside its place, so that a block missing half way leaves no half of a folder.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
        folder = Path(beside, "folder")
        folder.mkdir()
        for name in names:
            write_chunks(folder / name, stream_path(store, entry.cid, name))
        folder.rename(target)
    return names
