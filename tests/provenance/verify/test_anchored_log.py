"""Batches bring the head of the log of what was blocked, so that nobody cuts that log unnoticed, its owner included."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from cli.main import app
from provenance.anchoring import anchor_pending, anchored_log_heads
from provenance.batch import LOG_HEAD, read_log_head
from provenance.errors import FormatError
from provenance.journal import Journal
from provenance.ledger.protocol import Batch
from provenance.stores import MemoryStore, add_tree
from provenance.verify import Verdict
from safety.decision import Decision
from safety.errors import SafetyError
from safety.log import BlockedLog
from safety.log_head import head_path

if TYPE_CHECKING:
    from conftest import World

BLOCKED = Decision(False, "prompt", "a" * 64, "b" * 64, rule="skull/term:skull", reason="the prompt asks for skull")


@pytest.fixture
def own_world(make_world: Callable[[Path], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    built = make_world(tmp_path / "world")
    monkeypatch.setenv("PROV_HOME", str(built.home.path))
    yield built
    built.ledger.close()


def block(world: World, count: int, hmac: str = "c" * 64) -> str:
    return [BlockedLog(world.home.safety_log).append(BLOCKED, hmac=hmac) for _ in range(count)][-1]


def anchor(world: World) -> list[Batch]:
    with Journal.of_home(world.home) as journal:
        return anchor_pending(world.home, world.ledger, world.store, journal, world.maker)


def audit(code: int) -> dict:
    result = CliRunner().invoke(app, ["audit", "verify", "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_batches_before_anything_was_blocked_bring_no_head(own_world: World) -> None:
    assert anchored_log_heads(own_world.home, own_world.reader(), own_world.store) == []
    assert audit(0)["entries"] == 0


def test_a_batch_brings_the_head_and_verifies_as_before(own_world: World) -> None:
    head = block(own_world, 3)
    (batch,) = anchor(own_world)
    assert read_log_head(own_world.store, batch) == head
    assert own_world.verify("late.png").verdict is Verdict.AUTHENTIC
    block(own_world, 2)
    assert audit(0)["entries"] == 5


def test_a_log_cut_or_written_anew_with_its_head_is_missed_by_what_was_anchored(own_world: World) -> None:
    head = block(own_world, 3)
    (batch,) = anchor(own_world)
    log = own_world.home.safety_log
    lines = log.read_bytes().splitlines(keepends=True)
    head_path(log).unlink()
    log.write_bytes(b"".join(lines[:2]))
    (fault,) = audit(1)["faults"]
    assert fault["kind"] == "cut"
    assert f"no entry has the hash {head} (stream {batch.stream}, serials {batch.first} to" in fault["detail"]
    log.unlink()
    # The same entries written in the same second would be the same log.
    block(own_world, 5, hmac="d" * 64)
    assert [fault["kind"] for fault in audit(1)["faults"]] == ["cut"]
    log.write_bytes(b"".join(lines))
    head_path(log).unlink()
    assert audit(0)["faults"] == []


def test_a_log_that_was_cut_is_not_anchored_over(own_world: World) -> None:
    block(own_world, 3)
    log = own_world.home.safety_log
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(SafetyError, match="was cut or changed"):
        anchor(own_world)
    assert own_world.verify("late.png").verdict is Verdict.UNKNOWN


def test_a_batch_that_brings_something_else_is_refused() -> None:
    store = MemoryStore()
    for content in (b"", b"abc\n", b"A" * 64 + b"\n", b"a" * 64, b"\xff" * 65):
        cid = str(add_tree(store, {LOG_HEAD: content}))
        with pytest.raises(FormatError, match="is no head"):
            read_log_head(store, Batch(1, 0, 1, "00" * 32, cid, 0, "0x0", 1))


def test_without_the_ledger_the_log_is_checked_and_the_rest_is_said(own_world: World) -> None:
    block(own_world, 2)
    own_world.ledger.close()
    for path in (own_world.home.path / "chain").iterdir():
        path.unlink()
    report = audit(0)
    assert report["entries"] == 2
    assert "heads that were anchored could not be asked for" in report["notes"][0]
