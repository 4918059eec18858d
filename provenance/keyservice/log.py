"""The key service's log: one JSON line for each key released or refused, chained by hash; never a key in it."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import FormatError, RecordError
from provenance.home import Home
from provenance.moments import format_moment, parse_moment, utc_now

TYPE = "urn:prov:key-release:v1"
FIRST = "0" * 64
MAX_LINE = 4096
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class KeyEvent:
    """What happened: ``reason`` is None for a release, or the kind of refusal; the rest as far as it was known."""

    reason: str | None
    peer: str
    account: str | None = None
    token: int | None = None
    nonce: str | None = None
    key_id: str | None = None
    block: int | None = None

    def to_json(self) -> Json:
        """The entry without its links."""
        return {
            "event": "refused" if self.reason else "released",
            "reason": self.reason,
            "peer": self.peer,
            "account": self.account,
            "token": self.token,
            "nonce": self.nonce,
            "key": self.key_id,
            "block": self.block,
        }


FIELDS = frozenset({"type", "sequence", "time", "previous", "hash", *KeyEvent(None, "").to_json()})


class ReleaseLog:
    """An append-only file; safe to append to from several threads and processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_home(cls, home: Home) -> ReleaseLog:
        """The log of a home's key service."""
        return cls(home.path / "keys.log")

    def append(self, event: KeyEvent) -> str:
        """Writes an event and flushes it to disk; returns the entry's hash, the new head of the chain.

        A line torn by a crash is taken off first. Raises RecordError when the last line is not ours, or OSError: then
        no key may go out.
        """
        with self._locked() as file:
            sequence, previous = self._tail(file)
            entry = {
                "type": TYPE,
                "sequence": sequence,
                "time": format_moment(utc_now()),
                **event.to_json(),
                "previous": previous,
            }
            head = sha256_hex(canonical_json(entry))
            file.write(canonical_json({**entry, "hash": head}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return head

    def entries(self) -> Iterator[Json]:
        """Every entry in order; raises RecordError at the first line that was changed, removed or put in.

        Lines cut off the end are noticed only by whoever kept an earlier head.
        """
        if not self._path.exists():
            return
        previous = FIRST
        with self._path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
                entry = _entry(line, f"{self._path} is broken at line {number}")
                if (entry["sequence"], entry["previous"]) != (number - 1, previous):
                    raise RecordError(
                        f"{self._path} is broken at line {number}",
                        expected="the next link of the chain",
                        fix="keep the file as evidence",
                    )
                previous = entry["hash"]
                yield entry

    def _tail(self, file: IO[bytes]) -> tuple[int, str]:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2 * MAX_LINE))
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            file.truncate(size - (len(tail) - len(whole)))
        file.seek(0, os.SEEK_END)
        if not whole:
            if len(tail) < size:
                raise RecordError(f"the last line of {self._path} is broken", expected="an entry of this log")
            return 0, FIRST
        last = _entry(whole.splitlines(keepends=True)[-1], f"the last line of {self._path} is broken")
        return int(last["sequence"]) + 1, str(last["hash"])

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _entry(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = parse_json(line, "the line", limit=MAX_LINE)
    except FormatError as error:
        raise RecordError(where, found=error.what) from error
    if not isinstance(value, dict) or set(value) != FIELDS or value["type"] != TYPE:
        raise RecordError(where, expected="an entry of this log")
    rest = {key: item for key, item in value.items() if key != "hash"}
    if value["hash"] != sha256_hex(canonical_json(rest)) or line != canonical_json(value) + b"\n":
        raise RecordError(where, expected="the hash of the line's own content", fix="keep the file as evidence")
    if type(value["sequence"]) is not int or not _HEX.fullmatch(str(value["previous"])):
        raise RecordError(where, expected="an entry of this log")
    parse_moment(value["time"], where)
    return value
