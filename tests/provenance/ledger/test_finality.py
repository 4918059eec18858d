"""Finality: what may still be undone is waited for, looked at again, and no ground for a verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from contracts.anvil import Anvil, find_anvil, running_anvil
from provenance.errors import LedgerContradiction, LedgerUnavailable
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.node_reader import reader_news
from provenance.ledger.pinning import pin_chain
from provenance.ledger.rpc import RpcChain, RpcLedger, deploy_contract, nonce_folder
from provenance.ledger.rpc_reader import identity_of, open_rpc_source
from provenance.ledger.seen import forget_seen
from tests.provenance.ledger.lies import header
from tests.provenance.ledger.lying_node import Lie, Refusal, lying_node

pytestmark = pytest.mark.anvil


@pytest.fixture
def node() -> Iterator[Anvil]:
    """A node of the test's own, whose chain may be reorganised."""
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    with running_anvil() as running:
        yield running


@pytest.fixture
def rpc(node: Anvil) -> Iterator[JsonRpc]:
    opened = JsonRpc(node.url)
    yield opened
    opened.close()


@pytest.fixture
def deployed(home: Home, maker: KeystoreAccount, rpc: JsonRpc) -> Home:
    rpc.call("anvil_setBalance", maker.address, hex(10**21))
    return home.with_chain(deploy_contract(home, rpc.url, maker))


def deep(home: Home, confirmations: int | None) -> Home:
    """The same ledger pinned anew, with another depth."""
    forget_seen(home.path / "chain", identity_of(home.chain))
    return home.with_chain(replace(home.chain, confirmations=confirmations))


