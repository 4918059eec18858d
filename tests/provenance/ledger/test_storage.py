"""The contract's storage as we read it, against its own views and our folds, on both chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from provenance.errors import LedgerContradiction, LedgerLookupError
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.embedded import EmbeddedLedger
from provenance.ledger.header import Header
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.licences import Licence, Terms
from provenance.ledger.node_reader import NodeReader, open_rpc_reader
from provenance.ledger.right import fold_right
from provenance.ledger.storage import ADAPTER, BATCH, LICENCE, STREAM, address_of, member_of, slot_of, unpack
from provenance.ledger.storage_check import StorageCheck

CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
LICENSEE = account_from_key("licensee", b"\x31" * 32)
REVOKED = account_from_key("revoked", b"\x32" * 32)
LIMITED = account_from_key("limited", b"\x33" * 32)
STRANGER = "0x" + "77" * 20


def fill(ledger: Any, maker: KeystoreAccount) -> None:
    """Two adapters, one withdrawn; three licences, one revoked and one with a quota; a stream with two batches."""
    for number in (1, 2):
        digests = {"weights": f"{number:02x}" * 32, "dataset": "da" * 32, "base": "ba" * 32, "terms": "0e" * 32}
        ledger.mint(maker, **digests, cid=CID)
    later = ledger.now() + 10**6
    ledger.grant(maker, 1, LICENSEE.address, expires=later, terms=Terms(commercial=True, grace=3))
    ledger.grant(maker, 1, REVOKED.address, expires=later)
    ledger.grant(maker, 1, LIMITED.address, expires=later, terms=Terms(quota=25))
    ledger.open_stream(LIMITED, 1)
    for first in (0, 10):
        ledger.anchor(LIMITED, stream=1, first=first, count=10, root=f"{first + 1:02x}" * 32, cid=CID)
    ledger.revoke(maker, 1, REVOKED.address, reason="terms broken")
    ledger.revoke_adapter(maker, 2, reason="a mistake")
    ledger.revoke_consent(maker, 1, record="0c" * 32, reason="consent withdrawn")
    ledger.register_issuer(maker, "0a" * 32)
    ledger.register_issuer(maker, "0b" * 32)
    ledger.revoke_issuer(maker, "0b" * 32, reason="lost")


@pytest.fixture
def node_reader(node_home: Home, maker: KeystoreAccount) -> NodeReader:
    rpc = JsonRpc(str(node_home.chain.url))
    for account in (LICENSEE, REVOKED, LIMITED):
        rpc.call("anvil_setBalance", account.address, hex(10**21))
    # Anvil changes the state of the last block, whose root would no longer be what its header says.
    rpc.call("evm_mine")
    rpc.close()
    ledger = open_ledger(node_home)
    fill(ledger, maker)
    ledger.close()
    return open_rpc_reader(node_home)


@pytest.mark.anvil
def test_everything_a_reader_tells_is_what_storage_holds(node_reader: NodeReader, maker: KeystoreAccount) -> None:
    """Every method compares with proved storage, and raises if they differ."""
    assert [each.revoked_at is None for each in node_reader.tokens()] == [True, False]
    assert node_reader.token(1).owner == maker.address
    assert node_reader.token_of_weights("01" * 32) == node_reader.token(1)
    assert node_reader.token_of_weights("99" * 32) is None
    assert len(node_reader.licences(1)) == 3
    limited = node_reader.licence(1, LIMITED.address)
    assert limited is not None
    assert (limited.quota, limited.anchored) == (25, 20)
    assert node_reader.licence(1, STRANGER) is None
    assert [each.stream for each in node_reader.streams(LIMITED.address)] == [1]
    assert node_reader.streams(STRANGER) == ()
    assert len(node_reader.batches(1)) == 2
    assert node_reader.next_serial(1) == 20
    assert node_reader.issuers(maker.address) == {"0a" * 32}
    assert len(node_reader.consent_revocations(1)) == 1
    for ask in (node_reader.token, node_reader.stream):
        with pytest.raises(LedgerLookupError):
            ask(9)
    node_reader.close()


@pytest.mark.anvil
def test_right_is_what_the_contract_says(node_reader: NodeReader, node_home: Home, maker: KeystoreAccount) -> None:
    ledger = open_ledger(node_home)
    expected = {
        maker.address: "owner",
        LICENSEE.address: "licensed",
        REVOKED.address: "revoked",
        LIMITED.address: "licensed",
        STRANGER: "no licence",
    }
    for account, why in expected.items():
        found = node_reader.right(1, account)
        assert (found.why, found.proved) == (why, True)
        assert found.allowed is ledger.call("hasLicense", 1, account)  # type: ignore[attr-defined]
        assert found.allowed is node_reader.has_licence(1, account, finalised=True)
        folded = fold_right(node_reader, 1, account)
        if why != "no licence":
            assert replace(folded, block_hash=found.block_hash, block=found.block) == found
    assert node_reader.right(9, LICENSEE.address).why == "no adapter"
    ledger.anchor(LIMITED, stream=1, first=20, count=5, root="15" * 32, cid=CID)
    assert node_reader.right(1, LIMITED.address).why == "used up"
    ledger.appoint_safety(maker, maker.address)
    ledger.take_down(maker, 1, reason="0d" * 32)
    assert {node_reader.right(1, account).why for account in expected} == {"taken down"}
    ledger.close()
    node_reader.close()


@pytest.mark.anvil
def test_right_ends_strictly_at_its_expiry(node_home: Home, maker: KeystoreAccount) -> None:
    ledger = open_ledger(node_home)
    ledger.mint(maker, weights="01" * 32, dataset="da" * 32, base="ba" * 32, terms="0e" * 32, cid=CID)
    expires = ledger.now() + 1000
    ledger.grant(maker, 1, STRANGER, expires=expires)
    ledger.close()
    for second, why in ((expires - 1, "licensed"), (expires, "expired")):
        reader = NodeReader(open_rpc_reader(node_home).source, clock=lambda now=second: now)  # type: ignore[arg-type, misc]
        assert reader.right(1, STRANGER).why == why
        reader.close()


def test_structs_on_the_embedded_chain_are_laid_out_as_we_read_them(
    ledger: EmbeddedLedger, maker: KeystoreAccount
) -> None:
    fill(ledger, maker)
    chain: Any = ledger._transactor

    def word(variable: str, *keys: int | str) -> int:
        from provenance.ledger.evm import Evm

        return Evm(chain._connection, ledger.identity.chain_id).storage(
            ledger.identity.contract, slot_of(variable, *keys)
        )

    assert member_of("_lastTokenId", word("_lastTokenId"), 32) == 2
    assert member_of("_lastStream", word("_lastStream"), 32) == 1
    assert address_of(word("_owners", 1)) == maker.address
    adapter = unpack(word("_adapters", 2), ADAPTER)
    assert (address_of(adapter["maker"]), adapter["flags"]) == (maker.address, 2 | adapter["flags"] & 1)
    licence = ledger.call("licenceOf", 1, LIMITED.address)
    held = unpack(word("_licences", 1, LIMITED.address), LICENCE)
    assert list(held.values()) == list(licence.values())
    assert unpack(word("_batches", 1, 1), BATCH)["end"] == 20
    stream = unpack(word("_streams", 1), STREAM)
    assert (address_of(stream["holder"]), stream["token"], stream["next"], stream["batches"]) == (
        LIMITED.address,
        1,
        20,
        2,
    )
    assert word("_tokenOfWeights", "02" * 32) == 2


class Remembered:
    """Storage that was read before; a slot that was not is empty."""

    def __init__(self, values: Mapping[int, int]) -> None:
        self._values = values

    def read(self, _header: Header, slots: Sequence[int]) -> Mapping[int, int]:
        return {slot: self._values.get(slot, 0) for slot in slots}


HEADER = Header(7, 1, b"\1" * 32, b"\2" * 32, b"\3" * 32, b"\4" * 32, b"\5" * 32, 0)
LICENCE_WORD = 1000 << 24 | 25 << 144 | 3 << 176 | 20 << 208 | 128 << 248
HELD = Licence(1, STRANGER, 0, 2000, 1, 25, 3, 20, ended_at=1000, revoked_at=1000, reason="x")


@pytest.mark.parametrize(
    "told",
    [
        None,
        replace(HELD, ended_at=999),
        replace(HELD, quota=26),
        replace(HELD, used=4),
        replace(HELD, anchored=19),
        replace(HELD, revoked_at=None),
        replace(HELD, ended_at=None),
    ],
)
def test_licence_that_differs_from_storage_is_a_contradiction(told: Licence | None) -> None:
    storage = Remembered({slot_of("_licences", 1, STRANGER): LICENCE_WORD})
    StorageCheck(storage, HEADER, "node").licence(1, STRANGER, HELD)
    with pytest.raises(LedgerContradiction, match="the licence of"):
        StorageCheck(storage, HEADER, "node").licence(1, STRANGER, told)


@pytest.mark.anvil
def test_node_without_proofs_is_compared_with_its_own_storage(node_reader: NodeReader, node_home: Home) -> None:
    unproved = node_home.with_chain(replace(node_home.chain, proofs=False, receipts=False))
    reader = open_rpc_reader(unproved)
    assert reader.tokens() == node_reader.tokens()
    assert reader.batches(1) == node_reader.batches(1)
    found = reader.right(1, LICENSEE.address)
    assert (found.why, found.proved) == ("licensed", False)
    reader.close()
    node_reader.close()


@pytest.mark.anvil
def test_writer_reads_through_the_same_checks(node_reader: NodeReader, node_home: Home) -> None:
    ledger = open_ledger(node_home)
    assert isinstance(ledger, NodeReader)
    reader = open_reader(node_home)
    assert ledger.tokens() == reader.tokens()
    for each in (ledger, reader, node_reader):
        each.close()


@pytest.mark.anvil
def test_the_batch_of_a_serial_is_found_in_proved_storage(
    node_reader: NodeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = node_reader.batches(1)
    found = [node_reader.batch_covering(1, serial) for serial in (0, 9, 10, 19, 20, 2**28 - 1)]
    assert found == [batches[0], batches[0], batches[1], batches[1], None, None]
    with pytest.raises(LedgerLookupError):
        node_reader.batch_covering(7, 0)
    monkeypatch.setattr(type(node_reader.source), "logs_of_block", lambda *_: [])
    with pytest.raises(LedgerContradiction, match="the batch that covers a serial"):
        node_reader.batch_covering(1, 10)
