"""The log of what was blocked: one JSON line each, chained by hash, without any content."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from safety.decision import Decision
from safety.errors import SafetyError
from safety.log_entry import FIRST, HASH, LogEntry, entry_line
from safety.log_head import Head, head_path, keep_head, read_head


class BlockedLog:
    """An append-only file with its head beside it; safe to append to from several processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, decision: Decision, *, hmac: str) -> str:
        """Writes one blocked decision and flushes it to disk; returns the entry's hash, the new head of the chain.

        ``hmac`` is the keyed digest of the prompt (64 hexadecimal digits), never the prompt. A line torn by a crash
        is taken off first. Raises SafetyError when the decision allowed something, when the disk takes no more, when
        the last line is not ours, or when entries that the head beside the log names are gone: then nothing is written
        over the traces.
        """
        if decision.allowed or not HASH.fullmatch(hmac):
            raise SafetyError("only blocked decisions with a keyed digest are logged")
        with self._locked() as file:
            last, end = self._last(file)
            self._require_kept(file, last)
            file.truncate(end)
            file.seek(end)
            sequence, previous = (0, FIRST) if last is None else (last.sequence + 1, last.hash)
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            line, head = entry_line(sequence, now, hmac, decision, previous)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            keep_head(self._path, Head(sequence, head))
        return head

    def require_writable(self) -> None:
        """Raises SafetyError as ``append`` would, before there is anything to log; makes the file if there is none."""
        with self._locked() as file:
            last, _ = self._last(file)
            self._require_kept(file, last)

    def head(self) -> str | None:
        """The hash of the newest entry, None for a log that has none; raises SafetyError as ``append`` does."""
        if not self._path.exists() and read_head(self._path) is None:
            return None
        with self._locked() as file:
            last, _ = self._last(file)
            self._require_kept(file, last)
        return None if last is None else last.hash

    def _last(self, file: IO[bytes]) -> tuple[LogEntry | None, int]:
        """The last whole entry, and where it ends."""
        size = file.seek(0, os.SEEK_END)
        position, tail = size, b""
        while position > 0 and tail[:-1].count(b"\n") < 2:
            step = min(position, 4096)
            position -= step
            file.seek(position)
            tail = file.read(step) + tail
        whole = tail[: tail.rfind(b"\n") + 1]
        end = size - (len(tail) - len(whole))
        return (self._entry(whole.splitlines(keepends=True)[-1]) if whole else None), end

    def _entry(self, line: bytes) -> LogEntry:
        try:
            return LogEntry.parse(line)
        except SafetyError as error:
            raise self._broken(f"the last line of {self._path} is broken: {error.what}") from error

    def _require_kept(self, file: IO[bytes], last: LogEntry | None) -> None:
        kept = read_head(self._path)
        if kept is None:
            return
        known: str | None = None
        if last is not None and kept.sequence == last.sequence:
            known = last.hash
        elif last is not None and kept.sequence + 1 == last.sequence:
            known = last.previous
        elif last is not None and kept.sequence < last.sequence:
            file.seek(0)
            line = next((line for number, line in enumerate(file) if number == kept.sequence), b"")
            known = self._entry(line).hash
        if known != kept.hash:
            raise self._broken(
                f"{self._path} lacks the entry that {head_path(self._path)} names: it was cut or changed"
            )

    def _broken(self, what: str) -> SafetyError:
        return SafetyError(
            what,
            expected="the whole chain, as it was written",
            fix="prov audit verify; then move log and head elsewhere as evidence: a new log begins without them",
        )

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError as error:
            raise SafetyError(
                f"the log of what was blocked cannot be written: {self._path}",
                expected="a file of its own, no link, on a disk with room",
                found=str(error),
                fix="make room, or move what stands in its place elsewhere",
            ) from error
