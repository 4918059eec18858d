"""Publishing seals: the store gets no plaintext, the verifier needs no key, the licensee's memory gets the weights."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.adapter import TREE, WEIGHTS, verify_adapter_files
from provenance.canonical import canonical_json, parse_json, sha256_hex
from provenance.errors import AdapterError, FileRefused, FormatError, KeyRefused, SealRefused
from provenance.home import Home
from provenance.ledger.accounts import create_account
from provenance.release import open_release
from provenance.sealing import known_public_key, public_key_of, wrap_for
from provenance.sealing.cipher import new_content_key, unseal_bytes
from provenance.sealing.handover import own_content_key
from provenance.sealing.keyring import Keyring
from provenance.sealing.sealed import is_to_be_sealed
from provenance.sealing.weights import accept_key, unseal_weights
from provenance.sealing.wrapping import WrappedKey, unwrap, wrap
from provenance.stores import MemoryStore, add_tree
from provenance.trust import TrustStore
from provenance.unixfs import read_path, walk
from tests.provenance.sealed_world import SealedWorld

SEALED = WEIGHTS + ".sealed"


def handed_over(world: SealedWorld) -> WrappedKey:
    with world.reader() as reader:
        return wrap_for(world.home, reader, world.token, world.maker, public_key_of(world.licensee.private_key))


def unsealed(world: SealedWorld, account: object) -> bytes:
    with world.reader() as reader:
        return unseal_weights(world.release, world.token, home=world.home, reader=reader, account=account)  # type: ignore[arg-type]


def tree_of(world: SealedWorld) -> dict[str, bytes]:
    return {name: read_path(world.store, world.token.cid, name) for name, _, _ in walk(world.store, world.token.cid)}


def test_the_store_holds_no_plaintext_weights(world: SealedWorld) -> None:
    names = [name for name, _, _ in walk(world.store, world.token.cid)]
    assert TREE + SEALED in names
    assert TREE + WEIGHTS not in names
    needle = world.plaintext[-64:]
    for path in (world.home.path / "blocks").rglob("*"):
        assert not path.is_file() or needle not in path.read_bytes(), path


def test_no_content_key_lies_in_the_home(world: SealedWorld) -> None:
    with world.reader() as reader:
        key = own_content_key(world.home, reader.identity, world.token.weights, world.maker)
    for path in world.home.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert key not in data, path
            assert key.hex().encode() not in data, path


def test_keys_are_readable_by_their_owner_only(world: SealedWorld) -> None:
    (path,) = (world.home.path / "keys").rglob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_sealed_release_verifies_without_any_key(world: SealedWorld) -> None:
    manifest = verify_adapter_files(world.release.read, TrustStore.of_home(world.home), sealed=world.release.sealed)
    assert manifest.weights_digest == world.token.weights == sha256_hex(world.plaintext)
    assert manifest.sealed == world.release.sealed
    assert manifest.read("config.json")
    with pytest.raises(AdapterError, match="published sealed"):
        manifest.read(WEIGHTS)


def test_a_sealed_release_is_not_taken_for_an_open_one(world: SealedWorld) -> None:
    with pytest.raises(FileRefused, match=WEIGHTS):
        verify_adapter_files(world.release.read, TrustStore.of_home(world.home))


def test_every_other_file_of_a_sealed_release_is_still_verified(world: SealedWorld) -> None:
    release, trust = world.release, TrustStore.of_home(world.home)
    files = tree_of(world)
    for name in (TREE + "config.json", TREE + SEALED, "adapter.sig", "adapter.dsse.json"):
        for place in (0, len(files[name]) // 2, len(files[name]) - 1):
            data = bytearray(files[name])
            data[place] ^= 1
            changed = {**files, name: bytes(data)}
            with pytest.raises(Exception, match=r".") as refusal:
                verify_adapter_files(changed.__getitem__, trust, sealed=release.sealed)
            assert type(refusal.value).__module__ == "provenance.errors", (name, place)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"key_id": "00" * 32}, "key"),
        ({"maker": "0x" + "00" * 20}, "maker"),
        ({"files": {"sha256": "00" * 32}}, "SHA-256"),
        ({"files": {"size": 1000}}, "size"),
    ],
)
def test_a_release_that_describes_another_sealed_file_is_refused(world: SealedWorld, change: dict, what: str) -> None:
    release = world.release
    assert release.sealed is not None
    if "files" in change:
        change = {"files": {WEIGHTS: replace(release.sealed.files[WEIGHTS], **change["files"])}}
    with pytest.raises(SealRefused, match=f"another {what}"):
        verify_adapter_files(release.read, TrustStore.of_home(world.home), sealed=replace(release.sealed, **change))


def test_a_release_that_seals_nothing_signed_or_not_its_weights_is_refused(world: SealedWorld) -> None:
    release = world.release
    assert release.sealed is not None
    weights = release.sealed.files[WEIGHTS]
    for files in ({"config.json": weights}, {WEIGHTS: weights, "more.bin": weights}):
        with pytest.raises(AdapterError, match="seals other files"):
            verify_adapter_files(
                {**tree_of(world), "adapter/config.json.sealed": b""}.__getitem__,
                TrustStore.of_home(world.home),
                sealed=replace(release.sealed, files=files),
            )


def test_every_layout_of_the_weights_is_sealed_and_settings_and_samples_are_not() -> None:
    for name in ("adapter.safetensors", "kohya.safetensors", "deep/x.BIN", "w.pt", "README", "a.json.gz", ".json"):
        assert is_to_be_sealed(name), name
    for name in ("config.json", "samples/00.png", "samples/prompts.json", "NOTES.md", "photo.JPG"):
        assert not is_to_be_sealed(name), name


def test_the_sealed_file_of_another_adapter_is_refused_by_the_verifier(world: SealedWorld) -> None:
    other = open_release(world.store, world.publish(sealed=True, seed=9).cid)
    files = {**tree_of(world), TREE + SEALED: other.read(TREE + SEALED)}
    with pytest.raises(SealRefused, match="another plaintext"):
        verify_adapter_files(files.__getitem__, TrustStore.of_home(world.home), sealed=other.sealed)


@pytest.mark.parametrize(
    "sealed",
    [
        None,
        {},
        "yes",
        {"key": "00" * 32, "maker": "0x" + "00" * 20, "files": {}},
        {"key": "00" * 32, "maker": "0x", "files": {"a": {"sha256": "00" * 32, "size": 999}}},
        {"key": "00" * 32, "maker": "0x" + "00" * 20, "files": {"a": {"sha256": "00" * 32, "size": True}}},
        {"key": "00" * 32, "maker": "0x" + "00" * 20, "files": {"a": {"sha256": "00" * 32, "size": 999, "b": 1}}},
        {"key": "00" * 32, "maker": "0x" + "00" * 20, "files": {"a": {"sha256": "00" * 32, "size": 999}}, "b": 1},
    ],
    ids=str,
)
def test_a_release_file_with_a_malformed_description_is_refused(world: SealedWorld, sealed: object) -> None:
    index = parse_json(world.release.read("release.json"), "release.json")
    store = MemoryStore()
    cid = add_tree(store, {"release.json": canonical_json({**index, "sealed": sealed})})
    with pytest.raises(FormatError):
        open_release(store, str(cid))


def test_an_open_release_reads_as_before(world: SealedWorld) -> None:
    release = open_release(world.store, world.publish(sealed=False, seed=8).cid)
    assert release.sealed is None
    assert set(parse_json(release.read("release.json"), "")) == {"type", "data_included", "weights", "dataset", "base"}
    manifest = verify_adapter_files(release.read, TrustStore.of_home(world.home))
    assert sha256_hex(manifest.read(WEIGHTS)) == release.weights


def test_publishing_again_keeps_the_same_key(world: SealedWorld) -> None:
    with world.reader() as reader:
        first = own_content_key(world.home, reader.identity, world.token.weights, world.maker)
        assert own_content_key(world.home, reader.identity, world.token.weights, world.maker) == first
        assert own_content_key(world.home, reader.identity, "00" * 32, world.maker) != first


def test_publishing_at_once_agrees_on_one_key(world: SealedWorld) -> None:
    with world.reader() as reader:
        identity = reader.identity
    for number in range(10):
        weights, together = f"{number:064x}", threading.Barrier(8)

        def one(_: int, weights: str = weights, together: threading.Barrier = together) -> bytes:
            together.wait()
            return own_content_key(world.home, identity, weights, world.maker)

        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(one, range(8)))
        assert len(found) == 1
        assert found == {own_content_key(world.home, identity, weights, world.maker)}


def test_maker_and_licensee_open_the_weights(world: SealedWorld) -> None:
    assert unsealed(world, world.maker) == world.plaintext
    handed_over(world)
    assert unsealed(world, world.licensee) == world.plaintext


def test_a_licensee_without_a_key_is_told_how_to_get_one(world: SealedWorld) -> None:
    with pytest.raises(KeyRefused, match="holds no key") as refusal:
        unsealed(world, world.licensee)
    assert "prov keys fetch" in str(refusal.value)


def test_a_key_without_a_licence_opens_nothing(world: SealedWorld) -> None:
    with world.reader() as reader:
        wrap_for(world.home, reader, world.token, world.maker, public_key_of(world.stranger.private_key))
    with pytest.raises(KeyRefused, match="no licence"):
        unsealed(world, world.stranger)


def test_a_revoked_licensee_who_kept_the_key_is_refused(world: SealedWorld) -> None:
    handed_over(world)
    with world.ledger() as ledger:
        ledger.revoke(world.maker, world.token.token, world.licensee.address, reason="terms broken")
    with pytest.raises(KeyRefused, match="no licence"):
        unsealed(world, world.licensee)


def test_an_expired_licensee_who_kept_the_key_is_refused(world: SealedWorld) -> None:
    from provenance.ledger.chain_file import open_chain_file
    from provenance.ledger.view import LogView

    handed_over(world)
    with world.reader() as reader:
        licence = reader.licence(world.token.token, world.licensee.address)
    assert licence is not None
    for moment, allowed in ((licence.expires - 1, True), (licence.expires, False)):
        later = LogView(open_chain_file(world.home), clock=lambda now=moment: now)
        if allowed:
            assert unseal_weights(world.release, world.token, home=world.home, reader=later, account=world.licensee)
        else:
            with pytest.raises(KeyRefused, match="no licence"):
                unseal_weights(world.release, world.token, home=world.home, reader=later, account=world.licensee)
        later.close()


def test_only_maker_or_owner_hand_keys_on(world: SealedWorld) -> None:
    handed_over(world)
    with world.reader() as reader, pytest.raises(KeyRefused, match="neither the maker nor the owner"):
        wrap_for(world.home, reader, world.token, world.licensee, public_key_of(world.stranger.private_key))


def test_a_new_owner_gets_the_key_and_hands_it_on(world: SealedWorld) -> None:
    with world.reader() as reader:
        wrap_for(world.home, reader, world.token, world.maker, public_key_of(world.stranger.private_key))
    with world.ledger() as ledger:
        owned = ledger.transfer(world.maker, world.token.token, world.stranger.address)
    with world.reader() as reader:
        wrapped = wrap_for(world.home, reader, owned, world.stranger, public_key_of(world.licensee.private_key))
    assert unwrap(wrapped, world.licensee.private_key)
    assert unsealed(world, world.licensee) == world.plaintext
    with pytest.raises(KeyRefused, match="no licence"):
        unsealed(world, world.maker)


def test_a_key_handed_over_as_a_file_is_kept_by_another_home(world: SealedWorld) -> None:
    wrapped = WrappedKey.parse(handed_over(world).to_bytes())
    elsewhere = Home.create(world.folder / "elsewhere")
    with world.reader() as reader:
        token = accept_key(elsewhere, reader, world.store, wrapped, world.licensee)
        opened = unseal_weights(world.release, token, home=elsewhere, reader=reader, account=world.licensee)
    assert token.token == world.token.token
    assert opened == world.plaintext


def test_a_key_for_somebody_else_is_not_accepted(world: SealedWorld) -> None:
    wrapped = handed_over(world)
    with world.reader() as reader, pytest.raises(SealRefused, match="another account"):
        accept_key(world.home, reader, world.store, wrapped, world.stranger)


def test_a_false_key_is_not_accepted_and_replaces_nothing(world: SealedWorld) -> None:
    """Somebody who knows the public keys wraps a key of his own for the licensee, and for the maker."""
    with world.reader() as reader:
        for victim in (world.maker, world.licensee):
            false = wrap(
                new_content_key(),
                identity=reader.identity,
                weights=world.token.weights,
                maker=world.maker.address,
                public_key=public_key_of(victim.private_key),
            )
            with pytest.raises(SealRefused, match="does not fit the release"):
                accept_key(world.home, reader, world.store, false, victim)
        with pytest.raises(KeyRefused, match="already holds another key"):
            Keyring.of_home(world.home, reader.identity).keep(
                replace(false, account=world.maker.address, public_key=public_key_of(world.maker.private_key).hex())
            )
    assert unsealed(world, world.maker) == world.plaintext


def test_a_key_of_another_ledger_or_maker_is_not_accepted(world: SealedWorld) -> None:
    with world.reader() as reader:
        key = public_key_of(world.licensee.private_key)
        right = {"weights": world.token.weights, "maker": world.maker.address, "public_key": key}
        for identity, change in (
            (replace(reader.identity, chain_id=1), {}),
            (replace(reader.identity, contract="0x" + "11" * 20), {}),
            (reader.identity, {"maker": world.stranger.address}),
            (reader.identity, {"weights": "77" * 32}),
        ):
            wrapped = wrap(new_content_key(), identity=identity, **{**right, **change})
            with pytest.raises(KeyRefused, match="nothing on this ledger"):
                accept_key(world.home, reader, world.store, wrapped, world.licensee)


def test_a_key_file_renamed_for_another_account_is_refused(world: SealedWorld) -> None:
    handed_over(world)
    with world.reader() as reader:
        keyring = Keyring.of_home(world.home, reader.identity)
        names = {each.account: keyring.folder / f"{each.weights}-{each.account}.json" for each in keyring.all()}
        moved = keyring.folder / f"{world.token.weights}-{world.stranger.address}.json"
        names[world.licensee.address].rename(moved)
        with pytest.raises(FormatError, match="something else"):
            keyring.find(world.token.weights, world.stranger.address)


def test_a_public_key_is_known_from_the_own_keystore_or_an_earlier_key(world: SealedWorld) -> None:
    foreign = create_account(Home.create(world.folder / "foreign"), "foreign")
    with world.reader() as reader:
        assert known_public_key(world.home, reader, world.licensee.address) == public_key_of(world.licensee.private_key)
        assert known_public_key(world.home, reader, foreign.address) is None
        wrap_for(world.home, reader, world.token, world.maker, public_key_of(foreign.private_key))
        assert known_public_key(world.home, reader, foreign.address) == public_key_of(foreign.private_key)


def test_a_locked_account_is_not_known_by_its_public_key(world: SealedWorld) -> None:
    locked = create_account(world.home, "locked", "a passphrase of somebody else")
    with world.reader() as reader:
        assert known_public_key(world.home, reader, locked.address) is None


def test_changed_bytes_in_the_store_never_become_weights(world: SealedWorld, tmp_path: Path) -> None:
    release = world.release
    with world.reader() as reader:
        key = own_content_key(world.home, reader.identity, world.token.weights, world.maker)
    data = bytearray(release.read(TREE + SEALED))
    data[len(data) // 2] ^= 1
    with pytest.raises(SealRefused, match="changed or cut short"):
        unseal_bytes([bytes(data)], key, plaintext=world.token.weights, maker=world.maker.address)
