"""The embedded store: sound blocks only, whoever writes, reads, crashes or tampers."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provenance.car import car_bytes
from provenance.cid import DAG_PB, Cid
from provenance.errors import BlockCorrupt, BlockMissing, FormatError, StoreUnavailable
from provenance.stores import FolderStore, add_tree, check_complete
from provenance.unixfs import import_content, read_path
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES

DATA = b"hello world"
CID = Cid.of_block(DATA)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "blocks")


def place(store: FolderStore, cid: Cid = CID) -> Path:
    return store.path / cid.digest.hex()[:2] / cid.digest.hex()


def test_blocks_come_back_under_every_cid_of_the_same_bytes(store: FolderStore) -> None:
    assert not store.has(CID)
    store.put(str(CID), DATA)
    assert store.has(CID)
    assert store.get(str(CID)) == store.get(CID) == DATA
    assert store.get(Cid(CID.digest, DAG_PB, 0)) == DATA
    store.keep(CID)


def test_the_file_is_the_block_readable_and_named_by_its_digest(store: FolderStore) -> None:
    store.put(CID, DATA)
    assert place(store).read_bytes() == DATA
    assert place(store).stat().st_mode & 0o777 == 0o644
    assert list((store.path / "new").iterdir()) == []


def test_a_missing_block_says_what_to_do(store: FolderStore) -> None:
    for look in (store.get, store.keep):
        with pytest.raises(BlockMissing) as caught:
            look(CID)
        assert "prov store import" in str(caught.value)
        assert caught.value.exit_code == 3


def test_bytes_of_another_cid_are_not_taken(store: FolderStore) -> None:
    with pytest.raises(BlockCorrupt):
        store.put(CID, DATA + b"!")
    assert not store.has(CID)


def test_oversized_blocks_are_not_taken(store: FolderStore) -> None:
    data = bytes(MAX_BLOCK_BYTES + 1)
    with pytest.raises(FormatError, match="too large"):
        store.put(Cid.of_block(data), data)


@pytest.mark.parametrize("tampering", [b"", b"hello worlD", b"hello world!", bytes(MAX_BLOCK_BYTES + 1)])
def test_tampered_blocks_are_never_given_and_are_mended_by_the_next_put(store: FolderStore, tampering: bytes) -> None:
    store.put(CID, DATA)
    place(store).write_bytes(tampering)
    with pytest.raises(BlockCorrupt):
        store.get(CID)
    store.put(CID, DATA)
    assert store.get(CID) == DATA


def test_a_link_in_a_blocks_place_is_not_followed(store: FolderStore, tmp_path: Path) -> None:
    store.put(CID, DATA)
    (tmp_path / "elsewhere").write_bytes(DATA)
    place(store).unlink()
    place(store).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BlockCorrupt, match="not a block file"):
        store.get(CID)
    store.put(CID, DATA)
    assert not place(store).is_symlink()


def test_a_folder_in_a_blocks_place_is_told(store: FolderStore) -> None:
    place(store).mkdir(parents=True)
    with pytest.raises(BlockCorrupt, match="not a block file"):
        store.get(CID)
    with pytest.raises(StoreUnavailable):
        store.put(CID, DATA)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "blocks").write_bytes(b"")
    store = FolderStore(tmp_path / "blocks")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        store.put(CID, DATA)
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        store.get(CID)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_unavailable(store: FolderStore) -> None:
    store.put(CID, DATA)
    place(store).chmod(0)
    with pytest.raises(StoreUnavailable, match="permissions"):
        store.get(CID)


def test_an_archive_is_taken_in(store: FolderStore) -> None:
    assert store.put_car(io.BytesIO(car_bytes([CID], [(CID, DATA)]))) == (CID,)
    assert store.get(CID) == DATA


def test_a_lying_archive_is_refused_and_what_was_true_in_it_stays(store: FolderStore) -> None:
    lie = Cid.of_block(b"lie")
    with pytest.raises(BlockCorrupt):
        store.put_car(io.BytesIO(car_bytes([CID], [(CID, DATA), (lie, b"another")])))
    assert not store.has(lie)
    assert [path for path in store.path.rglob("*") if path.is_file()] in ([], [place(store)])


def test_a_failing_source_leaves_nothing_half_written(store: FolderStore) -> None:
    def blocks() -> object:
        yield from import_content(b"x" * 3_000_000)
        raise OSError("the disk of the source is gone")

    with pytest.raises(OSError, match="source is gone"):
        store.put_blocks(blocks())  # type: ignore[arg-type]
    assert list((store.path / "new").iterdir()) == []


def test_what_a_crash_left_is_swept_after_a_day(store: FolderStore) -> None:
    store.put(CID, DATA)
    old, young = store.path / "new" / "old", store.path / "new" / "young"
    for path in (old, young):
        path.write_bytes(b"half a bl")
    os.utime(old, (time.time() - 90_000,) * 2)
    store.put(CID, DATA)
    assert not old.exists()
    assert young.exists()


WRITER = """
import os, sys
from pathlib import Path
from provenance.cid import Cid
from provenance.stores import FolderStore

store, first = FolderStore(Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + int(sys.argv[3])):
    data = number.to_bytes(4, "big") * 5000
    store.put(Cid.of_block(data), data)
    print(number, flush=True)
"""


def writer(store: FolderStore, first: int, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(store.path), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * 5000


def test_kill_9_loses_no_acknowledged_block_and_leaves_no_broken_one(store: FolderStore) -> None:
    acknowledged = 0
    for attempt in range(4):
        process = writer(store, acknowledged, 100_000)
        assert process.stdout is not None
        for _ in range(5 + 7 * attempt):
            assert process.stdout.readline()
            acknowledged += 1
        process.send_signal(signal.SIGKILL)
        acknowledged += len(process.stdout.read().splitlines())
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    for number in range(acknowledged):
        assert store.get(Cid.of_block(block(number))) == block(number)
    for path in store.path.glob("??/*"):
        assert str(Cid.of_block(path.read_bytes()).digest.hex()) == path.name


def test_many_writers_of_the_same_blocks_do_not_disturb_each_other_or_a_reader(store: FolderStore) -> None:
    processes = [writer(store, 0, 60) for _ in range(4)]
    seen = 0
    while any(process.poll() is None for process in processes):
        cid = Cid.of_block(block(seen % 60))
        if store.has(cid):
            assert store.get(cid) == block(seen % 60)
        seen += 1
    for process in processes:
        assert process.stdout is not None
        assert len(process.stdout.read().splitlines()) == 60
        process.stdout.close()
        assert process.wait() == 0
    assert sum(1 for _ in store.path.glob("??/*")) == 60
    assert list((store.path / "new").iterdir()) == []


def test_a_tree_is_added_and_checked(store: FolderStore, tmp_path: Path) -> None:
    root = add_tree(store, {"a/b": b"b" * 2_000_000, "c": b"c"})
    assert read_path(store, root, "c") == b"c"
    assert check_complete(store, root) == 6
    place(store, Cid.of_block(b"c")).unlink()
    with pytest.raises(BlockMissing):
        check_complete(store, root)
