"""UnixFS: files and folders as blocks with the same CIDs that Kubo gives, and back again."""

from __future__ import annotations

from provenance.unixfs.block import Block, Subtree
from provenance.unixfs.content import hash_content, import_content, import_file
from provenance.unixfs.profile import PROFILES, Profile, profile_named
from provenance.unixfs.reader import (
    BlockSource,
    Entry,
    graph_blocks,
    list_directory,
    read_path,
    resolve,
    stream_path,
    walk,
)
from provenance.unixfs.tree import Content, directory_blocks, import_tree

__all__ = [
    "PROFILES",
    "Block",
    "BlockSource",
    "Content",
    "Entry",
    "Profile",
    "Subtree",
    "directory_blocks",
    "graph_blocks",
    "hash_content",
    "import_content",
    "import_file",
    "import_tree",
    "list_directory",
    "profile_named",
    "read_path",
    "resolve",
    "stream_path",
    "walk",
]
