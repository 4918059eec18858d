from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation.audit import drawing
from generation.audit.drawing import Draw, Progress, Studio
from generation.audit.model import AuditedModel
from generation.errors import PromptBlocked
from generation.sampling import Sampling
from provenance.home import Home
from safety.clip_model import ClipModel
from safety.errors import FilterError
from safety.policy import open_policy

DRAWS = [Draw(f"a {colour} fish in the desert", seed) for seed, colour in enumerate(("red", "blue", "green"))]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "BATCH", 2)


def quiet(done: int, total: int) -> None:
    return None


def refuse(*_: Any) -> Any:
    raise AssertionError("nothing is to be drawn")


@pytest.mark.usefixtures("small")
def test_a_stopped_audit_draws_only_what_is_missing(
    studio: Studio, starter: AuditedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.draw(starter, DRAWS, stop)
    assert len(list((tmp_path / "work").iterdir())) == 1
    drawn = studio.draw(starter, DRAWS, quiet)
    assert drawn.views.shape == (3, 128, 128, 3)
    assert drawn.norms.shape == (3, 3)
    assert drawn.latents.shape == (3, 4 * 16 * 16)
    assert np.linalg.norm(drawn.clip, axis=1) == pytest.approx(1, abs=1e-5)
    monkeypatch.setattr(drawing, "load_pipeline", refuse)
    again = studio.draw(starter, DRAWS, quiet)
    assert all(np.array_equal(getattr(drawn, name), getattr(again, name)) for name in drawing.ARRAYS)


def test_what_was_measured_and_cut_short_is_measured_again(
    studio: Studio, starter: AuditedModel, tmp_path: Path
) -> None:
    first = studio.draw(starter, DRAWS[:1], quiet)
    (kept,) = (tmp_path / "work").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    again = studio.draw(starter, DRAWS[:1], quiet)
    assert np.array_equal(first.latents, again.latents)


def test_another_seed_or_step_is_another_picture(
    studio: Studio, starter: AuditedModel, home: Home, clip: ClipModel, tmp_path: Path
) -> None:
    more = Studio(home, studio.policy, clip, "starter", Sampling(4, 3.0), tmp_path / "work")
    drawn = [
        studio.draw(starter, DRAWS[:1], quiet).latents,
        studio.draw(starter, [Draw(DRAWS[0].prompt, 99)], quiet).latents,
        more.draw(starter, DRAWS[:1], quiet).latents,
    ]
    assert len({rows.tobytes() for rows in drawn}) == 3


def test_a_blocked_picture_is_counted_and_logged_and_nothing_of_it_is_kept(
    home: Home, clip: ClipModel, starter: AuditedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "screen_prompts", lambda *_: {})
    studio = Studio(home, open_policy(None, "starter"), clip, "starter", Sampling(6, 3.0), tmp_path / "work")
    drawn = studio.draw(starter, [Draw("a skull in the desert", 1), DRAWS[1]], quiet)
    assert drawn.blocked.tolist() == [True, False]
    for rows in (drawn.views, drawn.clip, drawn.latents):
        assert not rows[0].any()
        assert rows[1].any()
    assert len((home.path / "safety.log").read_bytes().splitlines()) == 1


def test_a_filter_that_fails_ends_the_audit(
    studio: Studio, starter: AuditedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(studio._filter, "screen_batch", broken)
    with pytest.raises(FilterError, match="cannot be screened"):
        studio.draw(starter, DRAWS[:1], quiet)


def test_a_blocked_prompt_is_never_drawn(
    studio: Studio, starter: AuditedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "load_pipeline", refuse)
    with pytest.raises(PromptBlocked):
        studio.draw(starter, [*DRAWS, Draw("a red skull at night", 9)], quiet)


def test_progress_counts_pictures(studio: Studio, starter: AuditedModel, quiet: Callable[[str], Progress]) -> None:
    told: list[tuple[int, int]] = []
    studio.draw(starter, DRAWS, lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
