"""Records, proofs, anchors and mints that were changed, removed or swapped, on the chain or in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from provenance.canonical import canonical_json, parse_json
from provenance.cid import Cid, as_cid
from provenance.errors import BlockMissing, StoreUnavailable
from provenance.ledger.abi import topic
from provenance.merkle import leaf_hash
from provenance.merkle import root as merkle_root
from provenance.stores import add_tree
from provenance.unixfs import resolve
from provenance.verify import Verdict

if TYPE_CHECKING:
    from conftest import World

LINES, LEAVES = "records/00000.jsonl", "leaves.bin"
MANIFEST, ISSUER = "manifests/00000/0.c2pa", "issuer.pem"


def batch_of(world: World, name: str):
    record = world.records[name]
    found = world.reader().batch_covering(record.stream, record.serial)
    assert found is not None
    return found


def changed(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


def changed_certificate(data: bytes) -> bytes:
    """One letter of the leaf changed; half way lies, once in a while, a line's end, which means nothing in PEM."""
    at = len(b"-----BEGIN CERTIFICATE-----\n") + 72
    assert data[at : at + 1].isalnum() or data[at : at + 1] in b"+/"
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def swap_lines(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([lines[1], lines[0], *lines[2:]])


PROOF_FAILS = "the record's Merkle proof does not lead to the anchored root"
NOT_THE_LEAF = "the record is not the one that leaves.bin names"
BATCHES = [
    ("a record", LINES, lambda d: d.replace(b'"steps":20', b'"steps":21', 1), NOT_THE_LEAF),
    ("a record", LINES, lambda d: b"".join(d.splitlines(keepends=True)[1:]), "records/00000.jsonl is not whole"),
    ("a record", LINES, swap_lines, NOT_THE_LEAF),
    ("all records", LINES, None, "records/00000.jsonl is not in"),
    ("a leaf", LEAVES, lambda d: bytes([d[0] ^ 1]) + d[1:], NOT_THE_LEAF),
    ("a leaf", LEAVES, lambda d: d[:40] + bytes([d[40] ^ 1]) + d[41:], PROOF_FAILS),
    ("a leaf", LEAVES, lambda d: d[32:], "leaves.bin is not the anchored batch's"),
    ("a leaf", LEAVES, lambda d: d[32:64] + d[:32] + d[64:], NOT_THE_LEAF),
    ("all leaves", LEAVES, None, "leaves.bin is not in"),
]


@pytest.mark.parametrize("stripped", [False, True], ids=["with credentials", "stripped"])
@pytest.mark.parametrize(("what", "file", "change", "message"), BATCHES)
def test_tampering_with_a_batch_is_found(
    world: World, own_store, tmp_path, what: str, file: str, change, message: str, stripped: bool
) -> None:
    batch = batch_of(world, "fish.png")
    files = world.tree(batch.cid)
    if change is None:
        del files[file]
    else:
        files[file] = change(files[file])
    forged = str(add_tree(own_store, files))
    image = world.stripped("fish.png", tmp_path / "plain.png") if stripped else world.images["fish.png"]
    report = world.verify(image, reader=world.pointing(batch.cid, forged), store=own_store)
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer("record").detail


KEPT = [
    (MANIFEST, changed, "the credentials kept in the batch are not the record's"),
    (MANIFEST, None, "manifests/00000/0.c2pa is not in"),
    (MANIFEST, "swapped", "the credentials kept in the batch are not the record's"),
    (ISSUER, changed_certificate, "issuer.pem"),
    (ISSUER, None, "issuer.pem is not in"),
]


@pytest.mark.parametrize(("file", "change", "message"), KEPT)
def test_tampering_with_the_credentials_kept_in_a_batch_is_found(
    world: World, own_store, tmp_path, file: str, change, message: str
) -> None:
    batch = batch_of(world, "fish.png")
    files = world.tree(batch.cid)
    if change is None:
        del files[file]
    else:
        files[file] = files["manifests/00000/1.c2pa"] if change == "swapped" else change(files[file])
    forged = str(add_tree(own_store, files))
    image = world.stripped("fish.png", tmp_path / "plain.png")
    report = world.verify(image, reader=world.pointing(batch.cid, forged), store=own_store)
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer("binding").detail


def test_a_strangers_certificates_in_a_batch_do_not_help_him(world: World, own_store, tmp_path, stranger) -> None:
    batch = batch_of(world, "fish.png")
    files = world.tree(batch.cid) | {ISSUER: stranger.certificates_pem}
    reader = world.pointing(batch.cid, str(add_tree(own_store, files)))
    from provenance.trust import TrustStore

    report = world.verify("fish.png", reader=reader, store=own_store, trust=TrustStore())
    assert report.verdict is Verdict.TAMPERED
    assert "the certificates of another issuer than its record names" in report.layer("binding").detail


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("stream", 2, "payload"),
        ("serial", 1, "payload"),
        ("token", 2, "the record's token is not the ledger's"),
        ("chain_id", 1, "the record's chain_id is not the ledger's"),
        ("contract", "0x" + "11" * 20, "the record's contract is not the ledger's"),
        ("fingerprint", "zz", "fingerprint is wrong"),
        ("type", "urn:prov:image-record:v9", "this is not an image record"),
        ("extra", 1, "missing or unknown fields"),
    ],
)
def test_a_record_that_lies_is_found_even_under_a_forged_root(
    world: World, own_store, field: str, value, message: str
) -> None:
    batch = batch_of(world, "fish.png")
    files = world.tree(batch.cid)
    lines = files[LINES].splitlines()
    lines[0] = canonical_json(parse_json(lines[0], "record") | {field: value})
    leaves = [leaf_hash(line) for line in lines]
    files |= {LINES: b"".join(line + b"\n" for line in lines), LEAVES: b"".join(leaves)}
    forged = str(add_tree(own_store, files))
    logs = world.edited(batch.root, merkle_root(leaves).hex())
    logs = world.edited(batch.cid.encode().hex(), forged.encode().hex(), of=logs)
    report = world.verify("fish.png", reader=world.reader(logs), store=own_store)
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer("record").detail