def mining(rpc: JsonRpc, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        rpc.call("evm_mine")


def test_development_node_here_needs_no_confirmations(deployed: Home) -> None:
    assert deployed.chain.confirmations == 0
    assert (deployed.chain.proofs, deployed.chain.receipts) == (True, True)


def test_confirmations_that_were_asked_for_are_kept(deployed: Home, rpc: JsonRpc) -> None:
    pinned = pin_chain(rpc.url, str(deployed.chain.contract), confirmations=12)
    assert pinned.confirmations == 12


def test_reader_stops_at_the_final_block(deployed: Home, maker: KeystoreAccount, rpc: JsonRpc) -> None:
    for _ in range(2):
        rpc.call("evm_mine")
    ledger = open_ledger(deployed)
    ledger.open_stream(maker)
    reader = open_reader(deep(deployed, 2))
    source: Any = reader.source
    assert source.head() == source.finalised()
    assert source.latest().block == source.head().block + 2
    assert source.newer_logs() == 1
    assert reader_news(reader) == "1 newer entry of the ledger is not final yet and was not read"
    assert reader.streams() == ()
    for _ in range(2):
        rpc.call("evm_mine")
    assert [each.stream for each in reader.streams()] == [1]
    assert reader_news(reader) is None
    ledger.close()
    reader.close()


def test_nodes_own_word_for_final_is_used_by_default(deployed: Home, maker: KeystoreAccount) -> None:
    ledger = open_ledger(deployed)
    ledger.open_stream(maker)
    ledger.close()
    # Anvil calls final what is 64 blocks old: the genesis block, here.
    reader = open_reader(deep(deployed, None))
    assert reader.source.finalised().block == 0
    with pytest.raises(LedgerUnavailable, match="no contract at"):
        reader.streams()
    reader.close()


def test_transaction_is_acknowledged_when_it_is_deep_enough(
    deployed: Home, maker: KeystoreAccount, rpc: JsonRpc
) -> None:
    told: list[str] = []
    stop = threading.Event()
    miner = threading.Thread(target=mining, args=(rpc, stop))
    miner.start()
    try:
        ledger = open_ledger(deep(deployed, 3), told.append)
        stream = ledger.open_stream(maker)
        assert stream.holder == maker.address
        receipt = ledger.last_receipt  # type: ignore[attr-defined]
        assert ledger.source.finalised().block >= receipt.block
        ledger.close()
    finally:
        stop.set()
        miner.join()
    assert any(f"in block {receipt.block}; final up to block" in each for each in told)


def test_transaction_whose_block_is_reorganised_away_is_waited_for_again(
    deployed: Home, maker: KeystoreAccount, rpc: JsonRpc
) -> None:
    told: list[str] = []
    reorganised = threading.Event()

    def note(sentence: str) -> None:
        told.append(sentence)
        if "final up to block" in sentence and not reorganised.is_set():
            # Its block is replaced by one without it; then the same transaction is sent to the node again.
            raw = rpc.call(
                "eth_getRawTransactionByHash", rpc.call("eth_getBlockByNumber", "latest", False)["transactions"][0]
            )
            rpc.call("anvil_reorg", 1, [])
            rpc.call("evm_mine")
            rpc.call("eth_sendRawTransaction", raw)
            for _ in range(3):
                rpc.call("evm_mine")
            reorganised.set()

    ledger = open_ledger(deep(deployed, 2), note)
    stream = ledger.open_stream(maker)
    assert reorganised.is_set()
    assert stream.stream == 1
    assert any("was replaced" in each for each in told)
    ledger.close()


def test_transaction_that_a_reorganisation_drops_is_not_acknowledged(
    deployed: Home, maker: KeystoreAccount, rpc: JsonRpc
) -> None:
    dropped = threading.Event()

    def note(sentence: str) -> None:
        if not dropped.is_set():
            dropped.set()
            rpc.call("anvil_reorg", 1, [])
            # Forgotten by the pool, too.
            rpc.call("anvil_dropAllTransactions")
            for _ in range(4):
                rpc.call("evm_mine")

    source = open_rpc_source(deep(deployed, 2))
    chain = RpcChain(source, nonce_folder(deployed), progress=note, receipt_seconds=1.0, final_seconds=5.0)
    ledger = RpcLedger(chain)
    with pytest.raises(LedgerUnavailable, match="the block that held it was replaced"):
        ledger.open_stream(maker)
    ledger.close()
    # It can be sent again: the account's next transaction takes the nonce that was never used.
    again = open_ledger(deployed)
    assert again.open_stream(maker).stream == 1
    again.close()


def test_transaction_that_is_never_final_is_not_acknowledged(deployed: Home, maker: KeystoreAccount) -> None:
    source = open_rpc_source(deep(deployed, 5))
    ledger = RpcLedger(RpcChain(source, nonce_folder(deployed), final_seconds=0.3))
    with pytest.raises(LedgerUnavailable, match="not final yet"):
        ledger.open_stream(maker)
    ledger.close()


def test_chain_that_goes_back_behind_a_final_block_is_refused(
    deployed: Home, maker: KeystoreAccount, rpc: JsonRpc
) -> None:
    ledger = open_ledger(deployed)
    ledger.open_stream(maker)
    ledger.close()
    rpc.call("anvil_reorg", 1, [])
    reader = open_reader(deployed)
    with pytest.raises(LedgerContradiction, match="gone back behind a block that was final"):
        reader.streams()
    reader.close()


def test_node_whose_final_block_is_old_is_refused(deployed: Home) -> None:
    old = header({"timestamp": hex(int(time.time()) - 7200)}, block="finalized", is_rehashed=True)
    with lying_node(str(deployed.chain.url), old) as url:
        reader = open_reader(deployed.with_chain(replace(deployed.chain, url=url, confirmations=None)))
        with pytest.raises(LedgerContradiction, match="does not follow its chain"):
            reader.streams()
        reader.close()


def other_block(asked: str, parameters: Any, result: Any) -> Any:
    """A witness on another fork: its blocks have other hashes, but the genesis block."""
    if parameters and parameters[0] == "0x0":
        return result
    return header({"extraData": "0x66"}, is_rehashed=True)(asked, parameters, result)


@pytest.mark.parametrize(
    ("lie", "error", "seen"),
    [
        (other_block, LedgerContradiction, "knows another block"),
        (header({"gasLimit": "0x1"}, block="0x0", is_rehashed=True), LedgerContradiction, "is on another chain"),
        (lambda asked, _p, result: "0x1" if asked == "eth_chainId" else result, LedgerContradiction, "another chain"),
        (
            lambda asked, p, result: None if asked == "eth_getBlockByNumber" and p[0] != "0x0" else result,
            LedgerUnavailable,
            "not known to this witness",
        ),
        (lambda *_: Refusal({"code": -32000, "message": "busy"}), LedgerUnavailable, "busy"),
    ],
)
def test_witness_that_disagrees_or_is_silent_is_named(
    deployed: Home, lie: Lie, error: type[LedgerUnavailable], seen: str
) -> None:
    with lying_node(str(deployed.chain.url), lie) as witness:
        reader = open_reader(deployed.with_chain(replace(deployed.chain, witnesses=(witness,))))
        with pytest.raises(error, match=seen) as raised:
            reader.has_licence(1, "0x" + "11" * 20, finalised=True)
        assert witness in str(raised.value)
        reader.close()


def test_witness_that_is_not_there_is_named_when_pinning(deployed: Home, rpc: JsonRpc) -> None:
    with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1:1"):
        pin_chain(rpc.url, str(deployed.chain.contract), witnesses=("http://127.0.0.1:1",))


def test_witness_that_agrees_lets_the_answer_through(deployed: Home, maker: KeystoreAccount) -> None:
    with lying_node(str(deployed.chain.url)) as witness:
        pinned = pin_chain(str(deployed.chain.url), str(deployed.chain.contract), witnesses=(witness,))
        used = deployed.with_chain(pinned)
        used.save()
        assert Home.open(used.path).chain == pinned
        ledger = open_ledger(used)
        ledger.open_stream(maker)
        ledger.close()
        reader = open_reader(used)
        assert len(reader.streams()) == 1
        reader.close()


def resent(rpc: JsonRpc, raw: bytes) -> Callable[[], Any]:
    return lambda: rpc.call("eth_sendRawTransaction", "0x" + raw.hex())


def test_transaction_really_sent_twice_counts_as_sent(deployed: Home, maker: KeystoreAccount, rpc: JsonRpc) -> None:
    """The node gets the very bytes before we send them, and says so in its own words."""

    class Twice(KeystoreAccount):
        def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
            raw = super().sign_transaction(transaction)
            resent(rpc, raw)()
            return raw

    for automatic in (True, False):
        # In the pool only, then in a block already.
        rpc.call("evm_setAutomine", automatic)
        stop = threading.Event()
        miner = threading.Thread(target=mining, args=(JsonRpc(rpc.url), stop))
        miner.start()
        try:
            ledger = open_ledger(deployed)
            assert ledger.open_stream(Twice(maker.name, maker.address, maker.private_key)).holder == maker.address
            ledger.close()
        finally:
            stop.set()
            miner.join()
    reader = open_reader(deployed)
    assert len(reader.streams()) == 2
    reader.close()
