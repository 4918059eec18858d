"""Against a real Kubo daemon: the same CIDs, the same archives, and blocks there and back."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provenance.car import car_bytes
from provenance.cid import Cid, file_cid
from provenance.errors import BlockCorrupt, BlockMissing
from provenance.stores import FolderStore, MemoryStore, add_bytes, add_tree, check_complete
from provenance.stores.archive import export_car, import_car
from provenance.stores.kubo import KuboStore
from provenance.unixfs import Profile, import_tree, read_path, walk
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES
from provenance.unixfs.profile import V0_2015, V1_2025

pytestmark = pytest.mark.kubo

FILES = {"a/b.txt": b"b", "a/c é.bin": bytes(range(256)) * 8000, "release.json": b"{}", "empty": b""}
V0_OPTIONS = ("--cid-version=0", "--raw-leaves=false", "--chunker=size-262144", "--max-file-links=174")


@pytest.fixture
def store(kubo: Any) -> Iterator[KuboStore]:
    with KuboStore(kubo.url, timeout=20) as store:
        yield store


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_the_daemon_answers(store: KuboStore, kubo: Any) -> None:
    assert store.version() == kubo.ipfs("version", "--number").decode().strip()


def test_the_client_s_own_connect_refuses_this_daemon(kubo: Any) -> None:
    import ipfshttpclient

    with pytest.warns(FutureWarning), pytest.raises(ipfshttpclient.exceptions.VersionMismatch):
        ipfshttpclient.connect(kubo.url)


@pytest.mark.parametrize("size", [0, 1, 262144, 262145, 1048576, 1048577, 5_000_000, 48_000_000])
def test_files_have_the_daemons_cid(kubo: Any, size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert kubo.ipfs("add", "-Q", "--only-hash", str(path)).decode().strip() == file_cid(path)
    version_0 = kubo.ipfs("add", "-Q", "--only-hash", *V0_OPTIONS, str(path)).decode().strip()
    assert version_0 == file_cid(path, "unixfs-v0-2015")


@pytest.mark.parametrize("profile", [V1_2025, V0_2015], ids=lambda profile: profile.name)
@pytest.mark.parametrize("count", [0, 3, 3000, 9000])
def test_folders_have_the_daemons_cid(kubo: Any, count: int, profile: Profile, tmp_path: Path) -> None:
    files = {f"in/{index:05d} picture with a long name é.json": b"%d" % index for index in range(count)}
    written(tmp_path, files | {".hidden": b"x", "top": b"top"})
    (tmp_path / "empty").mkdir()
    options = V0_OPTIONS if profile is V0_2015 else ()
    if profile is V0_2015:
        kubo.ipfs("config", "Import.UnixFSHAMTDirectorySizeEstimation", "links")
    try:
        theirs = kubo.ipfs("add", "-r", "-Q", "--only-hash", *options, str(tmp_path)).decode().strip()
    finally:
        kubo.ipfs("config", "Import.UnixFSHAMTDirectorySizeEstimation", "block")
    *_, root = import_tree(tmp_path, profile)
    assert str(root.cid) == theirs


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_trees_go_up_and_come_back(store: KuboStore, kubo: Any, profile: str) -> None:
    root = add_tree(store, FILES, profile)
    assert {name: read_path(store, root, name) for name, _, _ in walk(store, root)} == FILES
    assert kubo.ipfs("cat", f"/ipfs/{root}/release.json") == b"{}"
    assert str(root) in kubo.ipfs("pin", "ls", "--type=recursive", "-q").decode()


def test_what_the_daemon_added_is_read_here(store: KuboStore, kubo: Any, tmp_path: Path) -> None:
    files = {f"{index:04d}-with-a-name-of-some-length-{'x' * 90}": b"%d" % index for index in range(2500)}
    written(tmp_path, files)
    root = kubo.ipfs("add", "-r", "-Q", str(tmp_path)).decode().strip()
    assert "1234" in "".join(files)
    assert [name for name, _, _ in walk(store, root)] == sorted(files)
    assert read_path(store, root, sorted(files)[1234]) == b"1234"


def test_archives_are_byte_for_byte_the_daemons(store: KuboStore, kubo: Any, tmp_path: Path) -> None:
    files = FILES | {f"many/{index:05d}-{'x' * 60}": b"%d" % (index % 7) for index in range(4000)}
    root = add_tree(store, files)
    export_car(store, root, tmp_path / "ours.car")
    assert (tmp_path / "ours.car").read_bytes() == kubo.ipfs("dag", "export", "--progress=false", str(root))


def test_archives_go_from_folder_to_daemon_to_folder(store: KuboStore, tmp_path: Path) -> None:
    files = FILES | {"large": os.urandom(40_000_000)}
    here, there = FolderStore(tmp_path / "here"), FolderStore(tmp_path / "there")
    root = add_tree(here, files)
    export_car(here, root, tmp_path / "up.car")
    assert import_car(store, tmp_path / "up.car").roots == (root,)
    export_car(store, root, tmp_path / "down.car")
    assert (tmp_path / "down.car").read_bytes() == (tmp_path / "up.car").read_bytes()
    import_car(there, tmp_path / "down.car")
    assert read_path(there, root, "large") == files["large"]


def test_single_blocks(store: KuboStore) -> None:
    data = os.urandom(1000)
    cid = Cid.of_block(data)
    assert not store.has(cid)
    store.put(cid, data)
    assert store.has(str(cid))
    assert store.get(str(cid)) == data
    assert len(store.get(_put(store, bytes(MAX_BLOCK_BYTES)))) == MAX_BLOCK_BYTES


def _put(store: KuboStore, data: bytes) -> Cid:
    cid = Cid.of_block(data)
    store.put(cid, data)
    return cid


def test_a_missing_block_is_missing_and_not_a_fault(store: KuboStore) -> None:
    cid = Cid.of_block(os.urandom(16))
    for look in (store.get, store.keep, lambda cid: check_complete(store, cid)):
        with pytest.raises(BlockMissing, match="cannot find") as caught:
            look(cid)
        assert "prov store import" in str(caught.value)


def test_an_incomplete_tree_is_not_kept(store: KuboStore) -> None:
    *_, root = import_tree({"a": os.urandom(32)})
    store.put(root.cid, root.data)
    with pytest.raises(BlockMissing):
        store.keep(root.cid)


def test_lies_are_refused_before_they_are_sent(store: KuboStore) -> None:
    data = os.urandom(16)
    cid = Cid.of_block(data)
    with pytest.raises(BlockCorrupt):
        store.put(cid, b"another")
    with pytest.raises(BlockCorrupt):
        store.put_car(io.BytesIO(car_bytes([cid], [(cid, b"another")])))
    assert not store.has(cid)


def test_a_daemon_whose_disk_was_tampered_with_is_caught(store: KuboStore, kubo: Any) -> None:
    data = os.urandom(100)
    cid = add_bytes(store, data)
    victims = [
        path for path in Path(kubo.environment["IPFS_PATH"], "blocks").rglob("*.data") if path.read_bytes() == data
    ]
    assert len(victims) == 1
    victims[0].chmod(0o644)
    victims[0].write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BlockCorrupt, match=str(cid)):
        store.get(cid)


def test_archives_of_the_daemon_are_read(kubo: Any, tmp_path: Path) -> None:
    written(tmp_path / "in", FILES)
    root = kubo.ipfs("add", "-r", "-Q", str(tmp_path / "in")).decode().strip()
    (tmp_path / "x.car").write_bytes(kubo.ipfs("dag", "export", "--progress=false", root))
    store = MemoryStore()
    assert [str(cid) for cid in import_car(store, tmp_path / "x.car").roots] == [root]
    assert read_path(store, root, "a/b.txt") == b"b"
    assert json.loads(read_path(store, root, "release.json")) == {}


def test_a_home_uses_the_daemon(kubo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from cli.store import app
    from provenance.home import Home
    from provenance.stores import open_store

    monkeypatch.setenv("PROV_HOME", str(tmp_path))
    Home.create(tmp_path)
    told = CliRunner().invoke(app, ["use", "kubo", kubo.url, "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["version"] == kubo.ipfs("version", "--number").decode().strip()
    store = open_store(Home.open())
    assert isinstance(store, KuboStore)
    root = add_tree(store, FILES)
    assert CliRunner().invoke(app, ["get", str(root), "a/b.txt"]).stdout_bytes == b"b"
