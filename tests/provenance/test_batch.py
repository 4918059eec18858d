"""Batches: each record is found with a proof, by reading two small files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.batch import Inclusion, batch_files, batch_root, read_inclusion, read_manifest
from provenance.errors import FileRefused, RecordError
from provenance.journal import Entry
from provenance.ledger.protocol import Batch
from provenance.stores import MemoryStore, add_tree


def entries(count: int, first: int = 0) -> list[Entry]:
    return [Entry(n, b'{"serial":%d}' % n, b"manifest %d" % n if n % 3 else b"") for n in range(first, first + count)]


def stored(items: list[Entry]) -> tuple[MemoryStore, Batch]:
    store = MemoryStore()
    cid = str(add_tree(store, batch_files(items, b"certificates")))
    return store, Batch(1, items[0].serial, len(items), batch_root(items), cid, 0, "00" * 32, 1)


@given(count=st.sampled_from([1, 2, 3, 255, 256, 257, 600]), first=st.sampled_from([0, 7, 4096]), data=st.data())
def test_every_record_is_found_with_its_proof(count: int, first: int, data) -> None:
    store, batch = stored(entries(count, first))
    serial = first + data.draw(st.integers(0, count - 1))
    inclusion = read_inclusion(store, batch, serial)
    assert inclusion.record == b'{"serial":%d}' % serial
    inclusion.check(batch, serial)


def test_a_proof_holds_for_its_own_serial_only() -> None:
    store, batch = stored(entries(10))
    inclusion = read_inclusion(store, batch, 4)
    with pytest.raises(RecordError, match="Merkle proof"):
        inclusion.check(batch, 5)
    with pytest.raises(RecordError, match="Merkle proof"):
        Inclusion(inclusion.record, 5, inclusion.path).check(batch, 5)
    with pytest.raises(RecordError, match="Merkle proof"):
        Inclusion(inclusion.record, 4, ()).check(batch, 4)
    with pytest.raises(RecordError, match="Merkle proof"):
        Inclusion(inclusion.record, 4, (b"short",)).check(batch, 4)


def test_void_records_keep_no_manifest() -> None:
    store, batch = stored(entries(10))
    assert read_manifest(store, batch, 4) == b"manifest 4"
    with pytest.raises(FileRefused, match=r"manifests/00000/3\.c2pa is not in"):
        read_manifest(store, batch, 3)


@pytest.mark.parametrize("count", [0, 2**20 + 1, 2**28])
def test_a_batch_too_large_to_check_is_refused(count: int) -> None:
    store, batch = stored(entries(3))
    with pytest.raises(RecordError, match="too large to check"):
        read_inclusion(store, Batch(1, 0, count, batch.root, batch.cid, 0, "00" * 32, 1), 0)
