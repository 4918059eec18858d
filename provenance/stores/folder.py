"""The embedded store: one file per block in a folder.

::

    blocks/ab/abcdef…64     a block, named by the lower-case hex SHA-256 of its bytes, in 256 folders
    blocks/new/…            blocks being written; what a crash leaves here is swept after a day

A block is written beside its place, flushed, and renamed into it in one step: whoever looks sees a whole
block or none, and writers of the same block do not disturb each other.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from provenance.car import read_car
from provenance.cid import Cid, as_cid
from provenance.errors import BlockCorrupt, BlockMissing, FileRefused, FormatError, StoreUnavailable
from provenance.files import read_file
from provenance.unixfs import Block
from provenance.unixfs.dagpb import MAX_BLOCK_BYTES

FILE_MODE = 0o644
STALE_SECONDS = 24 * 60 * 60
WRITERS = 8
WAITING = 64


class FolderStore:
    """A `BlockStore` in a folder of its own, safe for many processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = path / "new"

    def put(self, cid: Cid | str, data: bytes) -> None:
        """Stores one block and flushes it to disk; a corrupt file in its place is replaced."""
        self._write_all([(as_cid(cid), data)])

    def put_blocks(self, blocks: Iterable[Block]) -> None:
        """Stores many blocks, several flushes at a time."""
        self._write_all((block.cid, block.data) for block in blocks)

    def put_car(self, stream: BinaryIO) -> tuple[Cid, ...]:
        """Stores every block of a CARv1 and gives its roots."""
        car = read_car(stream)
        self._write_all(car.blocks)
        return car.roots

    def get(self, cid: Cid | str) -> bytes:
        """One block, hashed again as it is read."""
        cid = as_cid(cid)
        try:
            data = read_file(self._place(cid), limit=MAX_BLOCK_BYTES)
        except FileRefused as error:
            raise self._refusal(cid, error) from error
        except OSError as error:
            raise self._unavailable(error) from error
        return cid.check(data)

    def has(self, cid: Cid | str) -> bool:
        """Whether a file stands in the block's place; `get` says whether it is sound."""
        with self._translated():
            return self._place(as_cid(cid)).is_file()

    def keep(self, root: Cid | str) -> None:
        """Checks that the root is here; nothing is ever collected."""
        self.get(root)

    def describe(self) -> str:
        """The folder."""
        return f"the folder {self.path}"

    def _place(self, cid: Cid) -> Path:
        name = cid.digest.hex()
        return self.path / name[:2] / name

    def _write_all(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        # Flushing is waiting, so several at once cost little more than one; few wait, so memory stays bounded.
        waiting: deque[Future[Path]] = deque()
        folders = {self.path}
        with self._translated():
            self._sweep()
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="blocks") as pool:
            try:
                for cid, data in blocks:
                    if len(waiting) == WAITING:
                        folders.add(waiting.popleft().result())
                    waiting.append(pool.submit(self._write, cid, data))
                folders.update(future.result() for future in waiting)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        # A rename is only safe from a power cut once its folder is flushed too.
        with self._translated():
            for folder in folders:
                _flush_folder(folder)

    def _write(self, cid: Cid, data: bytes) -> Path:
        if len(data) > MAX_BLOCK_BYTES:
            raise FormatError(
                f"block {cid} is too large", expected=f"at most {MAX_BLOCK_BYTES} bytes", found=f"{len(data)} bytes"
            )
        cid.check(data)
        place = self._place(cid)
        with self._translated():
            if not _holds(place, data):
                self._rename_into(place, data)
        return place.parent

    def _rename_into(self, place: Path, data: bytes) -> None:
        place.parent.mkdir(exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self._new)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), FILE_MODE)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _sweep(self) -> None:
        self._new.mkdir(parents=True, exist_ok=True)
        for left in self._new.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > STALE_SECONDS:
                    left.unlink()

    def _refusal(self, cid: Cid, error: FileRefused) -> BlockCorrupt | StoreUnavailable:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError):
            return BlockMissing(
                f"block {cid} is not here",
                found=f"no {self._place(cid).name} in {self.path}",
                fix="bring it with `prov store import FILE.car`, or choose another store with `prov store use`",
            )
        if isinstance(cause, OSError) and cause.errno != errno.ELOOP:
            return self._unavailable(cause)
        return BlockCorrupt(
            f"block {cid} is not a block file", found=str(error), fix=f"remove {self._place(cid)} and import it again"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"the block store {self.path} cannot be used", found=str(error), fix="check its permissions and free space"
        )


def _holds(place: Path, data: bytes) -> bool:
    try:
        return read_file(place, limit=MAX_BLOCK_BYTES) == data
    except FileRefused:
        return False


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
