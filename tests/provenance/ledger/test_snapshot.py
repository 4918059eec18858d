"""A snapshot answers about its stream as the ledger does, and reads strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provenance.errors import FormatError, LedgerLookupError
from provenance.home import Home
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.chain_file import chain_folder
from provenance.ledger.embedded import EmbeddedLedger
from provenance.ledger.licences import NEVER, Terms
from provenance.ledger.protocol import Head, LedgerIdentity, Log
from provenance.ledger.snapshot import Snapshot, take_snapshot
from tests.provenance.ledger.conftest import CID

LOGS = tuple(Log(1, 3, "12" * 32, place, ("34" * 32,), "56") for place in range(2))


def test_snapshot_answers_as_the_ledger_does(filled: EmbeddedLedger) -> None:
    reader = Snapshot.parse(take_snapshot(filled, 1).to_bytes()).reader()
    stream = filled.stream(1)
    assert reader.identity == filled.identity
    assert reader.namespace == filled.namespace
    assert reader.head() == filled.head()
    assert reader.stream(1) == stream
    assert reader.batches(1) == filled.batches(1)
    assert reader.token(1) == filled.token(1)
    assert reader.licence(1, stream.holder) == filled.licence(1, stream.holder)
    assert reader.consent_revocations(1) == filled.consent_revocations(1)
    for account in (stream.holder, filled.token(1).maker):
        assert reader.issuers(account) == filled.issuers(account) != frozenset()
        assert reader.issuer_keys(account) == filled.issuer_keys(account)
        assert reader.has_licence(1, account) == filled.has_licence(1, account)


def test_snapshot_knows_a_takedown_and_a_licence_that_was_handed_on(
    ledger: EmbeddedLedger, home: Home, maker: KeystoreAccount
) -> None:
    operator = account_from_key("operator", (chain_folder(home) / "faucet.key").read_bytes())
    adapter = {"weights": "01" * 32, "dataset": "da" * 32, "base": "ba" * 32, "terms": "00" * 32}
    token = ledger.mint(maker, cid=CID, **adapter).token
    other, third = (account_from_key("other", bytes([number]) * 32) for number in (0x11, 0x22))
    ledger.grant(maker, token, other.address, expires=NEVER, terms=Terms(transferable=True))
    stream = ledger.open_stream(other, token).stream
    ledger.transfer_licence(other, token, third.address)
    ledger.appoint_safety(operator, operator.address)
    ledger.take_down(operator, token, reason="0f" * 32)
    reader = take_snapshot(ledger, stream).reader()
    assert reader.token(token) == ledger.token(token)
    assert reader.token(token).taken_down_at is not None
    held = reader.licence(token, other.address)
    assert held == ledger.licence(token, other.address)
    assert held is not None
    assert held.ended_at is not None


def test_snapshot_of_a_serial_holds_its_batch_alone(filled: EmbeddedLedger) -> None:
    reader = take_snapshot(filled, 1, serial=12).reader()
    assert reader.batch_covering(1, 12) == filled.batch_covering(1, 12)
    assert len(reader.batches(1)) == 1
    with pytest.raises(LedgerLookupError):
        reader.stream(2)
    with pytest.raises(LedgerLookupError):
        reader.token(2)


def test_snapshot_of_a_stream_without_adapter_holds_no_token(filled: EmbeddedLedger) -> None:
    reader = take_snapshot(filled, 2, serial=0).reader()
    assert reader.tokens() == ()
    assert reader.batch_covering(2, 4) == filled.batch_covering(2, 4)


def test_snapshot_of_an_unknown_stream_is_a_lookup_error(filled: EmbeddedLedger) -> None:
    with pytest.raises(LedgerLookupError):
        take_snapshot(filled, 9)


def test_same_snapshot_gives_the_same_bytes(filled: EmbeddedLedger) -> None:
    data = take_snapshot(filled, 1).to_bytes()
    assert data == take_snapshot(filled, 1).to_bytes()
    assert Snapshot.parse(data).to_bytes() == data


@pytest.mark.parametrize(
    "fault",
    [
        lambda value: value.update(type="urn:prov:ledger-snapshot:v2"),
        lambda value: value.update(extra=1),
        lambda value: value.pop("head"),
        lambda value: value["head"].update(block="1"),
        lambda value: value["head"].update(block=True),
        lambda value: value["head"].update(timestamp=-1),
        lambda value: value["identity"].update(contract="0x12"),
        lambda value: value["identity"].update(genesis="AB" * 32),
        lambda value: value["identity"].update(chain_id="1"),
        lambda value: value.update(logs={}),
        lambda value: value["logs"].append(value["logs"][0]),
        lambda value: value["logs"].reverse(),
        lambda value: value["logs"][0].update(topics=[]),
        lambda value: value["logs"][0].update(topics=["ab"]),
        lambda value: value["logs"][0].update(topics=[1]),
        lambda value: value["logs"][0].update(data="0"),
        lambda value: value["logs"][0].update(data="0X"),
        lambda value: value["logs"][0].pop("index"),
    ],
)
def test_malformed_snapshot_is_a_format_error(fault: Any) -> None:
    good = Snapshot(LedgerIdentity(1, "ab" * 32, "0x" + "cd" * 20, "ef" * 32), Head(2, 3), LOGS)
    assert Snapshot.parse(good.to_bytes()) == good
    value = json.loads(good.to_bytes())
    fault(value)
    with pytest.raises(FormatError):
        Snapshot.parse(json.dumps(value).encode())
