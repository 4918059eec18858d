"""The last head of a log, kept in a file beside it, so that lines cut off the end are missed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from safety.errors import SafetyError
from safety.log_entry import HASH, canonical

TYPE = "urn:prov:blocked-head:v1"
MAX_BYTES = 1024


@dataclass(frozen=True)
class Head:
    """The newest entry of a log at some moment: its number from 0, and its hash."""

    sequence: int
    hash: str


def head_path(log: Path) -> Path:
    """Where the head of a log is kept."""
    return log.with_name(log.name + ".head")


def read_head(log: Path) -> Head | None:
    """The head kept beside a log, None when there is none; raises SafetyError when it is not one."""
    path = head_path(log)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SafetyError(
            f"{path} cannot be read", found=str(error), fix="move what stands in its place elsewhere, as evidence"
        ) from error
    try:
        match json.loads(data):
            case {"type": str(kind), "sequence": int(number), "hash": str(digest)} if (
                kind == TYPE and number >= 0 and HASH.fullmatch(digest) and data == _line(Head(number, digest))
            ):
                return Head(number, digest)
    except (ValueError, RecursionError):
        pass
    raise SafetyError(
        f"{path} is not the head of a log", expected=TYPE, fix="keep the log and this file as evidence, elsewhere"
    )


def keep_head(log: Path, head: Head) -> None:
    """Replaces the head kept beside a log, whole or not at all; only whoever holds the log's lock may call it.

    Called after the entry is on disk: a crash in between leaves the head one entry behind, never ahead.
    """
    path = head_path(log)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_line(head))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _line(head: Head) -> bytes:
    return canonical({"type": TYPE, "sequence": head.sequence, "hash": head.hash}) + b"\n"
