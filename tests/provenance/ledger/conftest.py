"""Homes with a ledger, and a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.anvil import Anvil, find_anvil, running_anvil
from provenance.home import Home
from provenance.ledger.accounts import KeystoreAccount, account_from_key, create_account
from provenance.ledger.embedded import EmbeddedLedger, open_embedded_ledger
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.licences import Shares, Terms
from provenance.ledger.rpc import RpcLedger, deploy_contract, open_rpc_ledger

CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home")


@pytest.fixture
def ledger(home: Home) -> Iterator[EmbeddedLedger]:
    opened = open_embedded_ledger(home)
    yield opened
    opened.close()


@pytest.fixture
def maker(home: Home) -> KeystoreAccount:
    return create_account(home, "maker")


@pytest.fixture
def filled(ledger: EmbeddedLedger, maker: KeystoreAccount) -> EmbeddedLedger:
    """A ledger with an adapter and one made from it, offers, issuers, a licence that was used and revoked, and a stream
    of two batches."""
    other = account_from_key("other", b"\x11" * 32)
    shares = Shares(derivable=True, derivative=1000, royalty=250)
    adapter = {"dataset": "da" * 32, "base": "ba" * 32, "terms": "00" * 32, "cid": CID}
    ledger.mint(maker, weights="01" * 32, shares=shares, **adapter)
    ledger.mint(maker, weights="02" * 32, parents=(1,), **adapter)
    ledger.register_issuer(maker, "0a" * 32)
    for root in ("0b" * 32, "0c" * 32):
        ledger.register_issuer(other, root)
    ledger.revoke_issuer(other, "0c" * 32, reason="the key was stolen")
    for token in (1, 2):
        ledger.make_offer(maker, token, Terms(price=1000, duration=1000, quota=100, commercial=True))
    ledger.buy(other, 1)
    ledger.buy(other, 2)
    ledger.open_stream(other, 1)
    ledger.open_stream(maker, 0)
    for first in (0, 10):
        ledger.anchor(other, stream=1, first=first, count=10, root="ab" * 32, cid=CID)
    ledger.anchor(maker, stream=2, first=0, count=5, root="cd" * 32, cid=CID)
    ledger.consume(other, 1, 3)
    ledger.revoke(maker, 1, other.address, reason="terms broken")
    ledger.revoke_consent(maker, 1, record="0c" * 32, reason="consent withdrawn")
    return ledger


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    with running_anvil() as node:
        yield node


@pytest.fixture
def node_home(home: Home, maker: KeystoreAccount, anvil: Anvil) -> Home:
    """A home that uses a contract on the node."""
    JsonRpc(anvil.url).call("anvil_setBalance", maker.address, hex(10**21))
    used = home.with_chain(deploy_contract(home, anvil.url, maker))
    used.save()
    return used


@pytest.fixture
def node_ledger(node_home: Home) -> Iterator[RpcLedger]:
    opened = open_rpc_ledger(node_home)
    yield opened
    opened.close()