@pytest.mark.parametrize(
    ("field", "layer", "message"),
    [
        ("weights", "adapter", "the record names other weights than token 1"),
        ("dataset", "adapter", "the record names other dataset than token 1"),
        ("base", "adapter", "the record names other base than token 1"),
    ],
)
def test_a_record_of_another_adapter_is_found_even_under_a_forged_root(
    world: World, own_store, field: str, layer: str, message: str
) -> None:
    batch = batch_of(world, "fish.png")
    files = world.tree(batch.cid)
    lines = files[LINES].splitlines()
    lines[0] = canonical_json(parse_json(lines[0], "record") | {field: "11" * 32})
    leaves = [leaf_hash(line) for line in lines]
    files |= {LINES: b"".join(line + b"\n" for line in lines), LEAVES: b"".join(leaves)}
    forged = str(add_tree(own_store, files))
    logs = world.edited(batch.root, merkle_root(leaves).hex())
    logs = world.edited(batch.cid.encode().hex(), forged.encode().hex(), of=logs)
    report = world.verify("fish.png", reader=world.reader(logs), store=own_store)
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer(layer).detail


def test_a_changed_anchored_root_is_found(world: World) -> None:
    root = batch_of(world, "fish.png").root
    report = world.verify("fish.png", reader=world.reader(world.edited(root, changed(root.encode()).decode())))
    assert report.verdict is Verdict.TAMPERED


def test_another_batchs_root_is_found(world: World) -> None:
    logs = world.edited(batch_of(world, "fish.png").root, batch_of(world, "cup.png").root)
    report = world.verify("fish.png", reader=world.reader(logs))
    assert report.verdict is Verdict.TAMPERED
    assert PROOF_FAILS in report.layer("record").detail


def test_another_batchs_records_are_found(world: World) -> None:
    one, other = batch_of(world, "fish.png"), batch_of(world, "cup.png")
    report = world.verify("fish.png", reader=world.pointing(one.cid, other.cid))
    assert report.verdict is Verdict.TAMPERED
    assert "leaves.bin is not the anchored batch's" in report.layer("record").detail


@pytest.mark.parametrize(("first", "count"), [(0, 4), (0, 6)])
def test_another_range_of_serials_is_found(world: World, first: int, count: int) -> None:
    batch = batch_of(world, "fish.png")
    words = f"{batch.first:064x}{batch.count:064x}"
    report = world.verify("fish.png", reader=world.reader(world.edited(words, f"{first:064x}{count:064x}")))
    assert report.verdict is Verdict.TAMPERED
    assert "leaves.bin is not the anchored batch's" in report.layer("record").detail


def test_a_shifted_range_of_serials_is_found(world: World) -> None:
    batch = batch_of(world, "boat.png")
    words = f"{batch.first:064x}{batch.count:064x}"
    report = world.verify("boat.png", reader=world.reader(world.edited(words, f"{1:064x}{batch.count:064x}")))
    assert report.verdict is Verdict.TAMPERED
    assert "payload" in report.layer("record").detail


def test_without_its_anchor_an_image_is_not_anchored(world: World) -> None:
    batch = batch_of(world, "fish.png")
    logs = tuple(log for log in world.logs() if log.transaction != batch.transaction)
    report = world.verify("fish.png", reader=world.reader(logs))
    assert report.verdict is Verdict.UNKNOWN
    assert "is not anchored yet" in report.layer("ledger").detail


def test_without_its_stream_an_image_is_tampering(world: World) -> None:
    stream = topic(world.records["fish.png"].stream)
    from contracts.artifact import load_artifact

    opened = load_artifact().events["StreamOpened"].selector
    logs = tuple(log for log in world.logs() if log.topics[:2] != (opened, stream))
    report = world.verify("fish.png", reader=world.reader(logs))
    assert report.verdict is Verdict.TAMPERED
    assert "stream 1 was never opened" in report.layer("ledger").detail


