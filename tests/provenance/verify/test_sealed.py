"""Sealed releases: an image's whole history verifies without the key, and tampering with the sealed file is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provenance.anchoring import anchor_pending
from provenance.bundle import make_bundle
from provenance.canonical import canonical_json, parse_json
from provenance.journal import Journal
from provenance.ledger.protocol import Token
from provenance.ledger.snapshot import Snapshot
from provenance.release import publish_release
from provenance.stores import FolderStore, add_tree
from provenance.verify import Verdict, verify_image
from tests.provenance.verify.conftest import _adapter

if TYPE_CHECKING:
    from tests.provenance.verify.conftest import World

SEALED = "adapter/adapter.safetensors.sealed"


@dataclass
class SealedWorld:
    """A world with two sealed adapters of one dataset, and an image of the first."""

    world: World
    token: Token
    other: Token


@pytest.fixture(scope="module")
def sealed(make_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedWorld]:
    folder = tmp_path_factory.mktemp("sealed") / "world"
    world = make_world(folder)
    tokens = [
        publish_release(
            _adapter(folder, world.issuer, world.datasets[0], f"sealed-{seed}", seed),
            world.datasets[0].root,
            home=world.home,
            ledger=world.ledger,
            store=world.store,
            account=world.maker,
            trust=world.trust,
        )
        for seed in (31, 32)
    ]
    with Journal.of_home(world.home) as journal:
        world.issue("sealed.png", 141, world.maker, tokens[0], journal)
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    # A verifier has neither the maker's keys nor the adapter's folder.
    shutil.rmtree(world.home.path / "keys")
    yield SealedWorld(world, tokens[0], tokens[1])
    world.ledger.close()


def test_an_image_of_sealed_weights_is_authentic_without_any_key(sealed: SealedWorld) -> None:
    report = sealed.world.verify("sealed.png")
    assert report.verdict is Verdict.AUTHENTIC
    assert any("published sealed" in line for line in report.layer("adapter").checked)


def test_a_bundle_of_sealed_weights_verifies_offline_and_carries_no_plaintext(
    sealed: SealedWorld, tmp_path: Path
) -> None:
    world, bundle = sealed.world, tmp_path / "sealed.car"
    make_bundle(
        world.images["sealed.png"],
        bundle,
        reader=world.reader(),
        store=world.store,
        trust=world.trust,
        issuer=world.issuer,
    )
    report = verify_image(world.images["sealed.png"], trust=world.trust, bundle=bundle)
    assert report.verdict is Verdict.AUTHENTIC
    plaintext = (world.folder / "sealed-31" / "adapter" / "adapter.safetensors").read_bytes()
    assert plaintext[-64:] not in bundle.read_bytes()


def index_without_seal(data: bytes) -> bytes:
    value = parse_json(data, "release.json")
    del value["sealed"]
    return canonical_json({**value, "type": "urn:prov:release:v1"})


def index_with(data: bytes, **change: object) -> bytes:
    value = parse_json(data, "release.json")
    return canonical_json({**value, "sealed": {**value["sealed"], **change}})


TAMPERING: dict[str, tuple[Callable[[dict[str, bytes], dict[str, bytes]], dict[str, bytes]], str]] = {
    "one bit of the header": (lambda f, o: f | {SEALED: f[SEALED][:100] + b"\0" + f[SEALED][101:]}, "another"),
    "one bit of the body": (lambda f, o: f | {SEALED: f[SEALED][:-1] + bytes([f[SEALED][-1] ^ 1])}, "another SHA-256"),
    "cut short": (lambda f, o: f | {SEALED: f[SEALED][:-1]}, "another SHA-256"),
    "emptied": (lambda f, o: f | {SEALED: b""}, "not a sealed file"),
    "removed": (lambda f, o: {n: d for n, d in f.items() if n != SEALED}, "is not in"),
    "of another adapter": (lambda f, o: f | {SEALED: o[SEALED]}, "another SHA-256"),
    "of another adapter, and described": (
        lambda f, o: f | {
            SEALED: o[SEALED],
            "release.json": index_with(f["release.json"], **parse_json(o["release.json"], "")["sealed"]),
        },
        "another plaintext",
    ),
    "described under another key": (
        lambda f, o: f | {"release.json": index_with(f["release.json"], key="00" * 32)},
        "another key",
    ),
    "described by another maker": (
        lambda f, o: f | {"release.json": index_with(f["release.json"], maker="0x" + "00" * 20)},
        "sealed by another account",
    ),
    "said to be in clear": (
        lambda f, o: f | {"release.json": index_without_seal(f["release.json"])},
        "adapter.safetensors is not in",
    ),
    "the other settings": (
        lambda f, o: f | {"adapter/config.json": o["adapter/config.json"]},
        "config.json was changed after signing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_with_a_sealed_release_is_found(sealed: SealedWorld, tmp_path: Path, how: str) -> None:
    world = sealed.world
    change, message = TAMPERING[how]
    shutil.copytree(world.store.path, tmp_path / "blocks")
    store = FolderStore(tmp_path / "blocks")
    cid = str(add_tree(store, change(world.tree(sealed.token.cid), world.tree(sealed.other.cid))))
    report = world.verify("sealed.png", reader=world.pointing(sealed.token.cid, cid), store=store)
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer("adapter").detail


def test_the_ledgers_logs_alone_tell_nothing_of_the_key(sealed: SealedWorld) -> None:
    logs = Snapshot(sealed.world.ledger.identity, sealed.world.ledger.head(), sealed.world.logs()).to_bytes()
    release = parse_json(sealed.world.tree(sealed.token.cid)["release.json"], "release.json")
    assert release["sealed"]["key"].encode() not in logs
