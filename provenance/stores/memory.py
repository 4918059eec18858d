"""Blocks in memory: what a bundle or an archive brought along."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from provenance.car import read_car
from provenance.cid import Cid, as_cid
from provenance.errors import BlockMissing
from provenance.unixfs import Block


class MemoryStore:
    """A `BlockStore` that lasts as long as the object."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, bytes] = {}

    def put(self, cid: Cid | str, data: bytes) -> None:
        """Stores one block."""
        cid = as_cid(cid)
        self._blocks[cid.digest] = cid.check(data)

    def put_blocks(self, blocks: Iterable[Block]) -> None:
        """Stores many blocks."""
        for block in blocks:
            self.put(block.cid, block.data)

    def put_car(self, stream: BinaryIO) -> tuple[Cid, ...]:
        """Stores every block of a CARv1 and gives its roots."""
        car = read_car(stream)
        for cid, data in car.blocks:
            self._blocks[cid.digest] = data
        return car.roots

    def get(self, cid: Cid | str) -> bytes:
        """One block, hashed when it came in."""
        cid = as_cid(cid)
        if cid.digest not in self._blocks:
            raise BlockMissing(f"block {cid} was not brought along", fix="ask for a complete archive or bundle")
        return self._blocks[cid.digest]

    def has(self, cid: Cid | str) -> bool:
        """Whether the block is here."""
        return as_cid(cid).digest in self._blocks

    def keep(self, root: Cid | str) -> None:
        """Checks that the root is here; nothing is ever collected."""
        self.get(root)

    def describe(self) -> str:
        """The store in a few words."""
        return "blocks in memory"
