"""The journal: no serial twice, no record lost, no picture without a record."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import FormatError, RecordError
from provenance.journal import Journal
from provenance.ledger.protocol import SERIAL_LIMIT, Batch, LedgerIdentity, Stream
from provenance.ledger.view import namespace_of
from provenance.record import ImageFile, ImageRecord, VoidRecord

ROOT = Path(__file__).parents[2]
LEDGER = LedgerIdentity(7, "00" * 32, "0x" + "ab" * 20, "11" * 32)
STREAM = Stream(3, 0, "0x" + "cd" * 20, 0)
MANIFEST = b"a manifest store"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite", LEDGER) as opened:
        opened.add_stream(STREAM)
        yield opened


def record(serial: int) -> ImageRecord:
    namespace = namespace_of(LEDGER.chain_id, LEDGER.contract)
    return ImageRecord(
        payload=f"{namespace << 56 | 3 << 28 | serial:016x}",
        chain_id=LEDGER.chain_id,
        contract=LEDGER.contract,
        namespace=namespace,
        stream=3,
        serial=serial,
        token=0,
        weights=None,
        dataset=None,
        base="33" * 32,
        issuer="44" * 32,
        created="2026-11-22T18:37:11Z",
        generator="prov",
        prompt={"hmac": "55" * 32},
        parameters={},
        safety=(),
        watermark={"backend": "dwtDctSvd", "p_value": 0.0},
        fingerprint="66" * 32,
        pixels="77" * 32,
        image=ImageFile("88" * 32, "image/png", 100, 16, 16),
        manifest=hashlib.sha256(MANIFEST).hexdigest(),
    )


def test_serials_count_from_zero_and_are_kept(journal: Journal, tmp_path: Path) -> None:
    assert [journal.reserve(3) for _ in range(3)] == [0, 1, 2]
    journal.store(record(1), MANIFEST)
    with Journal(tmp_path / "journal.sqlite", LEDGER) as again:
        assert again.reserve(3) == 3
        assert again.record(3, 1) == record(1)
        assert again.record(3, 0) is None
        assert again.record(3, 99) is None


def test_many_threads_and_connections_never_share_a_serial(journal: Journal, tmp_path: Path) -> None:
    def reserve(_: int) -> list[int]:
        with Journal(tmp_path / "journal.sqlite", LEDGER) as own:
            return [own.reserve(3) for _ in range(10)]

    with ThreadPoolExecutor(6) as pool:
        serials = [serial for part in pool.map(reserve, range(6)) for serial in part]
    assert sorted(serials) == list(range(60))


def test_only_a_reserved_serial_is_recorded_and_only_once(journal: Journal) -> None:
    with pytest.raises(RecordError, match="cannot be recorded"):
        journal.store(record(0), MANIFEST)
    journal.reserve(3)
    journal.store(record(0), MANIFEST)
    with pytest.raises(RecordError, match="cannot be recorded"):
        journal.store(record(0), MANIFEST)
    with pytest.raises(RecordError, match="cannot be recorded"):
        journal.void(3, 0)


def test_a_manifest_that_is_not_the_records_is_refused(journal: Journal) -> None:
    journal.reserve(3)
    with pytest.raises(RecordError, match="manifest store is not the record's"):
        journal.store(record(0), b"another")


def test_waiting_records_end_where_a_picture_is_being_made(journal: Journal) -> None:
    for _ in range(4):
        journal.reserve(3)
    for serial in (0, 1, 3):
        journal.store(record(serial), MANIFEST)
    assert [entry.serial for entry in journal.unanchored(3, first=0, limit=10)] == [0, 1]
    assert [entry.serial for entry in journal.unanchored(3, first=1, limit=1)] == [1]
    assert journal.unanchored(3, first=2, limit=10) == []
    assert journal.waiting(3) == 3


def test_a_batch_is_marked_as_anchored(journal: Journal) -> None:
    for serial in range(3):
        journal.reserve(3)
        journal.store(record(serial), MANIFEST)
    journal.mark_anchored(Batch(3, 0, 2, "00" * 32, "cid", 0, "00" * 32, 1))
    assert journal.waiting(3) == 1
    assert not journal.has_unmarked(3, 0, 2)
    assert journal.has_unmarked(3, 0, 3)


def test_a_failed_picture_voids_its_serial(journal: Journal) -> None:
    with pytest.raises(ValueError, match="blocked"), journal.reserved(3):
        raise ValueError("blocked")
    assert journal.record(3, 0) == VoidRecord(7, LEDGER.contract, namespace_of(7, LEDGER.contract), 3, 0)
    with journal.reserved(3) as serial:
        journal.store(record(serial), MANIFEST)
    assert journal.record(3, 1) == record(1)


def test_only_serials_of_processes_that_are_gone_are_voided(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "journal.sqlite", LEDGER)
    assert other.reserve(3) == 0
    assert journal.reserve(3) == 1
    assert journal.void_abandoned(3) == 0
    other.close()
    assert journal.void_abandoned(3) == 1
    assert isinstance(journal.record(3, 0), VoidRecord)
    assert journal.record(3, 1) is None


def test_a_record_survives_the_death_of_its_process(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; sys.path[:0] = [sys.argv[2]]\n"
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('t', sys.argv[3]); t = u.module_from_spec(spec); spec.loader.exec_module(t)\n"
        "journal = t.Journal(Path(sys.argv[1]), t.LEDGER); journal.add_stream(t.STREAM)\n"
        "journal.store(t.record(journal.reserve(3)), t.MANIFEST); journal.reserve(3); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "journal.sqlite"
    subprocess.run([sys.executable, "-c", script, str(path), str(ROOT), __file__], env={**os.environ}, check=False)
    with Journal(path, LEDGER) as journal:
        assert journal.record(3, 0) == record(0)
        assert journal.void_abandoned(3) == 1
        assert [entry.serial for entry in journal.unanchored(3, first=0, limit=9)] == [0, 1]


def test_a_stream_is_found_by_account_and_token(journal: Journal) -> None:
    journal.add_stream(replace(STREAM, stream=9, token=4))
    journal.add_stream(replace(STREAM, stream=8, token=4))
    assert journal.stream_for(STREAM.holder, 4) == 9
    assert journal.stream_for(STREAM.holder, 0) == 3
    assert journal.stream_for(STREAM.holder, 5) is None
    assert journal.streams() == (3, 8, 9)


def test_streams_of_two_ledgers_do_not_meet(journal: Journal, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite", replace(LEDGER, chain_id=8)) as other:
        assert other.streams() == ()
        other.add_stream(STREAM)
        assert [other.reserve(3), journal.reserve(3)] == [0, 0]


def test_an_unknown_or_full_stream_gives_no_serial(journal: Journal) -> None:
    with pytest.raises(RecordError, match="was not opened by this home"):
        journal.reserve(77)
    journal.add_stream(replace(STREAM, stream=5), first=SERIAL_LIMIT)
    with pytest.raises(RecordError, match="is full"):
        journal.reserve(5)
    assert journal.stream_for(STREAM.holder, 0) == 3


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database, but long enough to look like one" * 40)
    with pytest.raises(FormatError, match="is not a journal"):
        Journal(tmp_path / "journal.sqlite", LEDGER)
