"""What is pinned in a home's settings, remembered of nonces and blocks, and read back strictly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provenance.errors import FormatError, LedgerContradiction, LedgerUnavailable, UsageError
from provenance.home import MAX_FEE, ChainSettings, Home
from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.nonces import Nonces, Sent, nonce_lock
from provenance.ledger.pinning import pin_chain, probe
from provenance.ledger.protocol import LedgerIdentity
from tests.provenance.ledger.lies import header
from tests.provenance.ledger.lying_node import Lie, Refusal, lying_node

IDENTITY = LedgerIdentity(31337, "ab" * 32, "0x" + "cd" * 20, "ef" * 32)
SETTINGS = ChainSettings(
    kind="rpc",
    url="http://127.0.0.1:8545",
    chain_id=1,
    genesis="ab" * 32,
    contract="0x" + "cd" * 20,
    code_digest="ef" * 32,
    code_hash="01" * 32,
    confirmations=12,
    proofs=True,
    receipts=True,
    witnesses=("http://127.0.0.1:8546", "http://127.0.0.1:8547"),
    max_fee=7,
)


def test_settings_come_back_as_they_were_saved(home: Home) -> None:
    home.with_chain(SETTINGS).save()
    assert Home.open(home.path).chain == SETTINGS


def test_settings_of_an_older_home_are_read(home: Home) -> None:
    path = home.path / "home.json"
    raw = json.loads(path.read_bytes())
    for name in ("confirmations", "proofs", "receipts", "witnesses", "max_fee", "code_hash"):
        del raw["chain"][name]
    path.write_text(json.dumps(raw))
    chain = Home.open(home.path).chain
    assert (chain.confirmations, chain.proofs, chain.witnesses, chain.max_fee) == (None, False, (), MAX_FEE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confirmations", "12"),
        ("confirmations", True),
        ("confirmations", 1.5),
        ("proofs", 1),
        ("proofs", None),
        ("witnesses", "http://127.0.0.1:1"),
        ("witnesses", [1]),
        ("max_fee", None),
        ("url", 7),
        ("kind", None),
        ("unknown", 1),
    ],
)
def test_malformed_setting_is_a_format_error(home: Home, name: str, value: Any) -> None:
    path = home.path / "home.json"
    raw = json.loads(path.read_bytes())
    raw["chain"][name] = value
    path.write_text(json.dumps(raw))
    with pytest.raises(FormatError, match=name if name != "unknown" else "not known"):
        Home.open(home.path)


def test_nonce_is_remembered_between_processes(tmp_path: Path) -> None:
    with nonce_lock(tmp_path, IDENTITY, "0x12") as nonces:
        assert nonces.last() is None
        nonces.remember(Sent(4, "ab" * 32))
    with nonce_lock(tmp_path, IDENTITY, "0x12") as nonces:
        assert nonces.last() == Sent(4, "ab" * 32)
        nonces.remember(Sent(4, "ab" * 32, is_final=True))
        assert nonces.last() == Sent(4, "ab" * 32, is_final=True)
    with nonce_lock(tmp_path, replace(IDENTITY, genesis="ff" * 32), "0x12") as nonces:
        assert nonces.last() is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"type": "urn:prov:last-nonce:v1", "nonce": 1, "transaction": "ab"}',
        '{"type": "urn:prov:last-nonce:v1", "nonce": true, "transaction": "ab", "is_final": true}',
        '{"type": "urn:prov:last-nonce:v1", "nonce": 1, "transaction": 2, "is_final": true}',
    ],
)
def test_malformed_record_of_a_nonce_is_a_format_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nonce.json"
    path.write_text(text)
    with pytest.raises(FormatError):
        Nonces(path).last()


@pytest.mark.anvil
def test_node_that_proves_nothing_is_pinned_as_such(node_home: Home) -> None:
    no_proofs = {"eth_getProof", "eth_getBlockReceipts"}

    def lie(asked: str, _parameters: Any, result: Any) -> Any:
        return Refusal({"code": -32601, "message": "method not found"}) if asked in no_proofs else result

    with lying_node(str(node_home.chain.url), lie) as url:
        found = probe(url)
    assert (found.proofs, found.receipts) == (False, False)


@pytest.mark.anvil
@pytest.mark.parametrize(
    ("lie", "proofs", "receipts"),
    [
        (header({"stateRoot": "0x" + "66" * 32}), False, False),
        (lambda asked, _p, result: {**result, "accountProof": []} if asked == "eth_getProof" else result, False, True),
        (lambda asked, _p, result: [] if asked == "eth_getBlockReceipts" else result, True, False),
    ],
)
def test_only_what_a_node_really_proves_is_pinned(node_home: Home, lie: Lie, proofs: bool, receipts: bool) -> None:
    with lying_node(str(node_home.chain.url), lie) as url:
        found = probe(url)
    assert (found.proofs, found.receipts) == (proofs, receipts)


@pytest.mark.anvil
def test_public_chain_needs_the_finalized_tag_or_a_number(node_home: Home) -> None:
    def lie(asked: str, parameters: Any, result: Any) -> Any:
        if asked == "eth_chainId":
            return "0xaa36a7"
        unknown = asked == "eth_getBlockByNumber" and parameters[0] == "finalized"
        return Refusal({"code": -39001, "message": "unknown block"}) if unknown else result

    with lying_node(str(node_home.chain.url), lie) as url:
        with pytest.raises(UsageError, match="--confirmations"):
            probe(url)
        assert probe(url, confirmations=12).confirmations == 12
    assert probe(str(node_home.chain.url)).confirmations == 0


@pytest.mark.anvil
def test_public_chain_leaves_finality_to_the_node(node_home: Home) -> None:
    with lying_node(str(node_home.chain.url), lambda a, _p, r: "0x1" if a == "eth_chainId" else r) as url:
        assert probe(url).confirmations is None


@pytest.mark.anvil
def test_code_that_was_made_for_another_chain_is_not_pinned(node_home: Home) -> None:
    contract = str(node_home.chain.contract)

    def lie(asked: str, _parameters: Any, result: Any) -> Any:
        # Its constructor wrote this chain's number into it.
        word = f"{31337:064x}"
        return result.replace(word, f"{1:064x}") if asked == "eth_getCode" else result

    assert f"{31337:064x}" in JsonRpc(str(node_home.chain.url)).call("eth_getCode", contract, "latest")
    with (
        lying_node(str(node_home.chain.url), lie) as url,
        pytest.raises(LedgerContradiction, match="not deployed there"),
    ):
        pin_chain(url, contract)


@pytest.mark.anvil
def test_contract_of_others_is_not_pinned(node_home: Home, maker: KeystoreAccount) -> None:
    with pytest.raises(LedgerUnavailable, match="is not our contract"):
        pin_chain(str(node_home.chain.url), maker.address)
