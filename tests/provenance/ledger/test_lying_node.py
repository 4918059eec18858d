"""A lying node: each lie is refused or named, and none yields a licence or a verdict that is not true.

One row for each lie: what is asked, the lie, and what the user sees. The node behind the liar is a real one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from contracts.anvil import find_anvil, running_anvil
from contracts.artifact import load_artifact
from provenance.errors import LedgerContradiction, LedgerRefused, LedgerUnavailable, ProvenanceError
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader, settlement, transport
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.licences import Terms
from provenance.ledger.right import read_right
from provenance.ledger.rpc import deploy_contract
from provenance.ledger.storage import slot_of
from tests.provenance.ledger.lies import (
    Acknowledging,
    Forgetting,
    Later,
    both,
    changed,
    each_log,
    flipped,
    header,
    instead,
    logs,
    proof,
    receipt,
    receipt_everywhere,
)
from tests.provenance.ledger.lying_node import Bytes, Lie, Refusal, Renamed, honest, lying_node

pytestmark = pytest.mark.anvil

BATCHES = 3
DAY = 24 * 3600
CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
STRANGER = "0x" + "77" * 20
RECORD, ROOT = "0c" * 32, "0a" * 32


@dataclass(frozen=True)
class World:
    """A node with a ledger: adapter 1, a licensee with a stream of three batches, and one whose licence was revoked."""

    url: str
    home: Home
    maker: KeystoreAccount
    licensee: KeystoreAccount
    revoked: KeystoreAccount
    receipt: Any

    def through(self, url: str, folder: Path) -> Home:
        """A fresh home that uses this ledger through another address."""
        return Home.create(folder / "home").with_chain(replace(self.home.chain, url=url))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    with running_anvil() as node:
        yield build(node.url, tmp_path_factory.mktemp("world"))


def build(url: str, folder: Path) -> World:
    rpc = JsonRpc(url)
    accounts = [account_from_key(name, secrets.token_bytes(32)) for name in ("maker", "licensee", "revoked")]
    for each in accounts:
        rpc.call("anvil_setBalance", each.address, hex(10**21))
    maker, licensee, revoked = accounts
    home = Home.create(folder / "home")
    home = home.with_chain(deploy_contract(home, url, maker))
    ledger = open_ledger(home)
    ledger.mint(maker, weights="01" * 32, dataset="02" * 32, base="03" * 32, terms="04" * 32, cid=CID)
    for account in (licensee, revoked):
        ledger.grant(maker, 1, account.address, expires=ledger.now() + 10**6)
    for price in (100, 200, 300):
        ledger.make_offer(maker, 1, Terms(price=price, duration=DAY))
    ledger.close_offer(maker, 1, 2)
    ledger.open_stream(licensee, 1)
    for number in range(BATCHES):
        ledger.anchor(licensee, stream=1, first=10 * number, count=10, root=f"{number + 1:02x}" * 32, cid=CID)
    ledger.revoke(maker, 1, revoked.address, reason="terms broken")
    ledger.revoke_consent(maker, 1, record=RECORD, reason="consent withdrawn")
    ledger.register_issuer(maker, ROOT)
    ledger.revoke_issuer(maker, ROOT, reason="lost")
    ledger.close()
    last = rpc.call("eth_getBlockReceipts", "latest")[0]
    rpc.close()
    return World(url, home, maker, licensee, revoked, last)


def topic(event: str) -> str:
    return "0x" + load_artifact().events[event].selector


# What is asked. Each returns what it was told; all of it must be true.


def ask_licence(world: World, home: Home) -> None:
    assert read_right(home, 1, world.licensee.address).allowed


def ask_revoked(world: World, home: Home) -> None:
    assert not read_right(home, 1, world.revoked.address).allowed


def ask_stranger(_world: World, home: Home) -> None:
    assert not read_right(home, 1, STRANGER).allowed


def ask_unproved(world: World, home: Home) -> None:
    unproved = home.with_chain(replace(home.chain, proofs=False, receipts=False))
    found = read_right(unproved, 1, world.licensee.address)
    assert (found.allowed, found.proved) == (True, False)
    assert not read_right(unproved, 1, world.revoked.address).allowed


def ask_batches(_world: World, home: Home) -> None:
    reader = open_reader(home)
    try:
        assert [each.root[:2] for each in reader.batches(1)] == [f"{number + 1:02x}" for number in range(BATCHES)]
    finally:
        reader.close()


def ask_adapters(world: World, home: Home) -> None:
    reader = open_reader(home)
    try:
        assert [(each.token, each.owner) for each in reader.tokens()] == [(1, world.maker.address)]
    finally:
        reader.close()


def ask_licensees(world: World, home: Home) -> None:
    reader = open_reader(home)
    try:
        found = reader.licence(1, world.revoked.address)
        assert found is not None
        assert found.revoked_at is not None
    finally:
        reader.close()


def ask_consents(_world: World, home: Home) -> None:
    reader = open_reader(home)
    try:
        assert [each.record for each in reader.consent_revocations(1, [RECORD, "0d" * 32])] == [RECORD]
    finally:
        reader.close()


def ask_roots(world: World, home: Home) -> None:
    reader = open_reader(home)
    try:
        assert reader.issuers(world.maker.address) == frozenset()
    finally:
        reader.close()


def ask_offers(_world: World, home: Home) -> None:
    reader = open_reader(home)
    try:
        assert [(each.number, each.terms.price) for each in reader.offers(1)] == [(1, 100), (3, 300)]
    finally:
        reader.close()


def ask_unproved_offers(world: World, home: Home) -> None:
    ask_offers(world, home.with_chain(replace(home.chain, proofs=False, receipts=False)))


def buy(world: World, home: Home) -> None:
    """A purchase by who read two offers and means the only one it is shown."""
    ledger = open_ledger(home)
    try:
        ledger.buy(world.revoked, 1)
    finally:
        ledger.close()


def ask_twice(world: World, home: Home) -> None:
    ask_batches(world, home)
    ask_batches(world, home)


def send(world: World, home: Home) -> None:
    ledger = open_ledger(home)
    try:
        stream = ledger.open_stream(world.maker)
        assert stream.holder == world.maker.address
    finally:
        ledger.close()


def send_twice(world: World, home: Home) -> None:
    send(world, home)
    send(world, home)


def send_refused(world: World, home: Home) -> None:
    """A transaction that the contract refuses, after a rehearsal that lied."""
    ledger = open_ledger(home)
    try:
        ledger.open_stream(world.maker, 7)
    finally:
        ledger.close()


Ask = Callable[[World, Home], None]
REVERSED_ROOT = logs(lambda found: [{**e, "data": e["data"].replace("02" * 32, "66" * 32)} for e in found])
FORGED = logs(lambda found: [*found, {**found[-1], "logIndex": "0x9"}] if found else found, topic("BatchAnchored"))
OTHER_GENESIS = header({"gasLimit": "0x1"}, block="0x0", is_rehashed=True)
FINE = instead("eth_estimateGas", hex(1_000_000))

ROWS: list[tuple[str, Ask, Lie, type[ProvenanceError], str]] = [
    # Another ledger.
    ("other chain id", ask_licence, instead("eth_chainId", "0x1"), LedgerUnavailable, "chain id differs"),
    ("other genesis", ask_licence, OTHER_GENESIS, LedgerUnavailable, "genesis block differs"),
    ("other code", ask_licence, instead("eth_getCode", "0x6001"), LedgerUnavailable, "contract code differs"),
    ("no code", ask_licence, instead("eth_getCode", "0x"), LedgerUnavailable, "contract code differs"),
    # Headers.
    ("altered time", ask_licence, header({"timestamp": "0x1"}), LedgerUnavailable, "does not hash to what it says"),
    ("altered root", ask_licence, header({"stateRoot": "0x" + "66" * 32}), LedgerUnavailable, "does not hash to"),
    ("altered hash", ask_licence, header({"hash": "0x" + "66" * 32}), LedgerUnavailable, "does not hash to"),
    ("no block", ask_licence, instead("eth_getBlockByNumber", None), LedgerUnavailable, "no such block"),
    (
        "invented block",
        ask_licence,
        header({"stateRoot": "0x" + "66" * 32}, block="latest", is_rehashed=True),
        LedgerContradiction,
        "does not prove what it says",
    ),
    # Licence answers.
    (
        "altered value in a proof",
        ask_revoked,
        proof(lambda raw: {**raw, "storageProof": [{**e, "value": "0x1"} for e in raw["storageProof"]]}),
        LedgerContradiction,
        "another value than the node says",
    ),
    (
        "altered storage proof",
        ask_revoked,
        proof(
            lambda raw: {
                **raw,
                "storageProof": [
                    {**e, "proof": [*e["proof"][:-1], flipped(e["proof"][-1])]} for e in raw["storageProof"]
                ],
            }
        ),
        LedgerContradiction,
        "does not prove what it says",
    ),
    (
        "altered account proof",
        ask_licence,
        proof(lambda raw: {**raw, "accountProof": [*raw["accountProof"][:-1], flipped(raw["accountProof"][-1])]}),
        LedgerContradiction,
        "does not prove what it says",
    ),
    (
        "proof of absence that is none",
        ask_licence,
        proof(
            lambda raw: {
                **raw,
                "storageProof": [{**e, "value": "0x0", "proof": e["proof"][:1]} for e in raw["storageProof"]],
            }
        ),
        LedgerContradiction,
        "lacks the node",
    ),
    (
        "proof of another slot",
        ask_stranger,
        proof(lambda raw: {**raw, "storageProof": [raw["storageProof"][0]] * len(raw["storageProof"])}),
        LedgerContradiction,
        "does not prove what it says",
    ),
    (
        "proof of fewer slots",
        ask_licence,
        proof(lambda raw: {**raw, "storageProof": raw["storageProof"][:1]}),
        LedgerContradiction,
        "not about the slots asked for",
    ),
    (
        "proofs no longer served",
        ask_licence,
        instead("eth_getProof", Refusal({"code": -32601, "message": "the method eth_getProof does not exist"})),
        LedgerContradiction,
        "served proofs when it was pinned",
    ),
    (
        "altered licence, without proofs",
        ask_unproved,
        honest,
        LedgerContradiction,
        "contradicts its own logs",
    ),
    (
        "withheld grant, without proofs",
        ask_unproved,
        logs(lambda _found: [], topic("LicenceGranted")),
        LedgerContradiction,
        "contradicts its own logs",
    ),
    # Logs.
    (
        "one log withheld",
        ask_batches,
        logs(lambda found: found[:-1], topic("BatchAnchored")),
        LedgerContradiction,
        "its batches",
    ),
    (
        "a log in the middle withheld",
        ask_batches,
        logs(lambda found: found[:1] + found[2:], topic("BatchAnchored")),
        LedgerContradiction,
        "its batches",
    ),
    ("all logs withheld", ask_adapters, logs(lambda _found: []), LedgerContradiction, ": adapters"),
    ("a stream withheld", ask_batches, logs(lambda _found: [], topic("StreamOpened")), LedgerContradiction, "stream 1"),
    (
        "a mint withheld",
        ask_licensees,
        logs(lambda _found: [], topic("AdapterMinted")),
        LedgerContradiction,
        "its mint",
    ),
    (
        "a revocation withheld",
        ask_licensees,
        logs(lambda _found: [], topic("LicenceRevoked")),
        LedgerContradiction,
        "its end",
    ),
    (
        "a transfer invented",
        ask_adapters,
        logs(lambda found: [*found, {**found[0], "logIndex": "0x7"}] if found else [], topic("Transfer")),
        LedgerContradiction,
        "other logs than its blocks hold",
    ),
    (
        "a consent's revocation withheld",
        ask_consents,
        logs(lambda _found: [], topic("ConsentRevoked")),
        LedgerContradiction,
        f"consent to record {RECORD}",
    ),
    (
        "a root's revocation withheld",
        ask_roots,
        logs(lambda _found: [], topic("IssuerRevoked")),
        LedgerContradiction,
        f"root {ROOT}",
    ),
    ("an offer withheld", ask_offers, logs(lambda found: found[1:], topic("OfferMade")), LedgerContradiction, "offers"),
    (
        "the cheaper offer withheld from a buyer",
        buy,
        logs(lambda found: found[2:], topic("OfferMade")),
        LedgerContradiction,
        "its offers",
    ),
    (
        "an offer's closing withheld",
        ask_offers,
        logs(lambda _found: [], topic("OfferClosed")),
        LedgerContradiction,
        "offer 2 of adapter 1",
    ),
    (
        "an offer at another price, without proofs",
        ask_unproved_offers,
        logs(
            lambda found: [{**e, "data": e["data"].replace(f"{300:064x}", f"{3:064x}")} for e in found],
            topic("OfferMade"),
        ),
        LedgerContradiction,
        "offer 3 of adapter 1",
    ),
    ("forged log", ask_batches, FORGED, LedgerContradiction, "other logs than its blocks hold"),
    ("altered log", ask_batches, REVERSED_ROOT, LedgerContradiction, "other logs than its blocks hold"),
    (
        "log of another contract",
        ask_batches,
        each_log(lambda e: {**e, "address": STRANGER}),
        LedgerUnavailable,
        "another contract",
    ),
    (
        "log that was not asked for",
        ask_batches,
        each_log(lambda e: {**e, "topics": ["0x" + "66" * 32]}),
        LedgerUnavailable,
        "not asked for",
    ),
    (
        "removed log",
        ask_batches,
        each_log(lambda e: {**e, "removed": True}),
        LedgerUnavailable,
        "not a log of the chain",
    ),
    ("the same log twice", ask_batches, logs(lambda found: found * 2), LedgerUnavailable, "same log twice"),
    (
        "log in a later block",
        ask_batches,
        each_log(lambda e: {**e, "blockNumber": "0xffffff"}),
        LedgerUnavailable,
        "no such block",
    ),
    (
        "log in a block that is gone",
        ask_batches,
        each_log(lambda e: {**e, "blockHash": "0x" + "66" * 32}),
        LedgerContradiction,
        "not in its chain",
    ),
    (
        "receipts of a block altered",
        ask_batches,
        changed("eth_getBlockReceipts", lambda found, _p: [{**e, "status": "0x0"} for e in found]),
        LedgerContradiction,
        "tells of other transactions",
    ),
    (
        "any range is too wide",
        ask_batches,
        instead("eth_getLogs", Refusal({"code": -32005, "message": "range too wide"})),
        LedgerUnavailable,
        "range too wide",
    ),
    ("logs that are no list", ask_batches, instead("eth_getLogs", {}), LedgerUnavailable, "not a list"),
    # The head.
    ("a head that goes back", ask_twice, honest, LedgerContradiction, "gone back behind a block"),
    # Transactions.
    ("invented receipt", send, instead("eth_sendRawTransaction", None), LedgerContradiction, "does not hold it there"),
    (
        "acknowledges another transaction",
        send,
        instead("eth_sendRawTransaction", "0x" + "66" * 32),
        LedgerContradiction,
        "acknowledges another transaction",
    ),
    (
        "receipt of another transaction",
        send,
        receipt(lambda raw: {**raw, "transactionHash": "0x" + "66" * 32}),
        LedgerContradiction,
        "receipt of another transaction",
    ),
    (
        "receipt in another place",
        send,
        receipt(lambda raw: {**raw, "transactionIndex": "0x5"}),
        LedgerContradiction,
        "another outcome",
    ),
    (
        "success that was none",
        send_refused,
        both(FINE, receipt(lambda raw: {**raw, "status": "0x1"})),
        LedgerContradiction,
        "another outcome",
    ),
    (
        "success that was none, everywhere",
        send_refused,
        both(FINE, receipt_everywhere(lambda raw: {**raw, "status": "0x1"})),
        LedgerContradiction,
        "tells of other transactions",
    ),
    (
        "failure that was none",
        send,
        receipt(lambda raw: {**raw, "status": "0x0"}),
        LedgerContradiction,
        "another outcome",
    ),
    (
        "receipt without its logs",
        send,
        receipt(lambda raw: {**raw, "logs": []}),
        LedgerContradiction,
        "another outcome",
    ),
    (
        "already known, but never sent",
        send,
        instead("eth_sendRawTransaction", Refusal({"code": -32000, "message": "already known"})),
        LedgerUnavailable,
        "not in a block yet",
    ),
    ("transaction kept back", send, honest, LedgerUnavailable, "not in a block yet"),
    (
        "nonce too low",
        send,
        instead("eth_getTransactionCount", "0x0"),
        LedgerUnavailable,
        "nonce too low",
    ),
    ("nonce that goes back", send_twice, honest, LedgerContradiction, "counts fewer transactions"),
    (
        "nonce too high",
        send,
        changed("eth_getTransactionCount", lambda n, p: hex(int(n, 16) + 99) if p[1] == "pending" else n),
        LedgerContradiction,
        "wait for a block",
    ),
    (
        "absurd base fee",
        send,
        header({"baseFeePerGas": hex(10**18)}, block="latest", is_rehashed=True),
        LedgerRefused,
        "too high a fee",
    ),
    ("absurd priority fee", send, instead("eth_maxPriorityFeePerGas", hex(10**18)), LedgerRefused, "too high a fee"),
    ("absurd gas", send, instead("eth_estimateGas", hex(10**9)), LedgerContradiction, "no transaction may use"),
    ("too little gas", send, instead("eth_estimateGas", hex(30_000)), LedgerRefused, "failed|refused"),
    ("gas that is no number", send, instead("eth_estimateGas", "much"), LedgerUnavailable, "no proper answer"),
    # The wire.
    ("huge answer", ask_licence, instead("eth_chainId", Bytes(b" " * (2 << 20))), LedgerUnavailable, "more than"),
    ("deep answer", ask_licence, instead("eth_chainId", Bytes(b"[" * 200_000)), LedgerUnavailable, "no proper answer"),
    (
        "slow answer",
        ask_licence,
        instead("eth_chainId", Bytes(b" " * 100, pause=0.1, piece=1)),
        LedgerUnavailable,
        "timed out",
    ),
    (
        "answer to another question",
        ask_licence,
        instead("eth_getProof", Renamed(10**6)),
        LedgerUnavailable,
        "another question",
    ),
    (
        "error object",
        ask_licence,
        instead("eth_chainId", Refusal({"code": -32000, "message": "no"})),
        LedgerUnavailable,
        "found:    no",
    ),
    ("malformed error", ask_licence, instead("eth_chainId", Refusal([[]])), LedgerUnavailable, "no proper answer"),
    ("no answer", ask_licence, instead("eth_getProof", None), LedgerContradiction, "does not prove"),
]
SWALLOWED = {"invented receipt", "already known, but never sent", "transaction kept back"}


def lie_of(name: str, lie: Lie, world: World) -> Lie:
    """The row's lie; some need the ledger's own blocks, accounts and transactions."""
    match name:
        case "invented receipt":
            return Acknowledging(world.receipt)
        case "transaction kept back":
            return Acknowledging(None)
        case "a head that goes back":
            return Forgetting(block(world, 2))
        case "nonce that goes back":
            return Later("eth_getTransactionCount", 2)
        case "altered licence, without proofs":
            slot = f"0x{slot_of('_licences', 1, world.licensee.address):064x}"
            return changed("eth_getStorageAt", lambda word, asked: "0x0" if asked[1] == slot else word)
    return lie


def block(world: World, number: int) -> Any:
    rpc = JsonRpc(world.url)
    found = rpc.call("eth_getBlockByNumber", hex(number), False)
    rpc.close()
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, sooner reached."""
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr(settlement, "RECEIPT_SECONDS", 0.5)


