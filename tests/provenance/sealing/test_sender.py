"""A licensee's public key comes out of what it signed on the chain, whatever kind of transaction that was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.anvil import find_anvil, running_anvil
from provenance.errors import FormatError
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import account_from_key
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.rpc import deploy_contract
from provenance.sealing import known_public_key, licensed, public_key_of
from provenance.sealing.sender import sender_public_key, signer_of_transaction
from tests.provenance.sealed_world import SealedWorld

MAKER, LICENSEE, SILENT = (account_from_key(name, bytes(31) + name[:1].encode()) for name in ("maker", "licensee", "x"))
PRIVATE = bytes(31) + b"\7"
COMMON = {"nonce": 3, "gas": 21000, "to": "0x" + "12" * 20, "value": 5, "data": b"\1\2\3"}
KINDS: dict[str, dict[str, Any]] = {
    "legacy": {"gasPrice": 10**9, "chainId": 1337},
    "legacy of another chain": {"gasPrice": 10**9, "chainId": 2**45},
    "before EIP-155": {"gasPrice": 10**9},
    "access list": {"type": 1, "gasPrice": 10**9, "chainId": 1, "accessList": []},
    "fee market": {"type": 2, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 1, "chainId": 1},
}


def raw(kind: str) -> bytes:
    return bytes(Account.from_key(PRIVATE).sign_transaction({**COMMON, **KINDS[kind]}).raw_transaction)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transaction_tells_who_signed_it(kind: str) -> None:
    assert signer_of_transaction(raw(kind)) == public_key_of(PRIVATE)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_transaction_was_signed_by_somebody_else_or_nobody(data: st.DataObject) -> None:
    changed = bytearray(raw("fee market"))
    place = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[place // 8] ^= 1 << place % 8
    try:
        assert signer_of_transaction(bytes(changed)) != public_key_of(PRIVATE)
    except FormatError:
        return


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    try:
        signer_of_transaction(data)
    except FormatError:
        return
    raise AssertionError("nobody signed this")


@pytest.fixture(scope="module")
def node_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose ledger is on a node; three accounts, the licensee licensed for token 1 in the block before last."""
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    home = Home.create(tmp_path_factory.mktemp("node") / "home")
    with running_anvil() as node:
        rpc = JsonRpc(node.url)
        for account in (MAKER, LICENSEE):
            rpc.call("anvil_setBalance", account.address, hex(10**21))
        used = home.with_chain(deploy_contract(home, node.url, MAKER, confirmations=0))
        ledger = open_ledger(used)
        ledger.mint(MAKER, weights="01" * 32, dataset="02" * 32, base="03" * 32, terms="04" * 32, cid="bafy")
        ledger.grant(MAKER, 1, LICENSEE.address, expires=ledger.now() + 10**6)
        ledger.grant(MAKER, 1, SILENT.address, expires=ledger.now() + 10**6)
        ledger.open_stream(LICENSEE, 1)
        ledger.close()
        rpc.call("anvil_mine", "0x1")
        rpc.close()
        yield used


@pytest.mark.anvil
def test_a_licensees_public_key_is_known_from_its_own_transaction(node_home: Home) -> None:
    reader = open_reader(node_home)
    assert known_public_key(node_home, reader, LICENSEE.address) == public_key_of(LICENSEE.private_key)
    reader.close()


@pytest.mark.anvil
def test_an_account_that_only_received_is_not_known(node_home: Home) -> None:
    reader = open_reader(node_home)
    assert reader.has_licence(1, SILENT.address)
    assert sender_public_key(node_home, reader, SILENT.address) is None
    reader.close()


@pytest.mark.anvil
@pytest.mark.parametrize(("confirmations", "expected"), [(0, True), (2, True), (4, False)])
def test_on_a_node_a_licence_counts_once_its_block_is_final(
    node_home: Home, tmp_path: Path, confirmations: int, expected: bool
) -> None:
    # A home of its own, which has not seen later blocks as final.
    fresh = Home.create(tmp_path / "fresh")
    reader = open_reader(fresh.with_chain(replace(node_home.chain, confirmations=confirmations)))
    assert reader.has_licence(1, LICENSEE.address)
    assert licensed(reader, 1, LICENSEE.address) is expected
    reader.close()


def test_an_embedded_ledger_needs_no_transaction_to_know_its_accounts(world: SealedWorld) -> None:
    with world.reader() as reader:
        assert sender_public_key(world.home, reader, world.licensee.address) is None
