"""Reading: everything imported comes back, and blocks that lie are refused before they cost anything."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.cid import DAG_PB, RAW, Cid
from provenance.errors import BlockMissing, FileRefused, FormatError
from provenance.stores import MemoryStore, add_bytes, add_tree
from provenance.unixfs import (
    Profile,
    graph_blocks,
    import_file,
    import_tree,
    list_directory,
    read_path,
    resolve,
    stream_path,
    walk,
)
from provenance.unixfs import reader as reader_module
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES, Link
from provenance.unixfs.message import DIRECTORY, FILE, HAMT_SHARD, Message
from provenance.unixfs.murmur3 import murmur3_64
from provenance.unixfs.profile import V0_2015, V1_2025

# The same rules with tiny numbers, so that small files make tall trees.
TALL_V1 = Profile("tall", 1, True, 3, 2, "block")
TALL_V0 = Profile("tall", 0, False, 3, 2, "links")
profiles = st.sampled_from([V1_2025, V0_2015, TALL_V1, TALL_V0])

segments = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)


@given(st.binary(max_size=400), profiles)
@settings(deadline=None)
def test_files_come_back(content: bytes, profile: Profile) -> None:
    import io

    store = MemoryStore()
    blocks = list(import_file(io.BytesIO(content), profile))
    store.put_blocks(blocks)
    root = blocks[-1]
    assert read_path(store, root.cid) == content
    assert resolve(store, root.cid).size == root.subtree.size == len(content)
    assert root.subtree.total == sum(len(block.data) for block in blocks)
    assert {cid for cid, _ in graph_blocks(store, root.cid)} == {block.cid for block in blocks}


@given(st.dictionaries(segments, st.binary(max_size=20), max_size=12), st.sampled_from(["plain", "sharded"]), profiles)
@settings(deadline=None)
def test_folders_come_back(files: dict[str, bytes], kind: str, profile: Profile) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if kind == "sharded":
            patch.setattr("provenance.unixfs.tree.HAMT_THRESHOLD", 0)
        blocks = list(import_tree({f"in/{name}": data for name, data in files.items()} | {"x": b"x"}, profile))
    store = MemoryStore()
    store.put_blocks(blocks)
    root = blocks[-1].cid
    for name, data in files.items():
        assert read_path(store, root, f"in/{name}") == data
    expected = [f"in/{name}" for name in sorted(files, key=str.encode)] + ["x"]
    assert [name for name, _, _ in walk(store, root)] == expected
    assert sum(size for _, _, size in walk(store, root)) == blocks[-1].subtree.size


def test_names_that_share_their_first_hash_byte_make_deeper_shards() -> None:
    alike = [name for name in map(str, range(20000)) if murmur3_64(name.encode())[0] == 7][:40]
    store = MemoryStore()
    files = {f"{name}": name.encode() for name in alike}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("provenance.unixfs.tree.HAMT_THRESHOLD", 0)
        root = add_tree(store, files)
    assert {name: read_path(store, root, name) for name in list_directory(store, root)} == files
    absent = next(str(n) for n in range(20000, 90000) if murmur3_64(str(n).encode())[0] == 7)
    with pytest.raises(FileRefused, match="is not in"):
        resolve(store, root, absent)


def test_a_large_folder_is_found_by_name_in_few_blocks() -> None:
    store = MemoryStore()
    root = add_tree(store, {f"{index:06d}.json": b"%d" % index for index in range(8000)})
    asked: list[str] = []

    class Counting:
        def get(self, cid: Cid | str) -> bytes:
            asked.append(str(cid))
            return store.get(cid)

    assert read_path(Counting(), root, "004321.json") == b"4321"
    assert len(asked) <= 4


def test_streams_are_cut_where_the_chunks_were() -> None:
    store = MemoryStore()
    content = bytes(2 * 1024 * 1024 + 5)
    root = add_bytes(store, content)
    assert [len(piece) for piece in stream_path(store, root)] == [1024 * 1024, 1024 * 1024, 5]


@pytest.mark.parametrize(
    ("path", "error", "fault"),
    [
        ("absent", FileRefused, "is not in"),
        ("a/absent", FileRefused, "is not in"),
        ("a/b/c", FileRefused, "not a directory"),
        ("a", FileRefused, "is a directory"),
        ("", FileRefused, "is a directory"),
        ("a//b", FileRefused, "is not in"),
        ("../a/b", FileRefused, "is not in"),
        ("/".join("a" * 40), FormatError, "too deep"),
    ],
)
def test_paths_that_lead_nowhere(path: str, error: type[Exception], fault: str) -> None:
    store = MemoryStore()
    root = add_tree(store, {"a/b": b"b"})
    with pytest.raises(error, match=fault):
        read_path(store, root, path)


def test_a_read_is_bounded_before_it_begins() -> None:
    store = MemoryStore()
    root = add_bytes(store, bytes(3_000_000))
    with pytest.raises(FormatError, match="too large"):
        read_path(store, root, limit=2_999_999)
    assert len(read_path(store, root, limit=3_000_000)) == 3_000_000


def test_a_missing_block_is_told_from_a_missing_name() -> None:
    *_, root = import_tree({"a/b": b"b"})
    store = MemoryStore()
    store.put(root.cid, root.data)
    with pytest.raises(BlockMissing):
        read_path(store, root.cid, "a/b")


# --- blocks that lie ---------------------------------------------------------------------------------------------


def part(cid: Cid, name: str = "", total: int = 0) -> Link:
    return Link(cid, name, total)


def file_refused(blocks: Any, root: Cid, fault: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_path(blocks, root)
    assert fault in str(caught.value)


def test_a_part_longer_or_shorter_than_said(blocks: Any) -> None:
    leaf = blocks.add(b"12345", RAW)
    for said in (4, 6):
        file_refused(blocks, blocks.node(Message(FILE, size=said, block_sizes=(said,)), part(leaf)), "wrong size")


def test_sizes_that_do_not_add_up(blocks: Any) -> None:
    leaf = blocks.add(b"12345", RAW)
    file_refused(blocks, blocks.node(Message(FILE, size=9, block_sizes=(5,)), part(leaf)), "wrong size")
    file_refused(blocks, blocks.node(Message(FILE, data=b"abc", size=4)), "wrong size")
    file_refused(blocks, blocks.node(Message(FILE, data=b"abc")), "does not say its size")
    inner = blocks.node(Message(FILE, data=b"abc"))
    file_refused(blocks, blocks.node(Message(FILE, size=3, block_sizes=(3,)), part(inner)), "wrong size")


def test_more_links_than_sizes_and_links_with_names(blocks: Any) -> None:
    leaf = blocks.add(b"12345", RAW)
    file_refused(blocks, blocks.node(Message(FILE, size=5, block_sizes=(5,)), part(leaf), part(leaf)), "size of each")
    file_refused(blocks, blocks.node(Message(FILE, size=5), part(leaf)), "size of each part")
    file_refused(blocks, blocks.node(Message(FILE, size=5, block_sizes=(5,)), part(leaf, "x")), "size of each part")


def test_empty_parts_without_end(blocks: Any) -> None:
    leaf = blocks.add(b"", RAW)
    for _ in range(6):
        leaf = blocks.node(Message(FILE, size=0, block_sizes=(0,) * 1000), *[part(leaf)] * 1000)
    file_refused(blocks, leaf, "empty part")


def test_a_small_graph_that_unfolds_into_a_huge_file(blocks: Any) -> None:
    root, size = blocks.add(bytes(1024), RAW), 1024
    for _ in range(4):
        root = blocks.node(Message(FILE, size=size * 1000, block_sizes=(size,) * 1000), *[part(root)] * 1000)
        size *= 1000
    assert resolve(blocks, root).size == 1024 * 1000**4
    file_refused(blocks, root, "too large")


def test_a_file_nested_without_end(blocks: Any) -> None:
    root = blocks.add(b"x", RAW)
    for _ in range(12):
        root = blocks.node(Message(FILE, size=1, block_sizes=(1,)), part(root))
    file_refused(blocks, root, "nested too deep")


def test_a_folder_as_part_of_a_file(blocks: Any) -> None:
    folder = blocks.node(Message(DIRECTORY))
    file_refused(blocks, blocks.node(Message(FILE, size=1, block_sizes=(1,)), part(folder)), "is none")


def test_an_oversized_block(blocks: Any) -> None:
    file_refused(blocks, blocks.add(bytes(MAX_BLOCK_BYTES + 1), RAW), "too large")


def test_a_raw_file_of_another_size_than_its_folder_says(blocks: Any) -> None:
    leaf = blocks.add(b"12345", RAW)
    root = blocks.node(Message(DIRECTORY), Link(leaf, "a", 6))
    with pytest.raises(FormatError, match="wrong size"):
        read_path(blocks, root, "a")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "../../etc/passwd", "a" * 256])
def test_names_that_no_file_can_have(blocks: Any, name: str) -> None:
    root = blocks.node(Message(DIRECTORY), part(blocks.add(b"", RAW), name))
    with pytest.raises(FormatError, match="no file can have"):
        list(walk(blocks, root))


def test_names_out_of_order_or_twice(blocks: Any) -> None:
    leaf = blocks.add(b"", RAW)
    with pytest.raises(FormatError, match="not sorted"):
        list_directory(blocks, blocks.node(Message(DIRECTORY), part(leaf, "b"), part(leaf, "a")))
    with pytest.raises(FormatError, match="twice"):
        list_directory(blocks, blocks.node(Message(DIRECTORY), part(leaf, "a"), part(leaf, "a")))


def test_a_folder_that_says_more_than_a_folder_can(blocks: Any) -> None:
    for message in (Message(DIRECTORY, data=b"x"), Message(DIRECTORY, size=1), Message(DIRECTORY, block_sizes=(1,))):
        with pytest.raises(FormatError, match="more than a directory can"):
            list_directory(blocks, blocks.node(message))


def test_folders_nested_without_end(blocks: Any) -> None:
    root = blocks.node(Message(DIRECTORY))
    for _ in range(40):
        root = blocks.node(Message(DIRECTORY), part(root, "a"))
    with pytest.raises(FormatError, match="nested too deep"):
        list(walk(blocks, root))


def test_a_small_graph_that_unfolds_into_a_million_names(blocks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_ENTRIES", 5000)
    root = blocks.add(b"", RAW)
    for _ in range(6):
        root = blocks.node(Message(DIRECTORY), *[part(root, f"{index:02d}") for index in range(50)])
    with pytest.raises(FormatError, match="too many entries"):
        list(walk(blocks, root))


def shard(slots: list[int]) -> Message:
    field = sum(1 << slot for slot in slots)
    return Message(HAMT_SHARD, data=field.to_bytes((field.bit_length() + 7) // 8, "big"), hash_type=0x22, fanout=256)


def test_a_shard_with_a_name_in_the_wrong_slot(blocks: Any) -> None:
    leaf = blocks.add(b"", RAW)
    slot = murmur3_64(b"hello")[0]
    assert list(list_directory(blocks, blocks.node(shard([slot]), part(leaf, f"{slot:02X}hello")))) == ["hello"]
    with pytest.raises(FormatError, match="wrong slot"):
        list_directory(blocks, blocks.node(shard([slot ^ 1]), part(leaf, f"{slot ^ 1:02X}hello")))


def test_a_shard_below_which_stands_no_shard(blocks: Any) -> None:
    plain = blocks.node(Message(DIRECTORY))
    slot = murmur3_64(b"hello")[0]
    root = blocks.node(shard([slot]), part(plain, f"{slot:02X}"))
    for look in (lambda: list_directory(blocks, root), lambda: resolve(blocks, root, "hello")):
        with pytest.raises(FormatError, match="not part of a sharded directory"):
            look()


def test_shards_nested_without_end(blocks: Any) -> None:
    root = blocks.node(shard([]))
    for _ in range(12):
        root = blocks.node(shard([0]), part(root, "00"))
    with pytest.raises(FormatError, match="too deep"):
        list_directory(blocks, root)


def test_a_name_inside_a_shard_that_no_file_can_have(blocks: Any) -> None:
    slot = murmur3_64(b"..")[0]
    root = blocks.node(shard([slot]), part(blocks.add(b"", RAW), f"{slot:02X}.."))
    with pytest.raises(FormatError, match="no file can have"):
        list_directory(blocks, root)


def test_a_raw_block_read_as_a_node(blocks: Any) -> None:
    leaf = blocks.add(b"not dag-pb", RAW)
    with pytest.raises(FormatError):
        read_path(blocks, Cid(leaf.digest, DAG_PB))


def test_a_graph_shared_many_times_is_gone_through_once(blocks: Any) -> None:
    root = blocks.add(b"x", RAW)
    for _ in range(20):
        root = blocks.node(Message(DIRECTORY), *[part(root, name) for name in "abcdefgh"])
    assert len(list(itertools.islice(graph_blocks(blocks, root), 1000))) == 21


def test_what_a_graph_gives_hashes_to_its_cid(blocks: Any) -> None:
    root = blocks.node(Message(DIRECTORY), part(blocks.add(b"x", RAW), "a", 1))
    assert all(hashlib.sha256(data).digest() == cid.digest for cid, data in graph_blocks(blocks, root))
