"""The journal of a home: which serials of its streams are reserved, recorded, void and anchored.

A serial is reserved before a picture is drawn and recorded, durably, before the picture's file is written: whatever
crashes, no picture exists without a record. Each process that reserves holds a lock file for as long as it lives;
a reservation whose lock is free belongs to a process that died, and becomes a void record at the next anchoring.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from provenance.canonical import sha256_hex
from provenance.errors import FormatError, RecordError
from provenance.home import Home
from provenance.ledger.protocol import SERIAL_LIMIT, Batch, LedgerIdentity, Stream
from provenance.ledger.view import namespace_of
from provenance.record import ImageRecord, VoidRecord, parse_record

VERSION = 1
_SCHEMA = """
CREATE TABLE streams (
    ledger TEXT NOT NULL, stream INTEGER NOT NULL, token INTEGER NOT NULL, holder TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (ledger, stream)
);
CREATE TABLE serials (
    ledger TEXT NOT NULL, stream INTEGER NOT NULL, serial INTEGER NOT NULL, owner TEXT, record BLOB, manifest BLOB,
    anchored INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (ledger, stream, serial), FOREIGN KEY (ledger, stream) REFERENCES streams
);
CREATE INDEX waiting ON serials (ledger, stream, serial) WHERE anchored = 0;
"""
_NEXT = "SELECT next FROM streams WHERE ledger = ? AND stream = ?"


@dataclass(frozen=True)
class Entry:
    """One recorded serial: the record's bytes, and the C2PA manifest store (empty for a void record)."""

    serial: int
    record: bytes
    manifest: bytes


