"""One ledger of a test on one chain, its accounts and its clock: the same on the embedded chain and on anvil."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.anvil import Anvil
from provenance.home import Home
from provenance.ledger.abi import encode_call
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.chain_file import chain_folder
from provenance.ledger.embedded import DEPLOY_GAS, EmbeddedChain, EmbeddedLedger, _sign, open_embedded_ledger
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.licences import Minting, Shares, Terms, Usage, Voucher
from provenance.ledger.protocol import Batch, Stream, Token
from provenance.ledger.rpc import RpcChain, deploy_contract
from provenance.ledger.rpc_reader import open_rpc_source
from provenance.ledger.typed_data import mint_typed_data, usage_typed_data, voucher_typed_data
from provenance.ledger.writer import ContractLedger, Receipt

START = 1_800_000_000
DAY = 24 * 3600
RICH = 10**24
CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
NOBODY = "0x" + "00" * 20


@dataclass
class World:
    """A ledger, its operator, three accounts, and what a test needs beyond the verbs of ``Ledger``.

    ``deploy`` puts code on the chain, ``view`` runs a view of any contract, ``advance`` puts the time forward.
    """

    name: str
    ledger: ContractLedger
    operator: KeystoreAccount
    advance: Callable[[int], None]
    deploy: Callable[[KeystoreAccount, bytes], str]
    view: Callable[[str, bytes], bytes]
    fund: Callable[[str], None]
    maker: KeystoreAccount
    licensee: KeystoreAccount
    stranger: KeystoreAccount
    cid: str = CID

    @property
    def gas(self) -> int:
        """Gas of the last transaction that the ledger sent."""
        assert self.ledger.last_receipt
        return self.ledger.last_receipt.gas_used

    def account(self, name: str) -> KeystoreAccount:
        """Another account, the same one for the same name and maker, with money."""
        made = account_from_key(name, hashlib.sha256(self.maker.private_key + name.encode()).digest())
        self.fund(made.address)
        return made

    def mint(
        self,
        account: KeystoreAccount | None = None,
        *,
        shares: Shares = Shares(),
        parents: tuple[int, ...] = (),
        **changes: str,
    ) -> Token:
        """Mints an adapter whose weights no other test used."""
        values = {
            "weights": secrets.token_hex(32),
            "dataset": "da" * 32,
            "base": "ba" * 32,
            "terms": "7e" * 32,
            "cid": CID,
        }
        return self.ledger.mint(account or self.maker, shares=shares, parents=parents, **{**values, **changes})

    def offered(self, terms: Terms, *, shares: Shares = Shares(), parents: tuple[int, ...] = ()) -> int:
        """A new adapter of the maker's with one offer; its token."""
        token = self.mint(shares=shares, parents=parents).token
        self.ledger.make_offer(self.maker, token, terms)
        return token

    def anchor(self, account: KeystoreAccount, stream: Stream | int, first: int = 0, count: int = 1) -> Batch:
        """Anchors a batch with some root."""
        number = stream if isinstance(stream, int) else stream.stream
        return self.ledger.anchor(account, stream=number, first=first, count=count, root="ab" * 32, cid=CID)

    def sign_minting(self, account: KeystoreAccount, minting: Minting) -> bytes:
        """A maker's signature over what another may mint for it."""
        return account.sign_typed_data(mint_typed_data(self.ledger.identity, minting))

    def sign_voucher(self, account: KeystoreAccount, voucher: Voucher) -> bytes:
        """An owner's promise of a licence."""
        return account.sign_typed_data(voucher_typed_data(self.ledger.identity, voucher))

    def sign_usage(self, account: KeystoreAccount, usage: Usage) -> bytes:
        """A licensee's report."""
        return account.sign_typed_data(usage_typed_data(self.ledger.identity, usage))

    def send(self, account: KeystoreAccount, function: str, *values: Any, value: int = 0) -> Receipt:
        """Calls a function of the contract as it is, without what the client does around it."""
        return self.transact(account, self.ledger.identity.contract, encode_call(function, values), value)

    def transact(self, account: KeystoreAccount, to: str, data: bytes, value: int = 0) -> Receipt:
        """Sends a transaction to any contract."""
        return self.ledger._transactor.send(account, data, value, to)


