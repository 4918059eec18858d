"""A bundle verifies alone; whoever changes, cuts or swaps one is found out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_socket

from provenance.bundle import LEDGER, MANIFEST, PROOF, RECORD, STATEMENT, make_bundle
from provenance.canonical import canonical_json, parse_json
from provenance.car import car_bytes, read_car
from provenance.dsse import Envelope
from provenance.errors import ProvenanceError, RecordError, Unavailable
from provenance.stores import MemoryStore, add_tree
from provenance.trust import TrustStore
from provenance.unixfs import graph_blocks, read_path, walk
from provenance.verify import Report, Verdict, verify_image

if TYPE_CHECKING:
    from conftest import World


@pytest.fixture(scope="module")
def bundles(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    made = {}
    for name in ("fish.png", "boat.png", "cup.png", "plain.png"):
        made[name] = folder / f"{name}.car"
        make_bundle(
            world.images[name],
            made[name],
            reader=world.reader(),
            store=world.store,
            trust=world.trust,
            issuer=world.issuer,
        )
    return made


def files_of(bundle: Path) -> tuple[MemoryStore, list, dict[str, bytes]]:
    store = MemoryStore()
    roots = list(read_car(bundle.read_bytes()).roots)
    for cid, data in read_car(bundle.read_bytes()).blocks:
        store.put(cid, data)
    return store, roots, {name: read_path(store, roots[0], name) for name, _, _ in walk(store, roots[0])}


def rebuilt(bundle: Path, target: Path, change) -> Path:
    """The bundle with other files, every CID recomputed: what a careful forger hands on."""
    store, roots, files = files_of(bundle)
    forged = MemoryStore()
    root = add_tree(forged, change(files))
    blocks = dict(graph_blocks(forged, root))
    for other in roots[1:]:
        blocks |= carried(store, other)
    target.write_bytes(car_bytes([root, *roots[1:]], blocks.items()))
    return target


def carried(store: MemoryStore, root) -> dict:
    """What a bundle holds below a root; training pictures are not in it."""
    from provenance.bundle import _Recording

    recording = _Recording(store)
    for name in ("release.json", "terms.json", "adapter.dsse.json", "adapter.sig", "dataset.dsse.json", "dataset.sig"):
        read_path(recording, root, name)
    for name in ("dataset/records.jsonl", "dataset/croissant.json", "issuer.pem"):
        read_path(recording, root, name)
    for name in ("adapter/adapter.safetensors", "adapter/config.json"):
        read_path(recording, root, name)
    return recording.below(root)


def verified(world: World, name: str, bundle: Path) -> Report:
    return verify_image(world.images[name], trust=world.trust, bundle=bundle)


@pytest.mark.parametrize("name", ["fish.png", "cup.png", "plain.png"])
def test_a_bundle_verifies_without_home_and_network(
    world: World, bundles: dict[str, Path], name: str, tmp_path: Path
) -> None:
    pytest_socket.disable_socket()
    report = verify_image(world.images[name], trust=TrustStore().with_pem(world.issuer.root_pem), bundle=bundles[name])
    assert report.verdict is Verdict.AUTHENTIC
    plain = world.stripped(name, tmp_path / "plain.jpg", format="JPEG", quality=80)
    assert verify_image(plain, trust=world.trust, bundle=bundles[name]).verdict is Verdict.RECOVERED


def test_a_bundle_says_that_it_carries_no_training_pictures(world: World, bundles: dict[str, Path]) -> None:
    layer = verified(world, "fish.png", bundles["fish.png"]).layer("dataset")
    assert "pictures not in the bundle; their digests are signed" in layer.checked


def test_a_bundle_with_data_checks_every_picture(world: World, tmp_path: Path) -> None:
    make_bundle(
        world.images["fish.png"],
        tmp_path / "all.car",
        reader=world.reader(),
        store=world.store,
        trust=world.trust,
        issuer=world.issuer,
        with_data=True,
    )
    layer = verified(world, "fish.png", tmp_path / "all.car").layer("dataset")
    assert "every byte of 6 pictures is as signed" in layer.checked


def test_a_bundle_of_an_untrusted_maker_is_no_answer(world: World, bundles: dict[str, Path]) -> None:
    with pytest.raises(Unavailable, match="not trusted here") as refusal:
        verify_image(world.images["fish.png"], trust=TrustStore(), bundle=bundles["fish.png"])
    assert refusal.value.exit_code == 3
    assert world.issuer.root_digest in str(refusal.value)
    assert "--trust" in str(refusal.value)


def test_another_pictures_bundle_is_no_answer(world: World, bundles: dict[str, Path]) -> None:
    with pytest.raises(Unavailable, match="the bundle is about another picture"):
        verified(world, "boat.png", bundles["fish.png"])


def test_a_picture_without_history_has_no_bundle(world: World, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="has no history that a bundle could carry"):
        make_bundle(
            world.images["late.png"],
            tmp_path / "late.car",
            reader=world.reader(),
            store=world.store,
            trust=world.trust,
            issuer=world.issuer,
        )
    assert not (tmp_path / "late.car").exists()


@pytest.mark.parametrize("place", range(0, 100, 3))
def test_no_changed_byte_of_a_bundle_passes(world: World, bundles: dict[str, Path], tmp_path: Path, place: int) -> None:
    data = bytearray(bundles["fish.png"].read_bytes())
    data[len(data) * place // 100] ^= 1
    forged = tmp_path / "forged.car"
    forged.write_bytes(bytes(data))
    with pytest.raises(ProvenanceError):
        verified(world, "fish.png", forged)


@pytest.mark.parametrize("length", [0, 1, 30, 500, 20_000])
def test_a_cut_bundle_is_refused(world: World, bundles: dict[str, Path], tmp_path: Path, length: int) -> None:
    forged = tmp_path / "cut.car"
    forged.write_bytes(bundles["fish.png"].read_bytes()[:length])
    with pytest.raises(ProvenanceError):
        verified(world, "fish.png", forged)


def with_json(name: str, **changes):
    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        return files | {name: canonical_json(parse_json(files[name], name) | changes)}

    return change


def drop_a_node(files: dict[str, bytes]) -> dict[str, bytes]:
    path = parse_json(files[PROOF], PROOF)["path"]
    return with_json(PROOF, path=path[1:])(files)


def change_a_node(files: dict[str, bytes]) -> dict[str, bytes]:
    path = parse_json(files[PROOF], PROOF)["path"]
    return with_json(PROOF, path=["00" * 32, *path[1:]])(files)


PROOF_FAILS = "the record's Merkle proof does not lead to the anchored root"
FORGERIES = {
    "a proof's node changed": (change_a_node, PROOF_FAILS),
    "a proof's node removed": (drop_a_node, PROOF_FAILS),
    "a proof's place changed": (with_json(PROOF, index=1), PROOF_FAILS),
    "a proof without nodes": (with_json(PROOF, path=[]), PROOF_FAILS),
    "a proof of another kind": (with_json(PROOF, path=["zz"]), "Merkle proof is malformed"),
    "a record changed": (with_json(RECORD, generator="someone else"), PROOF_FAILS),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_record_or_proof_in_a_bundle_is_tampering(
    world: World, bundles: dict[str, Path], tmp_path: Path, forgery: str
) -> None:
    change, message = FORGERIES[forgery]
    report = verified(world, "fish.png", rebuilt(bundles["fish.png"], tmp_path / "forged.car", change))
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer("record").detail


@pytest.mark.parametrize("name", [PROOF, RECORD])
def test_another_images_record_or_proof_in_a_bundle_is_tampering(
    world: World, bundles: dict[str, Path], tmp_path: Path, name: str
) -> None:
    other = files_of(bundles["boat.png"])[2][name]
    forged = rebuilt(bundles["fish.png"], tmp_path / "forged.car", lambda files: files | {name: other})
    report = verified(world, "fish.png", forged)
    assert report.verdict is Verdict.TAMPERED
    assert PROOF_FAILS in report.layer("record").detail


def test_another_images_kept_credentials_in_a_bundle_are_tampering(
    world: World, bundles: dict[str, Path], tmp_path: Path
) -> None:
    other = files_of(bundles["boat.png"])[2][MANIFEST]
    forged = rebuilt(bundles["fish.png"], tmp_path / "forged.car", lambda files: files | {MANIFEST: other})
    plain = world.stripped("fish.png", tmp_path / "plain.png")
    report = verify_image(plain, trust=world.trust, bundle=forged)
    assert report.verdict is Verdict.TAMPERED
    assert "the credentials kept in the batch are not the record's" in report.layer("binding").detail


@pytest.mark.parametrize("name", [STATEMENT, LEDGER, RECORD, PROOF, MANIFEST, "issuer.pem", "batch-issuer.pem"])
def test_a_bundle_without_one_of_its_files_is_refused(
    world: World, bundles: dict[str, Path], tmp_path: Path, name: str
) -> None:
    def without(files: dict[str, bytes]) -> dict[str, bytes]:
        return {key: value for key, value in files.items() if key != name}

    with pytest.raises(ProvenanceError, match="is not a whole bundle"):
        verified(world, "fish.png", rebuilt(bundles["fish.png"], tmp_path / "forged.car", without))


def test_a_changed_ledger_in_a_bundle_is_refused(world: World, bundles: dict[str, Path], tmp_path: Path) -> None:
    forged = rebuilt(bundles["fish.png"], tmp_path / "f.car", with_json(LEDGER, logs=[]))
    with pytest.raises(ProvenanceError, match=r"ledger\.json was changed after signing"):
        verified(world, "fish.png", forged)


def test_another_bundles_ledger_is_refused(world: World, bundles: dict[str, Path], tmp_path: Path) -> None:
    other = files_of(bundles["cup.png"])[2][LEDGER]
    forged = rebuilt(bundles["fish.png"], tmp_path / "f.car", lambda files: files | {LEDGER: other})
    with pytest.raises(ProvenanceError, match=r"ledger\.json was changed after signing"):
        verified(world, "fish.png", forged)


def test_a_ledger_signed_by_a_stranger_is_no_answer(
    world: World, bundles: dict[str, Path], tmp_path: Path, stranger
) -> None:
    def resign(files: dict[str, bytes]) -> dict[str, bytes]:
        old = Envelope.parse(files[STATEMENT])
        envelope = Envelope.sign(old.payload, old.payload_type, stranger)
        return files | {STATEMENT: envelope.to_json(), "issuer.pem": stranger.certificates_pem}

    with pytest.raises(Unavailable, match="someone who is not trusted here"):
        verified(world, "fish.png", rebuilt(bundles["fish.png"], tmp_path / "f.car", resign))


def test_a_strangers_signature_beside_the_makers_certificates_is_refused(
    world: World, bundles: dict[str, Path], tmp_path: Path, stranger
) -> None:
    def resign(files: dict[str, bytes]) -> dict[str, bytes]:
        old = Envelope.parse(files[STATEMENT])
        return files | {STATEMENT: Envelope.sign(old.payload, old.payload_type, stranger).to_json()}

    with pytest.raises(ProvenanceError, match="no certificate for the signing key"):
        verified(world, "fish.png", rebuilt(bundles["fish.png"], tmp_path / "f.car", resign))


def test_a_bundle_that_lost_its_adapter_is_no_answer(world: World, bundles: dict[str, Path], tmp_path: Path) -> None:
    store, roots, _ = files_of(bundles["fish.png"])
    blocks = dict(graph_blocks(store, roots[0]))
    forged = tmp_path / "forged.car"
    forged.write_bytes(car_bytes(roots, blocks.items()))
    with pytest.raises(Unavailable, match="was not brought along"):
        verified(world, "fish.png", forged)


def test_text_is_no_bundle(world: World, tmp_path: Path) -> None:
    (tmp_path / "notes.car").write_text("this is not a bundle\n" * 20)
    with pytest.raises(ProvenanceError):
        verified(world, "fish.png", tmp_path / "notes.car")