class Journal:
    """The journal file of one home, opened for one ledger; safe to use from several processes at once."""

    def __init__(self, path: Path, ledger: LedgerIdentity) -> None:
        self._identity = ledger
        self._ledger = f"{ledger.chain_id}:{ledger.contract}"
        self._locks = path.with_suffix(".owners")
        self._owner: tuple[str, IO[bytes]] | None = None
        self._path = path
        with self._usable():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        try:
            self._open(path)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, path: Path) -> None:
        with self._usable():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._writing():
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in _SCHEMA.split(";"):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {VERSION}")
        if version not in (0, VERSION):
            raise FormatError(f"{path} was written by another prov", expected=f"version {VERSION}", found=f"{version}")

    @classmethod
    def of_home(cls, home: Home) -> Journal:
        """Opens the journal of a home for the home's ledger, made when it is missing; raises LedgerUnavailable."""
        from provenance.ledger import open_reader

        reader = open_reader(home)
        try:
            return cls(home.path / "journal.sqlite", reader.identity)
        finally:
            reader.close()

    def add_stream(self, stream: Stream, *, first: int = 0) -> None:
        """Notes a stream opened on the ledger; harmless if it is known. ``first`` is its next serial there."""
        with self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO streams VALUES (?, ?, ?, ?, ?)",
                (self._ledger, stream.stream, stream.token, stream.holder, first),
            )

    def stream_for(self, account: str, token: int) -> int | None:
        """The newest stream that an account (by address) opened here for a token and that has serials left."""
        row = self._connection.execute(
            "SELECT max(stream) FROM streams WHERE ledger = ? AND holder = ? AND token = ? AND next < ?",
            (self._ledger, account, token, SERIAL_LIMIT),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def streams(self) -> tuple[int, ...]:
        """Every stream that was opened here."""
        rows = self._connection.execute("SELECT stream FROM streams WHERE ledger = ? ORDER BY stream", (self._ledger,))
        return tuple(int(row[0]) for row in rows)

    def reserve(self, stream: int) -> int:
        """Takes the next serial of a stream for this process, for good; raises RecordError when there is none."""
        owner = self._own()
        with self._writing():
            row = self._connection.execute(_NEXT, (self._ledger, stream)).fetchone()
            if row is None:
                raise RecordError(f"stream {stream} was not opened by this home", fix="open one with `prov generate`")
            serial = int(row[0])
            if serial >= SERIAL_LIMIT:
                raise RecordError(f"stream {stream} is full", found=f"{serial} images", fix="open another stream")
            self._connection.execute(
                "UPDATE streams SET next = next + 1 WHERE ledger = ? AND stream = ?", (self._ledger, stream)
            )
            self._connection.execute(
                "INSERT INTO serials (ledger, stream, serial, owner) VALUES (?, ?, ?, ?)",
                (self._ledger, stream, serial, owner),
            )
        return serial

    @contextmanager
    def reserved(self, stream: int) -> Iterator[int]:
        """Reserves a serial and voids it if the body fails before it is recorded."""
        serial = self.reserve(stream)
        try:
            yield serial
        except BaseException:
            if self.record(stream, serial) is None:
                self.void(stream, serial)
            raise

    def store(self, record: ImageRecord, manifest: bytes) -> None:
        """Writes the record of a reserved serial, flushed to disk on return; a serial is recorded once."""
        if sha256_hex(manifest) != record.manifest:
            raise RecordError("the manifest store is not the record's", expected=record.manifest)
        self._fill(record.stream, record.serial, record.to_bytes(), manifest)

    def void(self, stream: int, serial: int) -> None:
        """Gives up a reserved serial: a refused or failed picture."""
        chain_id, contract = self._identity.chain_id, self._identity.contract
        void = VoidRecord(chain_id, contract, namespace_of(chain_id, contract), stream, serial)
        self._fill(stream, serial, void.to_bytes(), b"")

    def void_abandoned(self, stream: int) -> int:
        """Voids the serials reserved by processes that are gone; returns how many."""
        rows = self._connection.execute(
            "SELECT serial, owner FROM serials WHERE ledger = ? AND stream = ? AND anchored = 0 AND record IS NULL",
            (self._ledger, stream),
        ).fetchall()
        gone = {owner for owner in {owner for _, owner in rows} if self._is_gone(owner)}
        abandoned = [serial for serial, owner in rows if owner in gone]
        for serial in abandoned:
            self.void(stream, serial)
        return len(abandoned)

    def next_serial(self, stream: int) -> int:
        """The serial that would be reserved next."""
        row = self._connection.execute(_NEXT, (self._ledger, stream)).fetchone()
        return 0 if row is None else int(row[0])

    def unanchored(self, stream: int, *, first: int, limit: int) -> list[Entry]:
        """At most ``limit`` recorded serials from ``first`` on, consecutive: it stops where a picture is being made."""
        rows = self._connection.execute(
            "SELECT serial, record, manifest FROM serials"
            " WHERE ledger = ? AND stream = ? AND serial >= ? ORDER BY serial LIMIT ?",
            (self._ledger, stream, first, limit),
        )
        entries: list[Entry] = []
        for serial, record, manifest in rows:
            if record is None or serial != first + len(entries):
                break
            entries.append(Entry(serial, record, manifest))
        return entries

    def waiting(self, stream: int) -> int:
        """How many recorded serials are not marked as anchored."""
        row = self._connection.execute(
            "SELECT count(*) FROM serials WHERE ledger = ? AND stream = ? AND anchored = 0 AND record IS NOT NULL",
            (self._ledger, stream),
        ).fetchone()
        return int(row[0])

    def total(self, account: str, token: int) -> int:
        """How many serials an account (by address) has recorded here under a token, anchored or not."""
        row = self._connection.execute(
            "SELECT count(*) FROM serials JOIN streams USING (ledger, stream)"
            " WHERE ledger = ? AND holder = ? AND token = ? AND record IS NOT NULL",
            (self._ledger, account, token),
        ).fetchone()
        return int(row[0])

    def has_unmarked(self, stream: int, first: int, count: int) -> bool:
        """Whether some serial of a range is here and not marked as anchored."""
        row = self._connection.execute(
            "SELECT 1 FROM serials WHERE ledger = ? AND stream = ? AND serial >= ? AND serial < ? AND anchored = 0"
            " LIMIT 1",
            (self._ledger, stream, first, first + count),
        ).fetchone()
        return row is not None

    def mark_anchored(self, batch: Batch) -> None:
        """Notes that the ledger holds a batch."""
        with self._writing():
            self._connection.execute(
                "UPDATE serials SET anchored = 1"
                " WHERE ledger = ? AND stream = ? AND serial >= ? AND serial < ? AND anchored = 0",
                (self._ledger, batch.stream, batch.first, batch.first + batch.count),
            )

    def record(self, stream: int, serial: int) -> ImageRecord | VoidRecord | None:
        """What is recorded for a serial; None if nothing is (yet)."""
        row = self._connection.execute(
            "SELECT record FROM serials WHERE ledger = ? AND stream = ? AND serial = ?", (self._ledger, stream, serial)
        ).fetchone()
        return None if row is None or row[0] is None else parse_record(row[0])

    def entry(self, stream: int, serial: int) -> Entry | None:
        """What is recorded for a serial, with its manifest store; None if nothing is (yet)."""
        row = self._connection.execute(
            "SELECT record, manifest FROM serials WHERE ledger = ? AND stream = ? AND serial = ?",
            (self._ledger, stream, serial),
        ).fetchone()
        return None if row is None or row[0] is None else Entry(serial, row[0], row[1])

    def close(self) -> None:
        """Closes the file; serials this process reserved and did not record count as abandoned from now on."""
        self._connection.close()
        if self._owner is not None:
            name, file = self._owner
            (self._locks / name).unlink(missing_ok=True)
            file.close()
            self._owner = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(self, stream: int, serial: int, record: bytes, manifest: bytes) -> None:
        with self._writing():
            done = self._connection.execute(
                "UPDATE serials SET record = ?, manifest = ?, owner = NULL"
                " WHERE ledger = ? AND stream = ? AND serial = ? AND record IS NULL",
                (record, manifest, self._ledger, stream, serial),
            )
            if done.rowcount != 1:
                raise RecordError(
                    f"serial {serial} of stream {stream} cannot be recorded",
                    expected="a serial that is reserved and has no record",
                )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._usable():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Turns what SQLite and the system raise into ours: what the disk refuses, and a file that is no journal."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise RecordError(
                f"the journal {self._path} cannot be used",
                found=str(error),
                fix="make room in the home, or make it writable",
            ) from error
        except sqlite3.DatabaseError as error:
            raise FormatError(
                f"{self._path} is not a journal", found=str(error), fix="restore it from a backup"
            ) from error

    def _own(self) -> str:
        if self._owner is None:
            name = secrets.token_hex(16)
            with self._usable():
                self._locks.mkdir(exist_ok=True)
                file = open(self._locks / name, "xb")  # noqa: SIM115 - held open: the lock lives as long as the process
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._owner = (name, file)
        return self._owner[0]

    def _is_gone(self, owner: str) -> bool:
        path = self._locks / owner
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return True
        with closing(os.fdopen(descriptor, "rb")) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        path.unlink(missing_ok=True)
        return True
