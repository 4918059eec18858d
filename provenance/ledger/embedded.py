"""The embedded chain: an EVM of one's own in one SQLite file, written under an exclusive lock, a block a transaction.

A transaction that the contract refuses is rolled back and leaves no block. The lock is held for one transaction only,
so several processes may take turns; killing one of them loses nothing it had acknowledged.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.artifact import load_artifact
from provenance.errors import LedgerRefused, LedgerUnavailable
from provenance.files import write_file
from provenance.home import Home
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.chain_file import (
    BUSY_SECONDS,
    SCHEMA,
    ChainFile,
    chain_errors,
    chain_folder,
    chain_path,
    is_initialised,
)
from provenance.ledger.protocol import Account, LedgerIdentity, Log
from provenance.ledger.writer import ContractLedger, Receipt

if TYPE_CHECKING:
    from provenance.ledger.evm import Evm, Mined

LOCK_SECONDS = 30.0
GAS_LIMIT = 5_000_000
DEPLOY_GAS = 10_000_000
POCKET_MONEY = 1000 * 10**18
"""What a new account is given, in wei of a money that is worth nothing."""


class EmbeddedChain:
    """The transactor of a home's own chain."""

    def __init__(self, folder: Path, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._path = path
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with chain_errors(path):
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                os.chmod(path, 0o600)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                if not is_initialised(self._connection):
                    self._create()
                self._source = ChainFile(self._connection, path)
            except BaseException:
                self._connection.close()
                raise

    @property
    def source(self) -> ChainFile:
        """The chain's logs."""
        return self._source

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract."""
        return self._source.identity

    def send(self, account: Account, data: bytes, value: int, to: str | None = None) -> Receipt:
        """Signs and executes a call in a block of its own; raises Reverted, LedgerRefused or LedgerUnavailable."""
        with self._transaction() as evm:
            evm.begin_block(int(self._clock()))
            if evm.nonce(account.address) == 0 and evm.balance(account.address) == 0:
                self._pay(evm, account.address)
            needed = value + 2 * evm.fee() * GAS_LIMIT
            if (money := evm.balance(account.address)) < needed:
                raise LedgerRefused(
                    f"the account {account.name} has too little money",
                    expected=f"{needed} wei, with fees",
                    found=f"{money} wei",
                    fix=f"run `prov account fund {account.name}`",
                )
            executed = evm.execute(_sign(evm, account, self.identity, to or self.identity.contract, data, value))
            mined = evm.finish_block()
            logs = self._record(mined, self.identity.contract)
        mine = tuple(each for each in logs if each.transaction == executed.transaction)
        return Receipt(executed.transaction, mined.number, executed.gas_used, mine, self.identity.contract)

    def call(self, data: bytes, to: str | None = None) -> bytes:
        """Runs a view; raises Reverted."""
        from provenance.ledger.evm import Evm

        contract = to or self.identity.contract
        with chain_errors(self._path), self._rolled_back():
            return Evm(self._connection, self.identity.chain_id).call(contract, data, int(self._clock()))

    def balance(self, account: str) -> int:
        """An account's money."""
        from provenance.ledger.evm import Evm

        with chain_errors(self._path), self._rolled_back():
            return Evm(self._connection, self.identity.chain_id).balance(account)

    def fund(self, address: str) -> int:
        """Gives an account more of the chain's worthless money; returns its balance."""
        with self._transaction() as evm:
            evm.begin_block(int(self._clock()))
            self._pay(evm, address)
            self._record(evm.finish_block(), self.identity.contract)
        return self.balance(address)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _pay(self, evm: Evm, address: str) -> None:
        faucet = self.faucet()
        evm.execute(_sign(evm, faucet, self.identity, address, b"", POCKET_MONEY))

    @contextmanager
    def _transaction(self) -> Iterator[Evm]:
        from provenance.ledger.evm import Evm

        with chain_errors(self._path), chain_lock(self._folder), _immediate(self._connection):
            yield Evm(self._connection, self.identity.chain_id)

    @contextmanager
    def _rolled_back(self) -> Iterator[None]:
        """A view works on one state of the chain and leaves none of what it computes."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def _create(self) -> None:
        from provenance.ledger.evm import Evm

        with chain_lock(self._folder), _immediate(self._connection):
            if is_initialised(self._connection):
                return
            for statement in SCHEMA.split(";"):
                self._connection.execute(statement)
            # Far from every registered chain, below 2^53 so that JSON tools keep it, and another one for every home.
            chain_id = 2**44 + secrets.randbelow(2**44)
            faucet = self.faucet()
            now = int(self._clock())
            evm, genesis = Evm.create(self._connection, chain_id, now, faucet.address)
            self._connection.execute("INSERT INTO blocks VALUES (0, ?, ?)", (now, genesis))
            artifact = load_artifact()
            identity = LedgerIdentity(chain_id, genesis, "0x" + "00" * 20, artifact.code_digest)
            evm.begin_block(now)
            deployed = evm.execute(_sign(evm, faucet, identity, "", bytes.fromhex(artifact.bytecode), 0, DEPLOY_GAS))
            self._record(evm.finish_block(), deployed.contract)
            meta = {
                "chain_id": str(chain_id),
                "genesis": genesis,
                "contract": deployed.contract,
                "code_digest": artifact.code_digest,
                "faucet": faucet.address,
            }
            self._connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())

    def faucet(self) -> KeystoreAccount:
        """The account that has the chain's first money and deployed the contract."""
        path = self._folder / "faucet.key"
        if not path.exists():
            write_file(path, secrets.token_bytes(32), mode=0o600)
        return account_from_key("faucet", path.read_bytes())

    def _record(self, mined: Mined, contract: str) -> list[Log]:
        """Writes a block's number and the contract's logs beside the state, in the same SQLite transaction."""
        self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (mined.number, mined.timestamp, mined.hash))
        found = [(done, log) for done in mined.transactions for log in done.logs]
        logs = [
            Log(mined.number, mined.timestamp, done.transaction, position, log.topics, log.data)
            for position, (done, log) in enumerate(found)
            if log.address == contract
        ]
        for each in logs:
            topics: list[str | None] = [*each.topics, None, None, None, None][:4]
            row = (each.block, each.index, each.transaction, *topics, each.data)
            self._connection.execute("INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        return logs


class EmbeddedLedger(ContractLedger):
    """A Ledger on a home's own chain."""

    def __init__(self, chain: EmbeddedChain, clock: Callable[[], float] = time.time) -> None:
        super().__init__(chain, clock)
        self._chain = chain

    def fund(self, address: str) -> int:
        """Gives an account more of the chain's worthless money; returns its balance."""
        return self._chain.fund(address.lower())

    def operator_account(self) -> KeystoreAccount:
        """The account that deployed the contract, whose key the chain keeps: it operates the ledger."""
        return self._chain.faucet()


def open_embedded_ledger(home: Home, clock: Callable[[], float] = time.time) -> EmbeddedLedger:
    """Opens a home's own chain, or makes it."""
    return EmbeddedLedger(EmbeddedChain(chain_folder(home), chain_path(home), clock), clock)


@contextmanager
def chain_lock(folder: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Holds the chain's exclusive lock; raises LedgerUnavailable, naming the holder, if it stays taken."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip()
                raise LedgerUnavailable(
                    "the embedded chain is busy",
                    expected=f"its lock within {seconds:g} s",
                    found=f"held by process {holder or 'unknown'}",
                    fix="wait for that process, or end it",
                )
            time.sleep(0.01)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _sign(
    evm: Evm, account: Account, identity: LedgerIdentity, to: str, data: bytes, value: int, gas: int = GAS_LIMIT
) -> bytes:
    transaction: dict[str, Any] = {
        "type": 2,
        "chainId": identity.chain_id,
        "nonce": evm.nonce(account.address),
        "gas": gas,
        "maxFeePerGas": 2 * evm.fee(),
        "maxPriorityFeePerGas": 0,
        "to": bytes.fromhex(to.removeprefix("0x")),
        "value": value,
        "data": data,
    }
    return account.sign_transaction(transaction)
