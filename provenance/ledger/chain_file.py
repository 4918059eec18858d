"""The embedded chain's SQLite file: the layout, and reading logs from it without an EVM.

::

    meta    key, value           chain_id, genesis, contract, code_digest, faucet
    state   key, value           what py-evm stores: headers, bodies, receipts, tries, code
    blocks  number, timestamp, hash
    logs    block, position, transaction_hash, topic0..topic3, data      every log of the contract

A transaction's state, block and logs are committed together, so whoever reads the logs reads the chain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from provenance.errors import LedgerUnavailable
from provenance.home import Home
from provenance.ledger.protocol import Head, LedgerIdentity, Log

VERSION = 2
BUSY_SECONDS = 30.0
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE logs (
    block INTEGER NOT NULL, position INTEGER NOT NULL, transaction_hash TEXT NOT NULL,
    topic0 TEXT NOT NULL, topic1 TEXT, topic2 TEXT, topic3 TEXT, data TEXT NOT NULL,
    PRIMARY KEY (block, position)
) WITHOUT ROWID;
CREATE INDEX logs_topic1 ON logs (topic0, topic1);
CREATE INDEX logs_first ON logs (topic0, topic1, substr(data, 1, 64));
CREATE INDEX logs_topic3 ON logs (topic0, topic3);
PRAGMA user_version = 2;
"""


def chain_folder(home: Home) -> Path:
    """Where a home keeps its embedded chain."""
    return home.path / "chain"


def chain_path(home: Home) -> Path:
    """The SQLite file of a home's embedded chain."""
    return chain_folder(home) / "chain.sqlite"


@contextmanager
def chain_errors(path: Path) -> Iterator[None]:
    """Turns errors of SQLite and of the disk into LedgerUnavailable."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerUnavailable(
            f"the embedded chain {path} cannot be used",
            found=str(error),
            fix="make room on its disk, make it writable, or restore it from a backup",
        ) from error


def is_initialised(connection: sqlite3.Connection) -> bool:
    """Whether the file holds a chain; raises LedgerUnavailable for the layout of another version."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise LedgerUnavailable(
            "the embedded chain was written by a newer prov", expected=f"layout {VERSION}", found=f"layout {version}"
        )
    if 0 < version < VERSION:
        raise LedgerUnavailable(
            "the embedded chain holds the contract of an older prov",
            expected=f"layout {VERSION}",
            found=f"layout {version}",
            fix="verify its images with the prov that made them; make a new home with PROV_HOME=… prov init",
        )
    return version == VERSION


def read_identity(connection: sqlite3.Connection) -> LedgerIdentity:
    """The identity in ``meta``."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    return LedgerIdentity(int(meta["chain_id"]), meta["genesis"], meta["contract"], meta["code_digest"])


class ChainFile:
    """The logs of an embedded chain; a LogSource over a SQLite connection."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        with chain_errors(path):
            self._identity = read_identity(connection)

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract, as written at creation."""
        return self._identity

    def head(self) -> Head:
        """The last block."""
        with chain_errors(self._path):
            query = "SELECT number, timestamp FROM blocks ORDER BY number DESC LIMIT 1"
            row = self._connection.execute(query).fetchone()
        return Head(int(row[0]), int(row[1]))

    def finalised(self) -> Head:
        """The last block: one writer at a time never undoes one."""
        return self.head()

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        """Logs that match, in chain order."""
        wanted = [(f"topic{place} = ?", value) for place, value in enumerate(topics) if value is not None]
        condition = " AND ".join(text for text, _ in wanted) or "1"
        query = (
            "SELECT block, timestamp, transaction_hash, position, topic0, topic1, topic2, topic3, data"
            f" FROM logs JOIN blocks ON number = block WHERE {condition} ORDER BY block, position"
        )
        with chain_errors(self._path):
            rows = self._connection.execute(query, [value for _, value in wanted]).fetchall()
        return [_log(row) for row in rows]

    def last_log_from(self, topics: Sequence[str | None], first: int) -> Log | None:
        """The log with these two topics whose data begin with the greatest number not above ``first``."""
        query = (
            "SELECT block, timestamp, transaction_hash, position, topic0, topic1, topic2, topic3, data"
            " FROM logs JOIN blocks ON number = block WHERE topic0 = ? AND topic1 = ? AND substr(data, 1, 64) <= ?"
            " ORDER BY substr(data, 1, 64) DESC LIMIT 1"
        )
        with chain_errors(self._path):
            row = self._connection.execute(query, (*topics, f"{first:064x}")).fetchone()
        return None if row is None else _log(row)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _log(row: tuple[Any, ...]) -> Log:
    return Log(row[0], row[1], row[2], row[3], tuple(each for each in row[4:8] if each is not None), row[8])


def open_chain_file(home: Home) -> ChainFile:
    """Opens a home's embedded chain for reading; raises LedgerUnavailable if there is none."""
    path = chain_path(home)
    missing = LedgerUnavailable("this home has no embedded chain yet", expected=str(path), fix="run `prov chain up`")
    if not path.exists():
        raise missing
    with chain_errors(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            if not is_initialised(connection):
                raise missing
            return ChainFile(connection, path)
        except BaseException:
            connection.close()
            raise
