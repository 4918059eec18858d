"""Anchoring happens once, whatever is killed in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provenance.anchoring import anchor_pending
from provenance.errors import RecordError
from provenance.journal import Journal
from provenance.ledger.protocol import Batch
from provenance.verify import Verdict

if TYPE_CHECKING:
    from conftest import World

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own_world(make_world: Callable[[Path], World], tmp_path: Path):
    built = make_world(tmp_path)
    yield built
    built.ledger.close()


def anchor(world: World, journal: Journal, account=None) -> list[Batch]:
    return anchor_pending(world.home, world.ledger, world.store, journal, account or world.maker)


def test_a_run_killed_after_its_transaction_is_recognised(own_world: World, monkeypatch) -> None:
    world = own_world

    def killed(self: Journal, batch: Batch) -> None:
        raise KeyboardInterrupt

    with Journal.of_home(world.home) as journal:
        monkeypatch.setattr(Journal, "mark_anchored", killed)
        with pytest.raises(KeyboardInterrupt):
            anchor(world, journal)
        monkeypatch.undo()
        assert journal.waiting(1) == 1
        assert anchor(world, journal) == []
        assert journal.waiting(1) == 0
    assert world.verify("late.png").verdict is Verdict.AUTHENTIC


def test_a_run_killed_before_its_transaction_is_done_again(own_world: World, monkeypatch) -> None:
    world = own_world

    def killed(*_: object, **__: object) -> Batch:
        raise KeyboardInterrupt

    with Journal.of_home(world.home) as journal:
        monkeypatch.setattr(type(world.ledger), "anchor", killed)
        with pytest.raises(KeyboardInterrupt):
            anchor(world, journal)
        monkeypatch.undo()
        assert [(batch.first, batch.count) for batch in anchor(world, journal)] == [(5, 1)]


def test_serials_of_a_process_that_was_killed_become_void(own_world: World) -> None:
    world = own_world
    script = (
        "import sys, time; from pathlib import Path; from provenance.home import Home;"
        "from provenance.journal import Journal\n"
        "journal = Journal.of_home(Home.open(Path(sys.argv[1])))\n"
        "print(journal.reserve(1), journal.reserve(1), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(world.home.path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().split() == ["6", "7"]
    with Journal.of_home(world.home) as journal:
        world.issue("later.png", 130, world.maker, world.tokens[0], journal)
        assert [(batch.first, batch.count) for batch in anchor(world, journal)] == [(5, 1)]
        assert world.verify("later.png").verdict is Verdict.UNKNOWN
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert [(batch.first, batch.count) for batch in anchor(world, journal)] == [(6, 3)]
    assert world.verify("later.png").verdict is Verdict.AUTHENTIC


def test_another_accounts_streams_are_left_alone(own_world: World) -> None:
    with Journal.of_home(own_world.home) as journal:
        assert anchor(own_world, journal, own_world.licensee) == []
        assert journal.waiting(1) == 1


def test_a_journal_that_lost_the_anchored_records_is_refused(own_world: World, tmp_path: Path) -> None:
    world = own_world
    record = world.records["late.png"]
    with Journal.of_home(world.home) as journal:
        anchor(world, journal)
    import sqlite3

    connection = sqlite3.connect(world.home.path / "journal.sqlite")
    with connection:
        connection.execute(
            "UPDATE serials SET anchored = 0, "
            " record = CAST(replace(record, '\"steps\":20', '\"steps\":21') AS BLOB)"
            " WHERE stream = ? AND serial = ?",
            (record.stream, record.serial),
        )
    connection.close()
    with Journal.of_home(world.home) as journal, pytest.raises(RecordError, match="the ledger holds other records"):
        anchor(world, journal)


def test_records_signed_under_another_root_are_refused(own_world: World, tmp_path: Path, stranger) -> None:
    world = own_world
    (world.home.path / "identity" / "issuer.pem").write_bytes(stranger.certificates_pem)
    with Journal.of_home(world.home) as journal, pytest.raises(RecordError, match="was signed under another root"):
        anchor(world, journal)


def test_many_records_go_into_several_batches_of_at_most_4096(own_world: World, monkeypatch) -> None:
    world = own_world
    monkeypatch.setattr("provenance.anchoring.MAX_BATCH", 30)
    with Journal.of_home(world.home) as journal:
        for _ in range(70):
            journal.void(1, journal.reserve(1))
        world.issue("last.png", 131, world.maker, world.tokens[0], journal)
        assert [batch.count for batch in anchor(world, journal)] == [30, 30, 12]
    assert world.verify("late.png").verdict is Verdict.AUTHENTIC
    assert world.verify("last.png").verdict is Verdict.AUTHENTIC
