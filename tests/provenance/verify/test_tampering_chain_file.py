"""The embedded chain's own file, edited with SQL by whoever can write to a home: other evidence disagrees."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contracts.artifact import load_artifact
from provenance.errors import ProvenanceError
from provenance.home import Home
from provenance.ledger import open_reader
from provenance.ledger.chain_file import chain_path
from provenance.verify import Report, Verdict

if TYPE_CHECKING:
    from conftest import World


@pytest.fixture
def home(template: World, tmp_path: Path) -> Home:
    shutil.copytree(template.home.path, tmp_path / "home")
    return Home.open(tmp_path / "home")


def edit(home: Home, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(chain_path(home))) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


def verified(world: World, home: Home) -> Report:
    reader = open_reader(home)
    try:
        return world.verify("fish.png", reader=reader)
    finally:
        reader.close()


def selector(event: str) -> str:
    return load_artifact().events[event].selector


REPLACE = "UPDATE logs SET data = replace(data, ?, ?) WHERE instr(data, ?)"


def test_the_copied_chain_verifies(world: World, home: Home) -> None:
    assert verified(world, home).verdict is Verdict.AUTHENTIC


def test_another_batchs_root_is_found(world: World, home: Home) -> None:
    batches = [
        world.reader().batch_covering(r.stream, r.serial) for r in map(world.records.get, ("fish.png", "cup.png"))
    ]
    one, other = (batch.root for batch in batches)
    edit(home, REPLACE, one, other, one)
    report = verified(world, home)
    assert report.verdict is Verdict.TAMPERED
    assert "Merkle proof does not lead to the anchored root" in report.layer("record").detail


def test_another_releases_cid_is_found(world: World, home: Home) -> None:
    one, other = (token.cid.encode().hex() for token in world.tokens)
    edit(home, REPLACE, one, other, one)
    report = verified(world, home)
    assert report.verdict is Verdict.TAMPERED
    assert "the published release has other weights than token 1" in report.layer("adapter").detail


@pytest.mark.parametrize(
    ("event", "verdict", "layer", "message"),
    [
        ("BatchAnchored", Verdict.UNKNOWN, "ledger", "is not anchored yet"),
        ("StreamOpened", Verdict.TAMPERED, "ledger", "was never opened"),
        ("AdapterMinted", Verdict.TAMPERED, "adapter", "there is no token 1"),
    ],
)
def test_a_deleted_event_is_never_genuine(
    world: World, home: Home, event: str, verdict: Verdict, layer: str, message: str
) -> None:
    edit(home, "DELETE FROM logs WHERE topic0 = ?", selector(event))
    report = verified(world, home)
    assert report.verdict is verdict
    assert message in report.layer(layer).detail


@pytest.mark.parametrize("event", ["BatchAnchored", "AdapterMinted"])
@pytest.mark.parametrize("data", ["", "00", "zz", "ff" * 320])
def test_an_event_that_is_not_one_is_never_genuine(world: World, home: Home, event: str, data: str) -> None:
    edit(home, "UPDATE logs SET data = ? WHERE topic0 = ?", data, selector(event))
    try:
        report = verified(world, home)
    except ProvenanceError:
        return
    assert report.verdict in (Verdict.TAMPERED, Verdict.UNKNOWN)


def test_a_chain_with_another_identity_is_another_ledger(world: World, home: Home) -> None:
    edit(home, "UPDATE meta SET value = ? WHERE key = 'chain_id'", "1")
    report = verified(world, home)
    assert report.verdict is Verdict.UNKNOWN
    assert "made on another ledger" in report.layer("ledger").detail
