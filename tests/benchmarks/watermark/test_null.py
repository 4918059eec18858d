from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.watermark import drawn, null
from benchmarks.watermark.journal import Journal
from benchmarks.watermark.null_table import threshold
from benchmarks.watermark.pictures import Picture
from benchmarks.watermark.uncharged import tails
from provenance.errors import UsageError

PICTURES = [Picture(f"scene {n}", "scenes", partial(drawn.scene, n, 256)) for n in range(2)]


def made(path: Path, name: str, decisions: int) -> tuple[Journal, list[null.Unit]]:
    journal = Journal(path)
    units = null.plan(name, PICTURES, decisions)
    null.run(units, journal, 1, lambda done, total: None)
    return journal, units


def test_every_decision_is_counted_and_none_is_a_detection(tmp_path: Path) -> None:
    journal, units = made(tmp_path / "results.jsonl", "dwtDctSvd", 45)
    found = null.of_journal(journal, units)
    assert found["decisions"] == 45
    assert sum(found["histogram"].values()) == 45
    assert found["below"] == {"0.001": 0, "1e-06": 0, "1e-09": 0}
    assert {kind: of["decisions"] for kind, of in found["series"].items()} == {"random keys": 44, "true key": 1}


def test_decisions_already_made_are_not_made_again(tmp_path: Path) -> None:
    made(tmp_path / "results.jsonl", "dwtDctSvd", 30)
    before = (tmp_path / "results.jsonl").read_bytes()
    made(tmp_path / "results.jsonl", "dwtDctSvd", 30)
    assert (tmp_path / "results.jsonl").read_bytes() == before


def test_a_backend_that_reads_many_keys_at_once_is_asked_for_many(tmp_path: Path) -> None:
    journal, units = made(tmp_path / "results.jsonl", "rivaGan", 60)
    assert [unit.decisions for unit in units] == [59, 1]
    assert null.of_journal(journal, units)["decisions"] == 60


def test_what_has_no_p_values_makes_no_decisions() -> None:
    with pytest.raises(UsageError, match="no p-values"):
        null.plan("rivaGan32", PICTURES, 10)


def test_the_threshold_lets_at_most_one_in_a_thousand_through() -> None:
    histogram = {"-12": 1, "-8": 4, "-4": 90, "0": 9905}
    assert threshold({"decisions": 10_000, "histogram": histogram}) == -5 / 4


def test_without_any_small_p_value_the_threshold_stays_below_one() -> None:
    assert threshold({"decisions": 1000, "histogram": {"0": 1000}}) == -1 / 4


def test_when_all_are_small_nothing_is_let_through() -> None:
    assert threshold({"decisions": 100, "histogram": {"-20": 100}}) == -21 / 4


def test_the_tail_of_a_payload_named_beforehand_is_never_too_small() -> None:
    rng = np.random.default_rng(6)
    found = np.array(tails(PICTURES[0].load(), [rng.bytes(16) for _ in range(1_000)]))
    # A third of p is expected of the bound; p itself would already be four deviations off.
    assert 10 <= (found <= 0.1).sum() <= 70
    assert (found <= 0.001).sum() <= 3


def test_tails_are_told_apart_from_decisions(tmp_path: Path) -> None:
    journal, units = made(tmp_path / "results.jsonl", "pixel", 40)
    found = null.of_journal(journal, units)
    assert (found["decisions"], found["uncharged"]["decisions"]) == (40, 4)
