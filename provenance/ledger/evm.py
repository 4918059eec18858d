"""py-evm over one SQLite connection: the only module that imports it, when a transaction or a call needs it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eth.abc import AtomicWriteBatchAPI, BlockHeaderAPI
from eth.chains.base import MiningChain
from eth.constants import POST_MERGE_DIFFICULTY, POST_MERGE_MIX_HASH, POST_MERGE_NONCE
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB
from eth.exceptions import Revert, VMError
from eth.vm.forks import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_utils.exceptions import ValidationError

from provenance.errors import LedgerRefused
from provenance.ledger.refusals import Reverted

BLOCK_GAS = 30_000_000
NOBODY = b"\xff" * 20


class StateDB(BaseAtomicDB):  # type: ignore[misc]
    """py-evm's key-value database in the ``state`` table; the caller owns the SQLite transaction around it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, key: bytes) -> bytes:
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if self._connection.execute("DELETE FROM state WHERE key = ?", (key,)).rowcount == 0:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM state WHERE key = ?", (key,)).fetchone() is not None

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Collects writes and applies them together."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:
            yield batch


class OwnChain(MiningChain):  # type: ignore[misc]
    """One party's chain: Prague rules, no consensus but the file lock, a constant gas limit."""

    vm_configuration = ((0, PragueVM),)

    def create_header_from_parent(self, parent_header: BlockHeaderAPI, **fields: Any) -> BlockHeaderAPI:
        """The next header, with the parent's gas limit."""
        return super().create_header_from_parent(parent_header, **{**fields, "gas_limit": parent_header.gas_limit})


@dataclass(frozen=True)
class RawLog:
    """A log as the EVM left it."""

    address: str
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True)
class Executed:
    """One transaction of a block."""

    transaction: str
    gas_used: int
    contract: str
    logs: tuple[RawLog, ...]


@dataclass(frozen=True)
class Mined:
    """A block of ours."""

    number: int
    timestamp: int
    hash: str
    transactions: tuple[Executed, ...]


class Evm:
    """The chain as it stands in an open SQLite transaction."""

    def __init__(self, connection: sqlite3.Connection, chain_id: int) -> None:
        self._chain = _chain_class(chain_id)(StateDB(connection))
        self._executed: list[Executed] = []

    @classmethod
    def create(cls, connection: sqlite3.Connection, chain_id: int, timestamp: int, rich: str) -> tuple[Evm, str]:
        """Writes the genesis block, in which one address has all the money; returns the chain and the block's hash."""
        parameters = {
            "coinbase": bytes(20),
            "difficulty": POST_MERGE_DIFFICULTY,
            "extra_data": b"prov",
            "gas_limit": BLOCK_GAS,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "timestamp": timestamp,
        }
        money = {"balance": 10**9 * 10**18, "nonce": 0, "code": b"", "storage": {}}
        _chain_class(chain_id).from_genesis(StateDB(connection), parameters, {_raw(rich): money})
        evm = cls(connection, chain_id)
        return evm, evm._chain.get_canonical_block_header_by_number(0).hash.hex()

    def begin_block(self, now: int) -> None:
        """Starts the next block at the given time, or one second after its parent if that is later."""
        parent = self._chain.get_canonical_head()
        self._chain.set_header_timestamp(max(now, parent.timestamp + 1))
        self._executed = []

    def fee(self) -> int:
        """The base fee of the next block, in wei for one gas."""
        return int(self._chain.header.base_fee_per_gas)

    def nonce(self, address: str) -> int:
        """How many transactions an account has sent."""
        return int(self._state().get_nonce(_raw(address)))

    def balance(self, address: str) -> int:
        """An account's money."""
        return int(self._state().get_balance(_raw(address)))

    def code(self, address: str) -> bytes:
        """A contract's code."""
        return bytes(self._state().get_code(_raw(address)))

    def storage(self, address: str, slot: int) -> int:
        """One slot of a contract's storage."""
        return int(self._state().get_storage(_raw(address), slot))

    def execute(self, raw: bytes) -> Executed:
        """Runs a signed transaction in the current block; raises Reverted or LedgerRefused, and then the SQLite
        transaction must be rolled back."""
        try:
            transaction = self._chain.get_vm().get_transaction_builder().decode(raw)
            # py-evm leaves this to whoever feeds it: signed for another chain is not signed for this one.
            if transaction.chain_id != self._chain.chain_id:
                raise LedgerRefused(
                    "the embedded chain refuses the transaction",
                    expected=f"signed for chain {self._chain.chain_id}",
                    found=f"chain {transaction.chain_id}",
                )
            _, receipt, computation = self._chain.apply_transaction(transaction)
        except ValidationError as error:
            raise LedgerRefused("the embedded chain refuses the transaction", found=str(error)) from error
        if computation.is_error:
            raise _failure(computation)
        earlier = sum(each.gas_used for each in self._executed)
        done = Executed(
            transaction=transaction.hash.hex(),
            gas_used=int(receipt.gas_used) - earlier,
            contract="0x" + bytes(computation.msg.storage_address).hex(),
            logs=tuple(
                RawLog(
                    "0x" + bytes(each.address).hex(),
                    tuple(topic.to_bytes(32, "big").hex() for topic in each.topics),
                    bytes(each.data).hex(),
                )
                for each in receipt.logs
            ),
        )
        self._executed.append(done)
        return done

    def finish_block(self) -> Mined:
        """Seals the current block."""
        header = self._chain.mine_block().header
        return Mined(int(header.block_number), int(header.timestamp), header.hash.hex(), tuple(self._executed))

    def call(self, contract: str, data: bytes, now: int) -> bytes:
        """Runs a view as the next block would; raises Reverted."""
        self.begin_block(now)
        builder = self._chain.get_vm().get_transaction_builder()
        unsigned = builder.create_unsigned_transaction(
            nonce=0, gas_price=self.fee(), gas=BLOCK_GAS // 2, to=_raw(contract), value=0, data=data
        )
        state = self._state()
        # Nobody's account, given the fee for a state that is thrown away.
        state.set_balance(NOBODY, BLOCK_GAS * self.fee())
        computation = state.apply_transaction(SpoofTransaction(unsigned, from_=NOBODY))
        if computation.is_error:
            raise _failure(computation)
        return bytes(computation.output)

    def _state(self) -> Any:
        return self._chain.get_vm(self._chain.header).state


def _chain_class(chain_id: int) -> Any:
    return type("OwnChainWithId", (OwnChain,), {"chain_id": chain_id})


def _failure(computation: Any) -> Exception:
    error: VMError = computation.error
    # A revert without data is one too; other failures, such as no gas, have no output.
    if computation.output or isinstance(error, Revert):
        return Reverted(bytes(computation.output))
    return LedgerRefused("the contract failed", found=f"{type(error).__name__}: {error}")


def _raw(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))
