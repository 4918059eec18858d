"""Folders: what goes in, what is left out, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provenance.errors import FileRefused
from provenance.stores import MemoryStore, add_tree
from provenance.unixfs import import_tree, read_path, walk
from provenance.unixfs.tree import MAX_DEPTH

EMPTY_FOLDER = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


def cid_of(files: object) -> str:
    *_, root = import_tree(files)  # type: ignore[arg-type]
    return str(root.cid)


def test_a_folder_and_a_mapping_give_the_same_cid(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_bytes(b"c")
    (tmp_path / "z é.txt").write_bytes(b"z")
    assert cid_of(tmp_path) == cid_of({"z é.txt": b"z", "a/b/c.txt": tmp_path / "a" / "b" / "c.txt"})


def test_the_order_of_names_is_that_of_their_bytes() -> None:
    files = {name: name.encode() for name in ("é", "z", "a", "Z", "a-b", "a.b", "\U0001f600", "ﬀ")}
    assert cid_of(files) == cid_of(dict(reversed(files.items())))


def test_hidden_entries_of_a_folder_are_left_out_and_empty_folders_kept(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").write_bytes(b"x")
    (tmp_path / ".hidden").symlink_to("nowhere")
    assert cid_of(tmp_path) == cid_of({}) == EMPTY_FOLDER
    (tmp_path / "empty").mkdir()
    assert cid_of(tmp_path) != EMPTY_FOLDER


def test_a_mapping_keeps_hidden_names() -> None:
    store = MemoryStore()
    root = add_tree(store, {".well-known/x": b"x"})
    assert read_path(store, root, ".well-known/x") == b"x"


@pytest.mark.parametrize("kind", ["link", "pipe", "socket-like device", "latin-1 name", "missing"])
def test_folders_with_anything_but_files_and_folders_are_refused(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    if kind != "missing":
        (folder / "inner").mkdir(parents=True)
    if kind == "link":
        (folder / "inner" / "link").symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(folder / "inner" / "pipe")
    elif kind == "socket-like device":
        os.mknod(folder / "inner" / "node", 0o140644)
    elif kind == "latin-1 name":
        Path(os.fsdecode(os.fsencode(folder / "inner") + b"/\xe9")).write_bytes(b"")
    with pytest.raises(FileRefused):
        list(import_tree(folder))


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "./a", "a/..", "../a", "a\0b", "a" * 256, "\ud800", "/".join("a" * (MAX_DEPTH + 2))],
)
def test_names_that_mean_another_place_are_refused(name: str) -> None:
    with pytest.raises(FileRefused):
        list(import_tree({name: b""}))


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b")])
def test_a_name_is_a_file_or_a_folder(names: tuple[str, str]) -> None:
    with pytest.raises(FileRefused):
        list(import_tree(dict.fromkeys(names, b"")))


def test_folders_nest_as_deep_as_they_are_read() -> None:
    store = MemoryStore()
    name = "/".join("a" * (MAX_DEPTH + 1))
    root = add_tree(store, {name: b"deep"})
    assert read_path(store, root, name) == b"deep"
    assert [path for path, _, _ in walk(store, root)] == [name]