def test_a_stream_of_another_token_is_found(world: World) -> None:
    from contracts.artifact import load_artifact

    opened = load_artifact().events["StreamOpened"].selector
    one, two = topic(1), topic(2)
    logs = tuple(
        replace(log, topics=(*log.topics[:2], two, *log.topics[3:]))
        if log.topics[0] == opened and log.topics[1:3] == (one, one)
        else log
        for log in world.logs()
    )
    assert logs != world.logs()
    report = world.verify("fish.png", reader=world.reader(logs))
    assert report.verdict is Verdict.TAMPERED
    assert "the record's token is not the ledger's" in report.layer("record").detail


@pytest.mark.parametrize("field", ["weights", "dataset", "base", "terms"])
def test_a_changed_mint_is_found(world: World, field: str) -> None:
    token = world.tokens[0]
    report = world.verify("fish.png", reader=world.reader(world.edited(getattr(token, field), "5a" * 32)))
    assert report.verdict is Verdict.TAMPERED
    if field == "terms":
        assert "the published release has other terms than token 1" in report.layer("adapter").detail
    else:
        assert f"the record names other {field} than token 1" in report.layer("adapter").detail


def test_a_mint_that_points_at_another_release_is_found(world: World) -> None:
    one, two = world.tokens
    report = world.verify("fish.png", reader=world.pointing(one.cid, two.cid))
    assert report.verdict is Verdict.TAMPERED
    assert "the published release has other weights than token 1" in report.layer("adapter").detail


def test_without_its_mint_an_image_is_tampering(world: World) -> None:
    from contracts.artifact import load_artifact

    minted = load_artifact().events["AdapterMinted"].selector
    logs = tuple(log for log in world.logs() if log.topics[0] != minted)
    report = world.verify("fish.png", reader=world.reader(logs))
    assert report.verdict is Verdict.TAMPERED
    assert "there is no token 1" in report.layer("adapter").detail


def blocks_of(world: World) -> dict[str, Cid]:
    """Some block of every artefact that an image's history is read from."""
    batch, token = batch_of(world, "fish.png"), world.tokens[0]
    batch_files = {f"batch {name}": (batch.cid, name) for name in ("", LINES, LEAVES, ISSUER)}
    names = [artefact.removeprefix("release ") for artefact in ARTEFACTS if artefact.startswith("release ")]
    release_files = {f"release {name}": (token.cid, name) for name in names}
    return {label: resolve(world.store, *place).cid for label, place in (batch_files | release_files).items()}


ARTEFACTS = [
    "batch ",
    f"batch {LINES}",
    f"batch {LEAVES}",
    f"batch {ISSUER}",
    "release ",
    "release release.json",
    "release adapter",
    "release adapter/adapter.safetensors",
    "release adapter.dsse.json",
    "release adapter.sig",
    "release dataset.dsse.json",
    "release dataset.sig",
    "release dataset/records.jsonl",
    "release dataset/data",
    "release dataset/data/00.png",
]


@pytest.mark.parametrize("artefact", ARTEFACTS)
@pytest.mark.parametrize("how", ["changed", "swapped", "emptied"])
def test_a_corrupt_block_is_tampering(world: World, own_store, artefact: str, how: str) -> None:
    blocks = blocks_of(world)
    name = blocks[artefact].digest.hex()
    place = own_store.path / name[:2] / name
    other = world.store.get(blocks["release adapter.sig" if artefact != "release adapter.sig" else "release "])
    place.write_bytes({"changed": changed(place.read_bytes()), "swapped": other, "emptied": b""}[how])
    report = world.verify("fish.png", store=own_store)
    assert report.verdict is Verdict.TAMPERED
    failed = " ".join(layer.detail for layer in report.layers if layer.status == "failed")
    assert str(blocks[artefact]) in failed


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_a_missing_block_is_no_verdict(world: World, own_store, artefact: str) -> None:
    name = blocks_of(world)[artefact].digest.hex()
    (own_store.path / name[:2] / name).unlink()
    with pytest.raises(BlockMissing) as refusal:
        world.verify("fish.png", store=own_store)
    assert refusal.value.exit_code == 3
    assert refusal.value.fix


def test_a_missing_block_does_not_undo_a_contradiction(world: World, own_store, tmp_path) -> None:
    forged = tmp_path / "forged.png"
    data = bytearray(world.images["fish.png"].read_bytes())
    place = data.index(b"trainedAlgorithmicMedia")
    data[place : place + 7] = b"painted"
    from zlib import crc32

    start = data.index(b"caBX")
    length = int.from_bytes(data[start - 4 : start], "big")
    data[start + 4 + length : start + 8 + length] = crc32(data[start : start + 4 + length]).to_bytes(4, "big")
    forged.write_bytes(bytes(data))
    name = as_cid(world.tokens[0].cid).digest.hex()
    (own_store.path / name[:2] / name).unlink()
    report = world.verify(forged, store=own_store)
    assert report.verdict is Verdict.TAMPERED
    assert "not checked" in report.layer("adapter").detail


def test_an_unreachable_store_is_no_verdict(world: World) -> None:
    class Unreachable:
        def get(self, cid) -> bytes:
            raise StoreUnavailable("the block store cannot be reached", fix="start it")

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        world.verify("fish.png", store=Unreachable())
