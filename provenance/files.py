"""Files read once without following links, and written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from provenance.errors import FileRefused

MAX_FILE_BYTES = 4 * 1024**3


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file for reading, never through a symbolic link; raises FileRefused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise FileRefused(f"{path} does not exist", fix="check the path") from error
    except OSError as error:
        raise FileRefused(
            f"{path} cannot be opened",
            expected="a regular file, not a link",
            found=str(error),
            fix="name the file itself",
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileRefused(f"{path} is not a regular file", expected="a regular file", fix="name the file itself")
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Reads a regular file in one opening, never through a symbolic link; raises FileRefused.

    The bytes returned are the only ones the caller should hash, decode or train on.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise FileRefused(f"{path} is too large", expected=f"at most {limit} bytes", found=f"{size} bytes")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileRefused(f"{path} grew while it was read", expected=f"at most {limit} bytes")
    return data


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a file by temp-and-rename, flushed to disk first, so that a crash leaves the old file or the new one."""
    write_chunks(path, (data,), mode=mode)


def write_chunks(path: Path, chunks: Iterable[bytes], *, mode: int = 0o644) -> None:
    """`write_file` for content that comes in pieces; when a piece raises, nothing is left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
