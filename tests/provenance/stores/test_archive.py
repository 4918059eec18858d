"""Archives and files out of stores: whole or not at all, and never into another place."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.car import car_bytes
from provenance.cid import Cid
from provenance.errors import BlockMissing, FileRefused, FormatError
from provenance.stores import FolderStore, MemoryStore, add_bytes, add_tree
from provenance.stores.archive import export_car, extract, import_car
from provenance.unixfs import import_tree, read_path

FILES = {"a/b.txt": b"b", "a/c.txt": b"c" * 1_500_000, "z": b""}


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_an_exported_tree_is_imported_elsewhere(profile: str, tmp_path: Path) -> None:
    here, there = FolderStore(tmp_path / "here"), FolderStore(tmp_path / "there")
    root = add_tree(here, FILES, profile)
    count = export_car(here, root, tmp_path / "tree.car")
    imported = import_car(there, tmp_path / "tree.car")
    assert imported.roots == (root,)
    assert imported.blocks == count
    assert {name: read_path(there, root, name) for name in FILES} == FILES


def test_the_same_tree_gives_the_same_archive(tmp_path: Path) -> None:
    store = MemoryStore()
    root = add_tree(store, FILES)
    export_car(store, root, tmp_path / "1.car")
    export_car(store, root, tmp_path / "2.car")
    assert (tmp_path / "1.car").read_bytes() == (tmp_path / "2.car").read_bytes()


def test_an_incomplete_tree_leaves_no_archive(tmp_path: Path) -> None:
    *_, root = import_tree(FILES)
    store = MemoryStore()
    store.put(root.cid, root.data)
    with pytest.raises(BlockMissing):
        export_car(store, root.cid, tmp_path / "tree.car")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_all_its_blocks_is_told(tmp_path: Path) -> None:
    *_, root = import_tree(FILES)
    (tmp_path / "part.car").write_bytes(car_bytes([root.cid], [(root.cid, root.data)]))
    with pytest.raises(BlockMissing):
        import_car(MemoryStore(), tmp_path / "part.car")


def test_an_archive_is_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "link.car").symlink_to("/dev/zero")
    with pytest.raises(FileRefused):
        import_car(MemoryStore(), tmp_path / "link.car")
    (tmp_path / "text.car").write_text("not a car")
    with pytest.raises(FormatError):
        import_car(MemoryStore(), tmp_path / "text.car")


def test_a_folder_is_extracted(tmp_path: Path) -> None:
    store = MemoryStore()
    root = add_tree(store, FILES)
    assert extract(store, root, "", tmp_path / "out") == ["a/b.txt", "a/c.txt", "z"]
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert extract(store, root, "a", tmp_path / "deep" / "a") == ["b.txt", "c.txt"]


def test_a_file_is_extracted(tmp_path: Path) -> None:
    store = MemoryStore()
    root = add_tree(store, FILES)
    assert extract(store, root, "a/b.txt", tmp_path / "b") == ["b"]
    assert (tmp_path / "b").read_bytes() == b"b"


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    store = MemoryStore()
    root = add_tree(store, FILES)
    (tmp_path / "out").mkdir()
    with pytest.raises(FileRefused, match="exists"):
        extract(store, root, "", tmp_path / "out")


def test_half_a_folder_is_not_left_behind(tmp_path: Path) -> None:
    store = MemoryStore()
    for block in import_tree({"a": b"a", "z": b"z"}):
        if block.data != b"z":
            store.put(block.cid, block.data)
    with pytest.raises(BlockMissing):
        extract(store, block.cid, "", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("a\\b",), ("con\u202etxt.exe",), ("A", "a"), ("é", "e\u0301"), ("C:x",)])
def test_names_that_are_dangerous_on_some_system_are_not_extracted(names: tuple[str, ...], tmp_path: Path) -> None:
    store = MemoryStore()
    root = add_tree(store, {f"in/{name}": b"" for name in names})
    with pytest.raises(FileRefused):
        extract(store, root, "in", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_path_by_itself_is_added(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello world")
    store = MemoryStore()
    assert add_bytes(store, tmp_path / "f") == add_bytes(store, b"hello world") == Cid.of_block(b"hello world")
    assert add_bytes(store, b"hello world", "unixfs-v0-2015") != Cid.of_block(b"hello world")
