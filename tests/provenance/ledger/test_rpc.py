"""A node that anyone runs: what it may get wrong without our believing it."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contracts.anvil import Anvil
from provenance.errors import LedgerRefused, LedgerUnavailable, UsageError
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.header import header_hash
from provenance.ledger.jsonrpc import JsonRpc, check_url, is_loopback, origin
from provenance.ledger.pinning import pin_chain
from provenance.ledger.rpc import RpcLedger
from tests.provenance.ledger.lying_node import Bytes, Lie, Refusal, honest, lying_node

pytestmark = pytest.mark.anvil
MINT = {"dataset": "da" * 32, "base": "ba" * 32, "terms": "00" * 32, "cid": "bafy"}


def through(home: Home, url: str) -> Home:
    return home.with_chain(replace(home.chain, url=url))


def instead(method: str, value: Any) -> Lie:
    return lambda asked, _parameters, result: value if asked == method else result


def other_genesis(asked: str, parameters: Any, result: Any) -> Any:
    """The first block of another chain: it hashes to what it says."""
    if asked != "eth_getBlockByNumber" or parameters[0] != "0x0":
        return result
    other = {**result, "gasLimit": "0x1"}
    return {**other, "hash": "0x" + header_hash(other).hex()}


@pytest.mark.parametrize(
    ("lie", "noun"),
    [
        (instead("eth_chainId", "0x1"), "chain id"),
        (other_genesis, "genesis block"),
        (instead("eth_getCode", "0x6001"), "contract code"),
        (instead("eth_getCode", "0x"), "contract code"),
    ],
)
def test_node_of_another_ledger_is_refused(node_home: Home, lie: Lie, noun: str) -> None:
    with lying_node(str(node_home.chain.url), lie) as url:
        for opener in (open_reader, open_ledger):
            with pytest.raises(LedgerUnavailable, match=noun):
                opener(through(node_home, url))


@pytest.mark.parametrize(
    "lie",
    [
        instead("eth_chainId", None),
        instead("eth_chainId", "one"),
        instead("eth_chainId", 31337),
        instead("eth_getBlockByNumber", None),
        instead("eth_getCode", {}),
        instead("eth_chainId", Refusal({"code": -32000, "message": "no"})),
        instead("eth_chainId", Bytes(b"<html>")),
        instead("eth_chainId", Bytes(b"[]")),
        instead("eth_chainId", Bytes(b'{"jsonrpc": "2.0", "id": 999, "result": "0x7a69"}')),
        instead("eth_chainId", Bytes(b'{"jsonrpc": "2.0", "id": 1}')),
    ],
)
def test_malformed_answer_is_unavailable(node_home: Home, lie: Lie) -> None:
    with lying_node(str(node_home.chain.url), lie) as url, pytest.raises(LedgerUnavailable):
        open_reader(through(node_home, url))


def changed(**fields: Any) -> Lie:
    return lambda asked, _parameters, result: (
        [{**log, **fields} for log in result] if asked == "eth_getLogs" else result
    )


@pytest.mark.parametrize(
    "lie",
    [
        changed(address="0x" + "66" * 20),
        changed(removed=True),
        changed(topics=["0x" + "66" * 32]),
        changed(topics=[]),
        changed(data="0xzz"),
        changed(blockNumber="12"),
        changed(blockNumber=None),
        changed(transactionHash="0x12"),
        instead("eth_getLogs", {}),
        instead("eth_getLogs", [None]),
    ],
)
def test_logs_that_were_not_asked_for_are_refused(
    node_ledger: RpcLedger, node_home: Home, maker: KeystoreAccount, lie: Lie
) -> None:
    node_ledger.mint(maker, weights="01" * 32, **MINT)
    with lying_node(str(node_home.chain.url), lie) as url:
        reader = open_reader(through(node_home, url))
        with pytest.raises(LedgerUnavailable):
            reader.token(1)


def test_node_without_block_timestamps_in_logs_is_asked_for_blocks(
    node_ledger: RpcLedger, node_home: Home, maker: KeystoreAccount
) -> None:
    token = node_ledger.mint(maker, weights="01" * 32, **MINT)
    with lying_node(str(node_home.chain.url), changed(blockTimestamp=None)) as url:
        assert open_reader(through(node_home, url)).token(1) == token


def test_node_that_limits_ranges_is_asked_in_parts(
    node_ledger: RpcLedger, node_home: Home, maker: KeystoreAccount
) -> None:
    for number in range(6):
        node_ledger.mint(maker, weights=f"{number + 1:02x}" * 32, **MINT)
    asked = []

    def narrow(method: str, parameters: Any, result: Any) -> Any:
        if method == "eth_getLogs":
            width = int(parameters[0]["toBlock"], 16) - int(parameters[0]["fromBlock"], 16) + 1
            asked.append(width)
            if width > 2:
                return Refusal({"code": -32005, "message": "range too wide"})
        return result

    with lying_node(str(node_home.chain.url), narrow) as url:
        assert open_reader(through(node_home, url)).tokens() == node_ledger.tokens()
    assert max(asked) > 2


def test_transaction_carries_the_pinned_chain_id_whatever_the_node_says(
    node_home: Home, maker: KeystoreAccount, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Watched(KeystoreAccount):
        def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
            seen.append(transaction["chainId"])
            return super().sign_transaction(transaction)

    lying = False

    def later(method: str, _parameters: Any, result: Any) -> Any:
        return "0x1" if lying and method == "eth_chainId" else result

    with lying_node(str(node_home.chain.url), later) as url:
        ledger = open_ledger(through(node_home, url))
        lying = True
        ledger.open_stream(Watched(maker.name, maker.address, maker.private_key))
    assert seen == [node_home.chain.chain_id]


def test_already_known_transaction_counts_as_sent(node_home: Home, maker: KeystoreAccount) -> None:
    known = Refusal({"code": -32000, "message": "already known"})
    with lying_node(str(node_home.chain.url), instead("eth_sendRawTransaction", known)) as url:
        assert open_ledger(through(node_home, url)).open_stream(maker).stream == 1


def test_two_writers_of_one_account_do_not_collide(node_home: Home, maker: KeystoreAccount) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            ledger = open_ledger(node_home)
            for _ in range(10):
                ledger.open_stream(maker)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [each.stream for each in open_reader(node_home).streams(maker.address)] == list(range(1, 31))


def test_account_without_money_is_told_so(node_ledger: RpcLedger) -> None:
    with pytest.raises(LedgerRefused, match="too little money"):
        node_ledger.open_stream(account_from_key("poor", b"\x21" * 32))


def test_contract_that_is_not_ours_is_not_pinned(anvil: Anvil) -> None:
    with pytest.raises(LedgerUnavailable, match="not our contract"):
        pin_chain(anvil.url, "0x" + "66" * 20)


def test_transaction_that_fails_after_its_rehearsal_is_refused_with_the_contracts_reason(
    node_home: Home, maker: KeystoreAccount
) -> None:
    # As if the ledger had changed between the rehearsal and the block.
    with lying_node(str(node_home.chain.url), instead("eth_estimateGas", hex(1_000_000))) as url:
        ledger = open_ledger(through(node_home, url))
        with pytest.raises(LedgerRefused, match="may not use adapter 7"):
            ledger.open_stream(maker, 7)
        ledger.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1"])
def test_node_that_is_not_there_is_unavailable(node_home: Home, url: str) -> None:
    with pytest.raises(LedgerUnavailable, match="no proper answer"):
        open_reader(through(node_home, url))


def test_node_that_goes_away_is_unavailable(node_home: Home, maker: KeystoreAccount) -> None:
    with lying_node(str(node_home.chain.url), honest) as url:
        ledger = open_ledger(through(node_home, url))
    with pytest.raises(LedgerUnavailable, match="no proper answer"):
        ledger.open_stream(maker)
    with pytest.raises(LedgerUnavailable, match="no proper answer"):
        ledger.head()


@pytest.mark.parametrize("url", ["http://example.org:8545", "https://10.0.0.1/key", "http://127.0.0.1.example.org"])
def test_node_elsewhere_needs_permission(url: str) -> None:
    with pytest.raises(UsageError, match="not on this machine"):
        check_url(url, allow_remote=False)
    assert check_url(url, allow_remote=True) == url


@pytest.mark.parametrize("url", ["", "8545", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "file:///etc"])
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="not the address"):
        check_url(url, allow_remote=True)


def test_loopback_is_recognised_by_number_not_by_resolving() -> None:
    assert all(is_loopback(f"http://{host}:1") for host in ("127.0.0.1", "127.9.9.9", "[::1]", "localhost"))
    assert not any(is_loopback(f"http://{host}:1") for host in ("localhost.example.org", "0x7f000001.example", "[::2]"))


def test_errors_do_not_show_the_path_of_a_hosted_node() -> None:
    assert origin("https://node.example:8545/v3/secret-key") == "https://node.example:8545"


def test_redirect_is_not_followed(node_home: Home) -> None:
    class Redirect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", str(node_home.chain.url))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(LedgerUnavailable, match="HTTP status 307"):
            JsonRpc(f"http://127.0.0.1:{server.server_address[1]}").call("eth_chainId")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
