"""The log of what was blocked: one JSON line each, chained by hash, without any content."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from safety.decision import Decision
from safety.errors import SafetyError

TYPE = "urn:prov:blocked:v1"
FIRST = "0" * 64
_HEX = re.compile(r"[0-9a-f]{64}")


class BlockedLog:
    """An append-only file; safe to append to from several processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, decision: Decision, *, hmac: str) -> str:
        """Writes one blocked decision and flushes it to disk; returns the entry's hash, the new head of the chain.

        ``hmac`` is the keyed digest of the prompt (64 hexadecimal digits), never the prompt. A line torn by a crash
        is taken off first. Raises SafetyError when the decision allowed something or the last line is not ours.
        """
        if decision.allowed or not _HEX.fullmatch(hmac):
            raise SafetyError("only blocked decisions with a keyed digest are logged")
        with self._locked() as file:
            sequence, previous = self._tail(file)
            entry = {
                "type": TYPE,
                "sequence": sequence,
                "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "hmac": hmac,
                "decision": decision.to_json(),
                "previous": previous,
            }
            head = _hash(entry)
            file.write(_canonical({**entry, "hash": head}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return head

    def check(self) -> tuple[int, str]:
        """Walks the whole chain; returns the number of entries and its head.

        Raises SafetyError at the first line that was changed, removed or put in. Lines cut off the end are noticed
        only by whoever kept an earlier head.
        """
        count, previous = 0, FIRST
        if not self._path.exists():
            return count, previous
        with self._path.open("rb") as file:
            for line in file:
                entry = _entry(line, self._path, count + 1)
                if entry["sequence"] != count or entry["previous"] != previous:
                    raise SafetyError(
                        f"{self._path} is broken at line {count + 1}", expected="the next link of the chain"
                    )
                count, previous = count + 1, entry["hash"]
        return count, previous

    def _tail(self, file: IO[bytes]) -> tuple[int, str]:
        size = file.seek(0, os.SEEK_END)
        position, tail = size, b""
        while position > 0 and tail[:-1].count(b"\n") < 2:
            step = min(position, 4096)
            position -= step
            file.seek(position)
            tail = file.read(step) + tail
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            file.truncate(size - (len(tail) - len(whole)))
        file.seek(0, os.SEEK_END)
        if not whole:
            return 0, FIRST
        last = _entry(whole.splitlines(keepends=True)[-1], self._path, None)
        return last["sequence"] + 1, last["hash"]

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _entry(line: bytes, path: Path, number: int | None) -> dict[str, Any]:
    where = f"{path} is broken at line {number}" if number else f"the last line of {path} is broken"
    try:
        value = json.loads(line)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SafetyError(where, found=str(error)[:100]) from error
    if not isinstance(value, dict) or set(value) != {
        "type",
        "sequence",
        "time",
        "hmac",
        "decision",
        "previous",
        "hash",
    }:
        raise SafetyError(where, expected="an entry of this log")
    rest = {key: item for key, item in value.items() if key != "hash"}
    if value["hash"] != _hash(rest) or line != _canonical(value) + b"\n" or not isinstance(value["sequence"], int):
        raise SafetyError(where, expected="the hash of the line's own content", fix="keep the file as evidence")
    return value


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(entry)).hexdigest()
