"""Folders to blocks: plain directories, and sharded ones above the profile's threshold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from provenance.cid import DEFAULT_PROFILE
from provenance.errors import FileRefused
from provenance.unixfs.block import Block, Subtree
from provenance.unixfs.content import import_content
from provenance.unixfs.dagpb import Node
from provenance.unixfs.hamt import shard_blocks
from provenance.unixfs.message import DIRECTORY, Message
from provenance.unixfs.profile import HAMT_THRESHOLD, Profile, profile_named

MAX_DEPTH = 32
"""Folders within folders, the same when importing and when reading."""
MAX_NAME_BYTES = 255

Content = bytes | Path
_Folder = dict[str, "Content | _Folder"]


def import_tree(files: Path | Mapping[str, Content], profile: str | Profile = DEFAULT_PROFILE) -> Iterator[Block]:
    """Gives the blocks of a folder, children before parents; the last one is the root.

    ``files`` is a folder, whose hidden entries are left out as the profiles say and whose links are refused, or a
    mapping from relative names with ``/`` to bytes or paths, all of which are taken. Raises FileRefused.
    """
    rules = profile_named(profile)
    tree = scan_folder(files) if isinstance(files, Path) else _nested(files)
    yield from _folder_blocks(tree, rules)


def directory_blocks(entries: Mapping[str, Subtree], profile: str | Profile = DEFAULT_PROFILE) -> Iterator[Block]:
    """The blocks of one directory over subtrees already imported; the last one is the root."""
    rules = profile_named(profile)
    links = [entries[name].link(name) for name in sorted(entries, key=str.encode)]
    node = Node(tuple(links), Message(DIRECTORY).encode())
    block = Block.of_node(node, rules.cid_version, sum(entry.size for entry in entries.values()))
    if rules.directory_estimate == "block":
        estimate = len(block.data)
    else:
        estimate = sum(len(link.name.encode()) + len(link.cid.to_bytes()) for link in links)
    if estimate > HAMT_THRESHOLD:
        yield from shard_blocks(entries, rules)
    else:
        yield block


def check_name(name: str) -> str:
    """Gives one path segment back when a directory may hold it; raises FileRefused."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise FileRefused("a name is not valid UTF-8", found=repr(name), fix="rename the file") from error
    if name in (".", "..") or "/" in name or "\0" in name or not 0 < length <= MAX_NAME_BYTES:
        raise FileRefused(
            "a name cannot stand in a directory",
            expected=f"1 to {MAX_NAME_BYTES} bytes without '/' and NUL, not '.' or '..'",
            found=repr(name),
        )
    return name


def scan_folder(folder: Path, depth: int = 0) -> _Folder:
    """Lists a folder recursively without its hidden entries; raises FileRefused for links and special files."""
    _check_depth(depth, str(folder))
    tree: _Folder = {}
    try:
        listing = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise FileRefused(f"{folder} cannot be listed", expected="a folder", found=str(error)) from error
    for entry in listing:
        if entry.name.startswith("."):
            continue
        name = check_name(entry.name)
        if entry.is_dir(follow_symlinks=False):
            tree[name] = scan_folder(folder / name, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            tree[name] = folder / name
        else:
            raise FileRefused(f"{folder / name} is not a regular file", expected="files and folders, no links")
    return tree


def _nested(files: Mapping[str, Content]) -> _Folder:
    tree: _Folder = {}
    for path, content in files.items():
        *parents, name = [check_name(part) for part in path.split("/")]
        _check_depth(len(parents), path)
        folder = tree
        for parent in parents:
            inner = folder.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise FileRefused(f"{path} stands below a file", found=f"{parent} is a file")
            folder = inner
        if name in folder:
            raise FileRefused(f"{path} is both a file and a folder")
        folder[name] = content
    return tree


def _folder_blocks(tree: _Folder, rules: Profile) -> Iterator[Block]:
    entries: dict[str, Subtree] = {}
    for name, content in tree.items():
        block: Block | None = None
        for block in _folder_blocks(content, rules) if isinstance(content, dict) else import_content(content, rules):
            yield block
        assert block is not None
        entries[name] = block.subtree
    yield from directory_blocks(entries, rules)


def _check_depth(depth: int, path: str) -> None:
    if depth > MAX_DEPTH:
        raise FileRefused(f"{path} is nested too deep", expected=f"at most {MAX_DEPTH} folders")
