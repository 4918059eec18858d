from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.watermark import drawn, trials
from benchmarks.watermark.journal import Journal
from benchmarks.watermark.pictures import Picture
from benchmarks.watermark.scope import Scope
from benchmarks.watermark.suite import NONE
from benchmarks.watermark.summary import of_trials
from benchmarks.watermark.systems import chosen, code_digest
from provenance.errors import UsageError
from safety.errors import WatermarkError

SYSTEM = "dwtDctSvd"
PICTURE = Picture("scene", "scenes", partial(drawn.scene, 3, 256))
ATTACKS = (NONE, "JPEG 50", "rotation 30°")


def quiet(done: int, total: int) -> None:
    assert done <= total


def run(journal: Journal, picture: Picture = PICTURE, jobs: int = 1) -> None:
    trials.run(trials.plan([SYSTEM], [picture], ATTACKS, journal), journal, jobs, quiet)


def test_a_mark_that_survives_is_counted_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    run(journal)
    figures = of_trials(journal, [SYSTEM], ["scenes"])["systems"][SYSTEM]
    readings = figures["readings"]["scenes"]
    assert [readings[name]["exact"] for name in ATTACKS] == [1, 1, 0]
    assert [readings[name]["n"] for name in ATTACKS] == [1, 1, 1]
    assert readings[NONE]["log10p"][0] < -9
    assert readings["rotation 30°"]["log10p"][0] > -9
    assert figures["quality"]["scenes"]["psnr"] > 35


def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run(Journal(path))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    # Stopped while the last line was being written.
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    journal = Journal(path)
    (missing,) = trials.plan([SYSTEM], [PICTURE], ATTACKS, journal)
    assert missing.attacks == ("rotation 30°",)
    run(journal)
    assert trials.plan([SYSTEM], [PICTURE], ATTACKS, Journal(path)) == []
    assert len(path.read_bytes().splitlines()) == len(lines)


def test_results_of_other_code_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    run(journal)
    monkeypatch.setattr(trials, "code_digest", lambda name: "another")
    assert len(trials.plan([SYSTEM], [PICTURE], ATTACKS, journal)) == 1


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    alone, together = Journal(tmp_path / "alone.jsonl"), Journal(tmp_path / "together.jsonl")
    run(alone)
    run(together, jobs=2)

    def outcomes(journal: Journal) -> dict[str, object]:
        return {result["what"]: (result.get("p"), result.get("psnr")) for result in journal}

    assert outcomes(alone) == outcomes(together)


def test_a_picture_that_cannot_carry_a_mark_counts_as_not_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results.jsonl")
    tiny = Picture("tiny", "scenes", partial(np.zeros, (40, 40, 3), np.uint8))
    run(journal, tiny)
    assert all(result["refused"] and not result["exact"] for result in journal)
    readings = of_trials(journal, [SYSTEM], ["scenes"])["systems"][SYSTEM]["readings"]["scenes"]
    assert readings[NONE]["exact"] == 0
    assert readings[NONE]["n"] == 1


def test_the_digest_of_a_system_is_its_own() -> None:
    assert len({code_digest(name) for name in ("pixel", "dwtDctSvd", "rivaGan", "rivaGan32")}) == 4


def test_an_unknown_backend_is_wrong_usage() -> None:
    with pytest.raises((UsageError, WatermarkError), match="nothing"):
        chosen("dwtDctSvd,nothing")
    assert chosen("dwtDctSvd, dwtDctSvd") == ("dwtDctSvd",)


def test_a_whole_run_covers_every_kind_of_picture_and_bounds_the_slow_ones() -> None:
    stages = Scope(("dwtDctSvd", "rivaGan")).stages()
    main, slow, *others = stages
    assert main.systems == ("dwtDctSvd",)
    assert len(main.pictures) == 28
    assert slow.systems == ("rivaGan", "rivaGan32")
    assert len(slow.pictures) < len(main.pictures)
    assert {stage.pictures[0].set for stage in others} == {
        "photographs 256²",
        "photographs 1024²+",
        "drawn scenes",
        "starter samples",
        "text",
        "flat",
        "dark",
        "saturated",
    }


def test_n_bounds_the_pictures_of_every_kind() -> None:
    assert all(len(stage.pictures) <= 2 for stage in Scope(("dwtDctSvd", "rivaGan"), most=2).stages())