def fresh_account(name: str) -> KeystoreAccount:
    """An account nobody used."""
    return account_from_key(name, secrets.token_bytes(32))


def known_account(name: str) -> KeystoreAccount:
    """The same account in every run, with no zero byte in its address, which would be cheaper to send."""
    for attempt in range(1000):
        made = account_from_key(name, hashlib.sha256(f"{name} {attempt}".encode()).digest())
        if 0 not in bytes.fromhex(made.address[2:]):
            return made
    raise AssertionError("an address in thirteen has a zero byte")


def embedded_world(folder: Path, make: Callable[[str], KeystoreAccount] = fresh_account) -> World:
    """A ledger on an embedded chain whose clock stands until it is put forward."""
    now = [START]
    home = Home.create(folder / "home")
    ledger = open_embedded_ledger(home, clock=lambda: now[0])
    chain = ledger._chain

    def advance(seconds: int) -> None:
        now[0] = max(now[0], ledger.head().timestamp) + seconds

    return World(
        name="embedded",
        ledger=ledger,
        operator=account_from_key("operator", (chain_folder(home) / "faucet.key").read_bytes()),
        advance=advance,
        deploy=lambda account, code: _deploy_embedded(ledger, chain, now, account, code),
        view=lambda to, data: _view_embedded(chain, now, to, data),
        fund=lambda _address: None,
        maker=make("maker"),
        licensee=make("licensee"),
        stranger=make("stranger"),
    )


def anvil_world(folder: Path, node: Anvil) -> World:
    """A ledger on a node that other tests use too."""
    rpc = JsonRpc(node.url)

    def advance(seconds: int) -> None:
        rpc.call("evm_increaseTime", hex(seconds))
        rpc.call("evm_mine")

    return _node_world(folder, rpc, fresh_account("operator"), advance, [fresh_account(each) for each in PEOPLE])


def twin_of(embedded: World, folder: Path, node: Anvil) -> World:
    """The same ledger on a node: same chain id, contract address, accounts, and seconds between blocks."""
    rpc = JsonRpc(node.url)
    rpc.call("anvil_setBlockTimestampInterval", 1)

    def advance(seconds: int) -> None:
        latest = rpc.call("eth_getBlockByNumber", "latest", False)
        rpc.call("evm_setNextBlockTimestamp", int(latest["timestamp"], 16) + seconds)

    people = [embedded.maker, embedded.licensee, embedded.stranger]
    return _node_world(folder, rpc, embedded.operator, advance, people)


PEOPLE = ("maker", "licensee", "stranger")


def _node_world(
    folder: Path, rpc: JsonRpc, operator: KeystoreAccount, advance: Callable[[int], None], people: list[KeystoreAccount]
) -> World:
    def fund(address: str) -> None:
        rpc.call("anvil_setBalance", address, hex(RICH))

    for each in (operator, *people):
        fund(each.address)
    home = Home.create(folder / "home")
    home = home.with_chain(deploy_contract(home, rpc.url, operator, confirmations=0))
    chain = RpcChain(open_rpc_source(home), folder / "nonces")

    def view(to: str, data: bytes) -> bytes:
        return bytes.fromhex(str(rpc.call("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))[2:])

    return World(
        name="anvil",
        # The node's time only: it is put forward and the machine's is not.
        ledger=ContractLedger(chain, clock=lambda: 0),
        operator=operator,
        advance=advance,
        deploy=lambda account, code: chain.transact(account, "", code, 0).contract,
        view=view,
        fund=fund,
        maker=people[0],
        licensee=people[1],
        stranger=people[2],
    )


def _deploy_embedded(
    ledger: EmbeddedLedger, chain: EmbeddedChain, now: list[int], account: KeystoreAccount, code: bytes
) -> str:
    with chain._transaction() as evm:
        evm.begin_block(now[0])
        if evm.balance(account.address) == 0:
            chain._pay(evm, account.address)
        done = evm.execute(_sign(evm, account, ledger.identity, "", code, 0, DEPLOY_GAS))
        chain._record(evm.finish_block(), ledger.identity.contract)
    return done.contract


def _view_embedded(chain: EmbeddedChain, now: list[int], to: str, data: bytes) -> bytes:
    from provenance.ledger.evm import Evm

    with chain._rolled_back():
        return Evm(chain._connection, chain.identity.chain_id).call(to, data, now[0])
