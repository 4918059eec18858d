"""The wrapped keys of a home: one file for each ledger, adapter and account, under ``home/keys`` (mode 0600).

A maker's own content key lies there like anybody's: wrapped to the maker's account. No content key is ever on disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import FormatError, KeyRefused
from provenance.files import read_file, write_file
from provenance.home import Home
from provenance.ledger.protocol import LedgerIdentity
from provenance.sealing.wrapping import MAX_BYTES, WrappedKey


@dataclass(frozen=True)
class Keyring:
    """The keys a home holds for adapters of one ledger."""

    folder: Path
    identity: LedgerIdentity

    @classmethod
    def of_home(cls, home: Home, identity: LedgerIdentity) -> Keyring:
        """The keyring of a home on a ledger."""
        return cls(home.path / "keys" / f"{identity.chain_id}-{identity.contract}", identity)

    def find(self, weights: str, account: str) -> WrappedKey | None:
        """The key of an adapter (by its weights' digest) for an account; raises FormatError."""
        path = self._path(weights, account)
        return self._read(path) if path.exists() else None

    def all(self) -> tuple[WrappedKey, ...]:
        """Every key, by file name; raises FormatError."""
        return tuple(self._read(path) for path in sorted(self.folder.glob("*.json")))

    def public_key_of(self, account: str) -> bytes | None:
        """The public key of an account that a key was wrapped for before."""
        return next((bytes.fromhex(each.public_key) for each in self.all() if each.account == account), None)

    def keep(self, wrapped: WrappedKey) -> Path:
        """Stores a key; raises KeyRefused rather than replace another content key, which might be the only copy."""
        if not wrapped.is_of(self.identity):
            raise KeyRefused(
                "the wrapped key is of another ledger",
                expected=f"chain {self.identity.chain_id}, contract {self.identity.contract}",
                found=f"chain {wrapped.chain_id}, contract {wrapped.contract}",
            )
        path = self._path(wrapped.weights, wrapped.account)
        with self._locked():
            held = self.find(wrapped.weights, wrapped.account)
            if held is not None and held.key_id != wrapped.key_id:
                raise KeyRefused(
                    "this home already holds another key for these weights",
                    expected=f"key {held.key_id}",
                    found=f"key {wrapped.key_id}",
                    fix=f"if the new one is right, move {path} away first",
                )
            write_file(path, wrapped.to_bytes(), mode=0o600)
        return path

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, weights: str, account: str) -> Path:
        return self.folder / f"{weights}-{account}.json"

    def _read(self, path: Path) -> WrappedKey:
        wrapped = WrappedKey.parse(read_file(path, limit=MAX_BYTES), str(path))
        if path != self._path(wrapped.weights, wrapped.account) or not wrapped.is_of(self.identity):
            raise FormatError(f"{path} holds the key of something else", expected="what its name says")
        return wrapped
