"""Sends transactions to any JSON-RPC node with web3: type-2 fees, nonces under a lock, the pinned chain id in each."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provenance.errors import LedgerRefused, LedgerUnavailable
from provenance.home import ChainSettings, Home
from provenance.ledger.jsonrpc import TIMEOUT_SECONDS, JsonRpc, is_loopback, origin
from provenance.ledger.protocol import Account, LedgerIdentity, Log
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.rpc_reader import RpcSource, open_rpc_source, pin_chain, read_identity
from provenance.ledger.writer import ContractLedger, Receipt

RECEIPT_SECONDS = 180.0
DEPLOY_GAS = 6_000_000
SENT_ALREADY = ("already known", "already imported", "alreadyknown", "known transaction")


class RpcChain:
    """The transactor of a node that anyone runs."""

    def __init__(self, url: str, source: RpcSource, locks: Path) -> None:
        self._url = url
        self._source = source
        self._locks = locks
        self._web3 = _connect(url)

    @property
    def source(self) -> RpcSource:
        """The node's logs of the contract."""
        return self._source

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract, as pinned."""
        return self._source.identity

    def send(self, account: Account, data: bytes, value: int) -> Receipt:
        """Signs and sends a call and waits for its receipt; raises Reverted, LedgerRefused or LedgerUnavailable."""
        return self.transact(account, self.identity.contract, data, value)

    def transact(self, account: Account, to: str, data: bytes, value: int) -> Receipt:
        """As ``send``, to any address; an empty one deploys ``data``."""
        from web3 import Web3

        call: dict[str, Any] = {"from": Web3.to_checksum_address(account.address), "data": data, "value": value}
        if to:
            call["to"] = Web3.to_checksum_address(to)
        with self._answers(account):
            # The estimate is the rehearsal: what the contract refuses is never signed.
            gas = self._web3.eth.estimate_gas(call) * 5 // 4
            with self._nonce_lock(account):
                raw = account.sign_transaction(
                    {
                        "type": 2,
                        "chainId": self.identity.chain_id,
                        "nonce": self._web3.eth.get_transaction_count(call["from"], "pending"),
                        "gas": gas,
                        **self._fees(),
                        "to": bytes.fromhex(to.removeprefix("0x")),
                        "value": value,
                        "data": data,
                    }
                )
                sent = self._broadcast(raw)
            receipt = self._web3.eth.wait_for_transaction_receipt(sent, timeout=RECEIPT_SECONDS, poll_latency=0.05)
            if receipt["status"] != 1:
                # Something changed between rehearsal and block; run it again there to learn why.
                self._web3.eth.call(call, receipt["blockNumber"])
                raise LedgerRefused(f"the transaction {sent.hex()} failed", found="a receipt with status 0")
            timestamp = int(self._web3.eth.get_block(receipt["blockNumber"])["timestamp"])
        return _receipt(receipt, to or str(receipt["contractAddress"]), timestamp)

    def call(self, data: bytes) -> bytes:
        """Runs a view; raises Reverted."""
        from web3 import Web3

        with self._answers(None):
            return bytes(self._web3.eth.call({"to": Web3.to_checksum_address(self.identity.contract), "data": data}))

    def balance(self, account: str) -> int:
        """An account's money."""
        from web3 import Web3

        with self._answers(None):
            return int(self._web3.eth.get_balance(Web3.to_checksum_address(account)))

    def close(self) -> None:
        """Holds nothing open beyond a pooled connection."""
        self._source.close()

    def _fees(self) -> dict[str, int]:
        priority = int(self._web3.eth.max_priority_fee)
        base = int(self._web3.eth.get_block("latest")["baseFeePerGas"])
        return {"maxPriorityFeePerGas": priority, "maxFeePerGas": priority + 2 * base}

    def _broadcast(self, raw: bytes) -> Any:
        """Sends once more than needed at worst: a node that already has the transaction has it."""
        from web3.exceptions import Web3RPCError

        try:
            return self._web3.eth.send_raw_transaction(raw)
        except Web3RPCError as error:
            if any(text in str(error).lower() for text in SENT_ALREADY):
                return self._web3.keccak(raw)
            raise

    @contextmanager
    def _nonce_lock(self, account: Account) -> Iterator[None]:
        self._locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{self.identity.chain_id}-{account.address}.lock"
        descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _answers(self, account: Account | None) -> Iterator[None]:
        """Turns web3's many errors into ours."""
        from requests.exceptions import RequestException
        from web3.exceptions import ContractLogicError, TimeExhausted, Web3Exception, Web3RPCError

        try:
            yield
        except ContractLogicError as error:
            raise Reverted(_revert_data(error.data)) from error
        except TimeExhausted as error:
            raise LedgerUnavailable(
                f"a transaction is not in a block yet after {RECEIPT_SECONDS:g} s",
                found=str(error),
                fix="it may still be taken up: look at the ledger before trying again",
            ) from error
        except Web3RPCError as error:
            if account is not None and "insufficient funds" in str(error).lower():
                raise LedgerRefused(
                    f"the account {account.name} has too little money for the transaction and its fee",
                    found=f"{self.balance(account.address)} wei",
                    fix=f"send money to {account.address}",
                ) from error
            raise LedgerUnavailable(f"the node {origin(self._url)} refuses", found=str(error)[:500]) from error
        except (Web3Exception, RequestException) as error:
            raise LedgerUnavailable(
                f"the node {origin(self._url)} gives no proper answer",
                found=type(error).__name__,
                fix="check that it runs, then try again",
            ) from error