@pytest.mark.parametrize(("name", "ask", "lie", "error", "seen"), ROWS, ids=[row[0] for row in ROWS])
def test_lie_is_refused_or_named(
    world: World,
    tmp_path: Path,
    impatient: None,
    name: str,
    ask: Ask,
    lie: Lie,
    error: type[ProvenanceError],
    seen: str,
) -> None:
    swallowed = ("eth_sendRawTransaction",) if name in SWALLOWED else ()
    with lying_node(world.url, lie_of(name, lie, world), swallowed=swallowed) as url:
        with pytest.raises(error, match=seen) as raised:
            ask(world, world.through(url, tmp_path))
        assert raised.value.exit_code == (1 if error is LedgerRefused else 3)


def test_head_that_stays_behind_does_not_hide_what_was_seen(world: World, tmp_path: Path) -> None:
    """Honest nodes behind one address differ so; the last block seen is read, as long as the node still has it."""
    lie = Later("eth_getBlockByNumber", 1, block(world, 2), parameter="latest")
    with lying_node(world.url, lie) as url:
        ask_twice(world, world.through(url, tmp_path))


@pytest.mark.parametrize(
    "ask",
    [
        ask_licence,
        ask_revoked,
        ask_stranger,
        ask_unproved,
        ask_batches,
        ask_adapters,
        ask_licensees,
        ask_consents,
        ask_roots,
        ask_offers,
        ask_unproved_offers,
        ask_twice,
        send,
    ],
)
def test_honest_node_is_believed(world: World, tmp_path: Path, ask: Ask) -> None:
    with lying_node(world.url) as url:
        ask(world, world.through(url, tmp_path))


def test_there_are_rows_enough() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS) >= 20
