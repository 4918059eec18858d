"""What every block store does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO, Protocol

from provenance.cid import Cid
from provenance.unixfs import Block


class BlockStore(Protocol):
    """Blocks by CID. Putting a block twice is harmless; nothing that does not hash to its CID is taken or given."""

    def put(self, cid: Cid | str, data: bytes) -> None:
        """Stores one block; raises BlockCorrupt when the bytes do not hash to the CID, or StoreUnavailable."""

    def put_blocks(self, blocks: Iterable[Block]) -> None:
        """Stores many blocks, faster than one by one."""

    def put_car(self, stream: BinaryIO) -> tuple[Cid, ...]:
        """Stores every block of a CARv1 and gives its roots; raises FormatError, BlockCorrupt or StoreUnavailable."""

    def get(self, cid: Cid | str) -> bytes:
        """One block; raises BlockMissing, BlockCorrupt or StoreUnavailable."""

    def has(self, cid: Cid | str) -> bool:
        """Whether the block is here, without fetching it from elsewhere."""

    def keep(self, root: Cid | str) -> None:
        """Keeps everything below a root from being collected; raises BlockMissing when some of it is not here."""

    def describe(self) -> str:
        """The store in a few words, for messages."""