class RpcLedger(ContractLedger):
    """A Ledger on any node."""


def open_rpc_ledger(home: Home) -> RpcLedger:
    """Connects to the node of a home for transactions; raises LedgerUnavailable if it is not the ledger pinned."""
    source = open_rpc_source(home)
    return RpcLedger(RpcChain(str(home.chain.url), source, home.path / "chain" / "nonces"))


def deploy_contract(home: Home, url: str, account: Account, *, allow_remote: bool = False) -> ChainSettings:
    """Deploys our contract through a node and returns what to pin; the account pays."""
    from contracts.artifact import load_artifact

    rpc = JsonRpc(url, allow_remote=allow_remote)
    nowhere = "0x" + "00" * 20
    chain = RpcChain(url, RpcSource(rpc, read_identity(rpc, nowhere)), home.path / "chain" / "nonces")
    try:
        receipt = chain.transact(account, "", bytes.fromhex(load_artifact().bytecode), 0)
    except Reverted as error:
        raise refusal(error.data) from error
    return pin_chain(url, receipt.contract, allow_remote=allow_remote, first_block=receipt.block)


def _connect(url: str) -> Any:
    import requests
    from web3 import HTTPProvider, Web3

    session = requests.Session()
    session.max_redirects = 0
    session.trust_env = not is_loopback(url)
    return Web3(HTTPProvider(url, request_kwargs={"timeout": TIMEOUT_SECONDS}, session=session))


def _receipt(receipt: Any, contract: str, timestamp: int) -> Receipt:
    logs = tuple(
        Log(
            block=int(each["blockNumber"]),
            timestamp=timestamp,
            transaction=bytes(each["transactionHash"]).hex(),
            index=int(each["logIndex"]),
            topics=tuple(bytes(topic).hex() for topic in each["topics"]),
            data=bytes(each["data"]).hex(),
        )
        for each in receipt["logs"]
        if str(each["address"]).lower() == contract.lower()
    )
    transaction = bytes(receipt["transactionHash"]).hex()
    return Receipt(transaction, int(receipt["blockNumber"]), int(receipt["gasUsed"]), logs, contract.lower())


def _revert_data(data: Any) -> bytes:
    text = data.get("data", "") if isinstance(data, dict) else data
    try:
        return bytes.fromhex(str(text or "").removeprefix("0x"))
    except ValueError:
        return b""
