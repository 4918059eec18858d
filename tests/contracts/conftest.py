"""The contract on both chains: every test that takes ``world`` runs on the embedded chain and on anvil."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.anvil import Anvil, find_anvil, running_anvil
from provenance.home import Home
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.embedded import open_embedded_ledger
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.protocol import Batch, Stream, Token
from provenance.ledger.rpc import RpcChain, deploy_contract
from provenance.ledger.rpc_reader import open_rpc_source
from provenance.ledger.writer import ContractLedger

START = 1_800_000_000
CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@dataclass
class World:
    """One ledger, three accounts and a clock that can be put forward."""

    name: str
    ledger: ContractLedger
    advance: Callable[[int], None]
    maker: KeystoreAccount
    licensee: KeystoreAccount
    stranger: KeystoreAccount
    rpc: JsonRpc | None = None
    cid: str = CID

    def mint(self, account: KeystoreAccount | None = None, **changes: str) -> Token:
        """Mints an adapter whose weights no other test used."""
        values = {
            "weights": secrets.token_hex(32),
            "dataset": "da" * 32,
            "base": "ba" * 32,
            "terms": "00" * 32,
            "cid": CID,
        }
        return self.ledger.mint(account or self.maker, **{**values, **changes})

    def anchor(self, account: KeystoreAccount, stream: Stream, first: int = 0, count: int = 1) -> Batch:
        """Anchors a batch with some root."""
        return self.ledger.anchor(account, stream=stream.stream, first=first, count=count, root="ab" * 32, cid=CID)


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    if find_anvil() is None:
        pytest.skip("anvil is missing: run `npm install --no-save` in contracts/")
    with running_anvil() as node:
        yield node


def account(name: str) -> KeystoreAccount:
    return account_from_key(name, secrets.token_bytes(32))


def embedded_world(folder: Path) -> World:
    now = [START]

    def advance(seconds: int) -> None:
        now[0] += seconds

    ledger = open_embedded_ledger(Home.create(folder / "home"), clock=lambda: now[0])
    return World("embedded", ledger, advance, account("maker"), account("licensee"), account("stranger"))


def anvil_world(folder: Path, node: Anvil) -> World:
    rpc = JsonRpc(node.url)
    maker, licensee, stranger = account("maker"), account("licensee"), account("stranger")
    for each in (maker, licensee, stranger):
        rpc.call("anvil_setBalance", each.address, hex(1000 * 10**18))
    home = Home.create(folder / "home")
    home = home.with_chain(deploy_contract(home, node.url, maker))
    chain = RpcChain(node.url, open_rpc_source(home), folder / "nonces")

    def advance(seconds: int) -> None:
        rpc.call("evm_increaseTime", hex(seconds))
        rpc.call("evm_mine")

    # The node's time only: it is put forward and the machine's is not.
    return World("anvil", ContractLedger(chain, clock=lambda: 0), advance, maker, licensee, stranger, rpc)


@pytest.fixture(params=["embedded", pytest.param("anvil", marks=pytest.mark.anvil)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "embedded":
        made = embedded_world(tmp_path)
    else:
        made = anvil_world(tmp_path, request.getfixturevalue("anvil"))
    yield made
    made.ledger.close()


@pytest.fixture
def both_worlds(tmp_path: Path, anvil: Anvil) -> Iterator[tuple[World, World]]:
    pair = embedded_world(tmp_path / "embedded"), anvil_world(tmp_path / "anvil", anvil)
    yield pair
    for each in pair:
        each.ledger.close()
