"""The next nonce of an account, taken under a lock and remembered: two processes never use the same one.

POSIX only: the lock is ``flock``, which the kernel drops when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError
from provenance.files import read_file, write_file
from provenance.ledger.protocol import LedgerIdentity

TYPE = "urn:prov:last-nonce:v1"


@dataclass(frozen=True)
class Sent:
    """The last transaction of an account that this home sent; ``is_final`` once it was seen in a final block."""

    nonce: int
    transaction: str
    is_final: bool = False


class Nonces:
    """What this home remembers of one account on one chain, while its lock is held."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> Sent | None:
        """The last transaction sent from here; raises FormatError for a file that is not ours."""
        if not self._path.exists():
            return None
        raw = parse_json(read_file(self._path, limit=1 << 12), str(self._path))
        kinds = {"nonce": int, "transaction": str, "is_final": bool}
        if not isinstance(raw, dict) or raw.pop("type", None) != TYPE or set(raw) != set(kinds):
            raise FormatError(f"{self._path} is not a record of a nonce", expected=f'type "{TYPE}"')
        if any(type(raw[name]) is not kind for name, kind in kinds.items()):
            raise FormatError(f"{self._path} is not a record of a nonce", found=str(raw)[:200])
        return Sent(**raw)

    def remember(self, sent: Sent) -> None:
        """Writes it down: before a transaction is broadcast, and again when it is final."""
        record: dict[str, Any] = {"type": TYPE, **asdict(sent)}
        write_file(self._path, canonical_json(record), mode=0o600)


@contextmanager
def nonce_lock(folder: Path, identity: LedgerIdentity, address: str) -> Iterator[Nonces]:
    """Holds the lock of one account on one chain."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{identity.chain_id}-{identity.genesis[:16]}-{address}"
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Nonces(folder / f"{name}.json")
    finally:
        os.close(descriptor)
