"""Sends transactions to any JSON-RPC node with web3: type-2 fees, nonces under a lock, the pinned chain id in each.

web3 asks through our own connection, so that every answer is bounded in size, depth and time and every error object is
read in one place. What it costs, which nonce it has and what became of it are checked, not taken from the node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance.errors import LedgerRefused
from provenance.home import MAX_FEE, ChainSettings, Home
from provenance.ledger import node_errors
from provenance.ledger.hexadecimal import checksum
from provenance.ledger.jsonrpc import JsonRpc, RpcError
from provenance.ledger.keccak import keccak
from provenance.ledger.node import LATEST, Node
from provenance.ledger.node_reader import NodeReader
from provenance.ledger.nonces import Nonces, Sent, nonce_lock
from provenance.ledger.pinning import pin_chain
from provenance.ledger.protocol import Account, LedgerIdentity
from provenance.ledger.receipts import NodeReceipt
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.rpc_reader import RpcSource, open_rpc_source, read_identity
from provenance.ledger.settlement import Progress, Settled, Settlement
from provenance.ledger.transactions import check_transaction
from provenance.ledger.web3_node import Web3Node
from provenance.ledger.writer import ContractLedger, Receipt

MAX_GAS = 2**24
"""The most gas one transaction may use (EIP-7825); a node that estimates more is not believed."""

MAX_WAITING = 16
"""Transactions of an account that may wait for a block; each of ours waits for the one before it."""


class RpcChain:
    """The transactor of a node that anyone runs."""

    def __init__(
        self,
        source: RpcSource,
        locks: Path,
        *,
        progress: Progress | None = None,
        receipt_seconds: float | None = None,
        final_seconds: float | None = None,
    ) -> None:
        self._source = source
        self._node = source.node
        self._locks = locks
        self._progress = progress or _quiet
        self._receipt_seconds = receipt_seconds
        self._final_seconds = final_seconds
        self._web3 = Web3Node(source.node)

    @property
    def source(self) -> RpcSource:
        """The node's logs of the contract."""
        return self._source

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract, as pinned."""
        return self._source.identity

    def send(self, account: Account, data: bytes, value: int, to: str | None = None) -> Receipt:
        """Signs and sends a call and waits until its block is final; raises Reverted, LedgerRefused or
        LedgerUnavailable."""
        return self.transact(account, to or self.identity.contract, data, value)

    def transact(self, account: Account, to: str, data: bytes, value: int) -> Receipt:
        """As ``send``, to any address; an empty one deploys ``data``."""
        call: dict[str, Any] = {"from": checksum(account.address), "data": data, "value": value}
        if to:
            call["to"] = checksum(to)
        # The estimate is the rehearsal: what the contract refuses is never signed.
        gas = self._gas(account, call)
        with nonce_lock(self._locks, self.identity, account.address) as nonces:
            nonce = self._nonce(account, nonces)
            transaction = {
                "type": 2,
                "chainId": self.identity.chain_id,
                "nonce": nonce,
                "gas": gas,
                **self._fees(account),
                "to": bytes.fromhex(to.removeprefix("0x")),
                "value": value,
                "data": data,
            }
            raw = account.sign_transaction(transaction)
            sent = Sent(nonce, keccak(raw).hex())
            nonces.remember(sent)
            self._broadcast(account, raw, sent)
        settled = self._settle(sent)
        with nonce_lock(self._locks, self.identity, account.address) as nonces:
            if (last := nonces.last()) is not None and last.nonce <= sent.nonce:
                nonces.remember(replace(sent, is_final=True))
        if settled.receipt.status != 1:
            # Something changed between rehearsal and block; run it again there to learn why.
            with self._web3.answers(account):
                self._web3.eth.call(call, settled.receipt.block)
            raise LedgerRefused(f"the transaction {sent.transaction} failed", found="a receipt with status 0")
        contract = to or settled.receipt.contract
        if not contract:
            raise self._node.rpc.unavailable("a deployment without an address")
        return _receipt(settled, contract.lower())

    def call(self, data: bytes, to: str | None = None) -> bytes:
        """Runs a view at the last block; raises Reverted."""
        with self._web3.answers(None):
            return bytes(self._web3.eth.call({"to": checksum(to or self.identity.contract), "data": data}))

    def balance(self, account: str) -> int:
        """An account's money."""
        return self._web3.balance(account)

    def close(self) -> None:
        """Closes the connection."""
        self._source.close()

    def _gas(self, account: Account, call: dict[str, Any]) -> int:
        with self._web3.answers(account):
            # As the next block would run it: a mint must come in a later block than its commitment.
            estimate = int(self._web3.eth.estimate_gas(call, "pending"))
        if not 21_000 <= estimate <= MAX_GAS:
            raise self._node.contradiction(
                "estimates gas that no transaction may use", expected=f"21000 to {MAX_GAS}", found=str(estimate)
            )
        return min(estimate * 5 // 4, MAX_GAS)

    def _fees(self, account: Account) -> dict[str, int]:
        with self._web3.answers(None):
            priority = int(self._web3.eth.max_priority_fee)
        most = priority + 2 * self._node.header(LATEST).base_fee
        if priority < 0 or most > self._source.settings.max_fee:
            raise LedgerRefused(
                f"the node {self._node.name} asks too high a fee of the account {account.name}",
                expected=f"at most {self._source.settings.max_fee} wei for one gas",
                found=f"{most} wei",
                fix="wait, or allow more with `prov chain use … --max-fee`",
            )
        return {"maxPriorityFeePerGas": priority, "maxFeePerGas": most}

    def _nonce(self, account: Account, nonces: Nonces) -> int:
        address = checksum(account.address)
        with self._web3.answers(None):
            waiting = int(self._web3.eth.get_transaction_count(address, "pending"))
            done = int(self._web3.eth.get_transaction_count(address, LATEST))
        if not done <= waiting <= done + MAX_WAITING:
            raise self._node.contradiction(
                f"says that {waiting - done} transactions of {account.name} wait for a block",
                expected=f"at most {MAX_WAITING}",
                found=f"{waiting} sent, {done} in blocks",
            )
        last = nonces.last()
        if last is None or waiting > last.nonce:
            return waiting
        if last.is_final:
            raise self._node.contradiction(
                f"counts fewer transactions of {account.name} than this home has sent",
                expected=f"more than {last.nonce}: the last was {last.transaction}",
                found=str(waiting),
            )
        # Behind one address there may be several nodes, and one that has not heard of our last transaction yet. If
        # none has, it was never sent or was dropped, and its nonce is free.
        return last.nonce + 1 if self._knows(last) else waiting

    def _knows(self, sent: Sent) -> bool:
        return self._node.ask("eth_getTransactionByHash", f"0x{sent.transaction}") is not None

    def _broadcast(self, account: Account, raw: bytes, sent: Sent) -> None:
        """Sends once more than needed at worst: a node that already has the transaction has it."""
        try:
            answer = self._node.rpc.call("eth_sendRawTransaction", f"0x{raw.hex()}")
        except RpcError as error:
            if node_errors.is_already_sent(error.error):
                return
            if node_errors.is_nonce_used(error.error) and self._knows(sent):
                return
            raise self._web3.error(account, error) from error
        if str(answer).lower().removeprefix("0x") != sent.transaction:
            raise self._node.contradiction(
                "acknowledges another transaction than was sent", expected=sent.transaction, found=str(answer)[:80]
            )

    def _settle(self, sent: Sent) -> Settled:
        settlement = Settlement(
            self._node,
            sent.transaction,
            confirmations=self._source.settings.confirmations,
            progress=self._progress,
            receipt_seconds=self._receipt_seconds,
            final_seconds=self._final_seconds,
        )
        settled = settlement.wait()
        if self._source.settings.receipts:
            settled = Settled(self._bound(settled), settled.header)
            check_transaction(self._node, settled.header, settled.receipt.index, bytes.fromhex(sent.transaction))
        self._source.final_header()
        self._source.agree([settled.header])
        self._source.remember_final()
        return settled

    def _bound(self, settled: Settled) -> NodeReceipt:
        """The receipt as its block's header binds it, which the node's answer must equal."""
        told = settled.receipt
        receipts = self._source.receipts([settled.header])[0]
        bound = receipts[told.index] if told.index < len(receipts) else None
        if bound is None or (bound.status, _contents(bound)) != (told.status, _contents(told)):
            raise self._node.contradiction(
                f"tells of another outcome of {told.transaction} than its block holds",
                expected="no such receipt" if bound is None else f"status {bound.status}, {len(bound.logs)} logs",
                found=f"status {told.status}, {len(told.logs)} logs",
            )
        return bound


class RpcLedger(NodeReader, ContractLedger):
    """A Ledger on any node; it reads up to the last block, final or not, and checks logs against storage there."""

    def __init__(self, chain: RpcChain, clock: Callable[[], float] = time.time) -> None:
        ContractLedger.__init__(self, chain, clock)
        self._node_source = chain.source


def open_rpc_chain(home: Home, progress: Progress | None = None) -> RpcChain:
    """Connects to the node of a home for transactions; raises LedgerUnavailable if it is not the ledger pinned."""
    return RpcChain(open_rpc_source(home), nonce_folder(home), progress=progress)


def open_rpc_ledger(home: Home, progress: Progress | None = None) -> RpcLedger:
    """A home's ledger on its node; ``progress`` is told what a transaction waits for."""
    return RpcLedger(open_rpc_chain(home, progress))


def nonce_folder(home: Home) -> Path:
    """Where a home keeps the locks of its accounts' nonces."""
    return home.path / "chain" / "nonces"


def deploy_contract(
    home: Home,
    url: str,
    account: Account,
    *,
    allow_remote: bool = False,
    confirmations: int | None = None,
    max_fee: int = MAX_FEE,
    progress: Progress | None = None,
) -> ChainSettings:
    """Deploys our contract through a node and returns what to pin; the account pays."""
    from contracts.artifact import load_artifact
    from provenance.ledger.pinning import probe

    probed = replace(probe(url, allow_remote=allow_remote, confirmations=confirmations), max_fee=max_fee)
    node = Node(JsonRpc(url, allow_remote=allow_remote), is_bound=probed.proofs)
    identity = read_identity(node, "0x" + "00" * 20)
    chain = RpcChain(RpcSource(node, identity, probed), nonce_folder(home), progress=progress)
    try:
        receipt = chain.transact(account, "", bytes.fromhex(load_artifact().bytecode), 0)
    except Reverted as error:
        raise refusal(error.data) from error
    finally:
        chain.close()
    return pin_chain(
        url,
        receipt.contract,
        allow_remote=allow_remote,
        first_block=receipt.block,
        confirmations=confirmations,
        max_fee=max_fee,
    )


def _contents(receipt: NodeReceipt) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.address, each.log.topics, each.log.data) for each in receipt.logs]


def _receipt(settled: Settled, contract: str) -> Receipt:
    receipt = settled.receipt
    logs = tuple(
        replace(each.log, timestamp=settled.header.timestamp) for each in receipt.logs if each.address == contract
    )
    return Receipt(receipt.transaction, receipt.block, receipt.gas_used, logs, contract)


def _quiet(_sentence: str) -> None:
    """Without anybody to tell."""
