"""Blocks in memory obey the same rules as everywhere."""

from __future__ import annotations

import io

import pytest

from provenance.car import car_bytes
from provenance.cid import Cid
from provenance.errors import BlockCorrupt, BlockMissing
from provenance.stores import MemoryStore

DATA = b"hello world"
CID = Cid.of_block(DATA)


def test_blocks_come_back() -> None:
    store = MemoryStore()
    assert not store.has(CID)
    assert store.put_car(io.BytesIO(car_bytes([CID], [(CID, DATA)]))) == (CID,)
    assert store.has(str(CID))
    assert store.get(str(CID)) == DATA
    store.keep(CID)


def test_missing_and_lying_blocks_are_refused() -> None:
    store = MemoryStore()
    with pytest.raises(BlockMissing, match="not brought along"):
        store.get(CID)
    with pytest.raises(BlockMissing):
        store.keep(CID)
    with pytest.raises(BlockCorrupt):
        store.put(CID, b"another")
    with pytest.raises(BlockCorrupt):
        store.put_car(io.BytesIO(car_bytes([CID], [(CID, b"another")])))
    assert not store.has(CID)
