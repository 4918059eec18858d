"""Additions to an adapter's statement: signed again by the same key, and only before publication."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from provenance.adapter import STATEMENT, AdapterManifest, sign_adapter, verify_adapter
from provenance.byproducts import PREVIOUS, add_byproduct, byproducts, require_unpublished
from provenance.canonical import sha256_hex
from provenance.cid import file_cid
from provenance.errors import AdapterError, FormatError, LedgerUnavailable, ProvenanceError, SignatureError
from provenance.home import ChainSettings, Home
from provenance.identity import Issuer, create_issuer, load_issuer, renew_issuer
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.moments import format_moment, utc_now
from provenance.setup import set_up
from provenance.trust import TrustStore

AUDIT = {"name": "audit/bias", "digest": {"sha256": "a" * 64}, "mediaType": "application/json", "annotations": {"n": 3}}
OTHER = {"name": "audit/memorisation", "digest": {"sha256": "e" * 64}, "annotations": {"memorised": False}}


def write_release(folder: Path, issuer: Issuer, *, listed: bool = True) -> AdapterManifest:
    """A small release as training signs it; without ``listed``, its statement has no byproducts."""
    (folder / "adapter").mkdir(parents=True)
    weights = save({"lora.down": np.ones((2, 4), np.float32), "lora.up": np.zeros((4, 2), np.float32)})
    (folder / "adapter" / "adapter.safetensors").write_bytes(weights)
    now = format_moment(utc_now())
    details: dict[str, Any] = {"metadata": {"startedOn": now, "finishedOn": now}}
    if listed:
        details["byproducts"] = [{"name": "losses", "annotations": {"steps": 4}}]
    dependencies = [
        {"name": "dataset", "digest": {"sha256": "d" * 64}},
        {"name": "base", "uri": "starter", "digest": {"sha256": "b" * 64}},
        {"name": "code", "digest": {"sha256": "c" * 64}},
    ]
    predicate = {"buildDefinition": {"resolvedDependencies": dependencies}, "runDetails": details}
    return sign_adapter(folder, issuer=issuer, predicate=predicate)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return tmp_path / "adapter-release"


@pytest.fixture
def signed(release: Path, issuer: Issuer) -> AdapterManifest:
    return write_release(release, issuer)


def test_an_audit_is_added_and_everything_else_stays(
    signed: AdapterManifest, release: Path, issuer: Issuer, home: Home, trust: TrustStore
) -> None:
    before = {path: path.read_bytes() for path in release.rglob("*") if path.is_file()}
    made = add_byproduct(release, AUDIT, weights=signed.weights_digest, issuer=issuer, home=home)
    assert made == verify_adapter(release, trust)
    assert (made.weights_digest, made.files) == (signed.weights_digest, signed.files)
    assert made.digest != signed.digest
    (added,) = byproducts(made.predicate, "audit/")
    assert added == {**AUDIT, "annotations": {"n": 3, PREVIOUS: signed.digest}}
    without = copy.deepcopy(made.predicate)
    without["runDetails"]["byproducts"].pop()
    assert without == signed.predicate
    changed = {path for path, data in before.items() if path.read_bytes() != data}
    assert changed == {release / STATEMENT}
    assert set(before) == {path for path in release.rglob("*") if path.is_file()}


def test_additions_name_the_statement_before(
    signed: AdapterManifest, release: Path, issuer: Issuer, home: Home
) -> None:
    first = add_byproduct(release, AUDIT, weights=signed.weights_digest, issuer=issuer, home=home)
    second = add_byproduct(release, OTHER, weights=signed.weights_digest, issuer=issuer, home=home)
    previous = [entry["annotations"][PREVIOUS] for entry in byproducts(second.predicate, "audit/")]
    assert previous == [signed.digest, first.digest]


def test_the_same_audit_is_not_added_twice(signed: AdapterManifest, release: Path, issuer: Issuer, home: Home) -> None:
    add_byproduct(release, AUDIT, weights=signed.weights_digest, issuer=issuer, home=home)
    with pytest.raises(AdapterError, match="already"):
        add_byproduct(release, AUDIT, weights=signed.weights_digest, issuer=issuer, home=home)


def refused(kind: type[ProvenanceError], told: str, release: Path, issuer: Issuer, home: Home, **changes: Any) -> None:
    """Adding is refused, and the statement is the one that was there."""
    before = (release / STATEMENT).read_bytes()
    arguments = {"byproduct": AUDIT, "weights": verify_digest(release), "issuer": issuer, "home": home, **changes}
    byproduct = arguments.pop("byproduct")
    with pytest.raises(kind, match=told):
        add_byproduct(release, byproduct, **arguments)
    assert (release / STATEMENT).read_bytes() == before


def verify_digest(release: Path) -> str:
    return sha256_hex((release / "adapter" / "adapter.safetensors").read_bytes())


@pytest.mark.usefixtures("signed")
def test_another_issuer_cannot_add(release: Path, home: Home, tmp_path: Path) -> None:
    eve = create_issuer(Home.create(tmp_path / "eve"), "Eve")
    refused(SignatureError, "not trusted", release, eve, home)


@pytest.mark.usefixtures("signed")
def test_a_renewed_key_cannot_add_to_what_the_old_one_signed(release: Path, home: Home) -> None:
    refused(AdapterError, "only the key that signed", release, renew_issuer(home), home)


@pytest.mark.usefixtures("signed")
def test_a_changed_release_is_not_signed_again(release: Path, issuer: Issuer, home: Home) -> None:
    (release / "adapter" / "more.txt").write_text("put in")
    refused(AdapterError, "not what was signed", release, issuer, home)


@pytest.mark.usefixtures("signed")
def test_an_audit_of_other_weights_is_refused(release: Path, issuer: Issuer, home: Home) -> None:
    refused(AdapterError, "another adapter", release, issuer, home, weights="0" * 64)


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize("wrong", [{}, {"name": "audit/bias"}, {"name": 3, "digest": {"sha256": "a" * 64}}])
def test_what_is_no_byproduct_is_refused(wrong: dict[str, Any], release: Path, issuer: Issuer, home: Home) -> None:
    refused(FormatError, "not a byproduct", release, issuer, home, byproduct=wrong)


def test_a_statement_without_byproducts_is_refused(release: Path, issuer: Issuer, home: Home) -> None:
    write_release(release, issuer, listed=False)
    refused(FormatError, "runDetails.byproducts", release, issuer, home)


@pytest.mark.usefixtures("signed")
def test_a_full_disk_leaves_the_old_statement(
    release: Path, issuer: Issuer, home: Home, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = verify_adapter(release, trust)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        add_byproduct(release, AUDIT, weights=before.weights_digest, issuer=issuer, home=home)
    assert verify_adapter(release, trust) == before


def test_a_published_adapter_is_never_signed_again(tmp_path: Path, release: Path) -> None:
    home = set_up(tmp_path / "maker", name="Maker").home
    issuer = load_issuer(home)
    made = write_release(release, issuer)
    require_unpublished(made, home)
    ledger = open_ledger(home)
    try:
        maker = load_account(home)
        ledger.register_issuer(maker, issuer.root_digest)
        ledger.mint(
            maker,
            weights=made.weights_digest,
            dataset=made.dataset_digest,
            base=made.base_digest,
            terms="1" * 64,
            cid=str(file_cid(b"release")),
        )
    finally:
        ledger.close()
    refused(AdapterError, "published as token 1", release, issuer, home)


@pytest.mark.usefixtures("signed")
def test_a_chain_that_cannot_be_asked_is_not_taken_for_one_without_the_adapter(
    release: Path, issuer: Issuer, home: Home
) -> None:
    settings = ChainSettings(kind="rpc", url="http://127.0.0.1:9", chain_id=1, genesis="0x" + "0" * 64)
    refused(LedgerUnavailable, ".", release, issuer, Home(home.path, settings, home.store))
