"""The open_clip filter on a tiny random model, saved on the spot as a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safety.content import open_content_filter, screen_all_or_refuse, screen_or_refuse
from safety.errors import FilterError
from safety.views import square_views
from tests.safety.tiny_clip import policy_for, save_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
Pictures = Callable[[int], np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "model")


def test_scores_are_shares_and_the_same_each_time(folder: Path, scene_of: Pictures) -> None:
    policy = policy_for(folder)
    first, second = open_content_filter(policy, "owner/model"), open_content_filter(policy, "starter")
    assert first.digest == second.digest
    for seed in range(3):
        decision = screen_or_refuse(first, scene_of(seed))
        assert set(decision.scores) == {concept.name for concept in policy.concepts}
        assert all(0 < score < 1 for score in decision.scores.values())
        assert decision == screen_or_refuse(second, scene_of(seed))


def test_a_batch_scores_like_its_pictures_alone(folder: Path, scene_of: Pictures) -> None:
    content_filter = open_content_filter(policy_for(folder), "x/y")
    pictures = [scene_of(1), scene_of(2)[:100], scene_of(3)[:, :90], scene_of(4)[:31, :256]]
    for picture, decision in zip(pictures, screen_all_or_refuse(content_filter, pictures), strict=True):
        alone = screen_or_refuse(content_filter, picture)
        assert decision.scores == pytest.approx(alone.scores, abs=1e-5)
        assert decision.allowed == alone.allowed
    assert screen_all_or_refuse(content_filter, []) == []


def test_the_threshold_decides(folder: Path, scene_of: Pictures) -> None:
    strict = open_content_filter(policy_for(folder, block=1e-6), "x/y")
    lax = open_content_filter(policy_for(folder, block=1.0), "x/y")
    blocked = screen_or_refuse(strict, scene_of(1))
    assert blocked.rule in {f"{c.name}/score" for c in strict.policy.concepts}
    assert screen_or_refuse(lax, scene_of(1)).allowed


def test_the_reason_names_concept_stage_score_and_threshold(folder: Path, scene_of: Pictures) -> None:
    blocked = screen_or_refuse(open_content_filter(policy_for(folder, block=0.001), "x/y"), scene_of(1), "train")
    worst = str(blocked.rule).removesuffix("/score")
    assert blocked.reason == (
        f"the picture shows {worst} (stage train): score {blocked.scores[worst]:.3f}, allowed below 0.001"
    )
    assert blocked.margins[worst] == pytest.approx(0.001 - blocked.scores[worst])


def test_the_decision_names_the_model_apart_from_what_scores_with_it(folder: Path, scene_of: Pictures) -> None:
    content_filter = open_content_filter(policy_for(folder), "x/y")
    decision = screen_or_refuse(content_filter, scene_of(1))
    assert (decision.model_digest, decision.filter_digest) == (content_filter.model_digest, content_filter.digest)
    assert decision.model_digest != decision.filter_digest


@pytest.mark.parametrize("side", [0, 1])
def test_no_part_of_a_long_picture_is_unseen(folder: Path, scene_of: Pictures, side: int) -> None:
    content_filter = open_content_filter(policy_for(folder), "x/y")
    plain = np.full((64, 64, 3), 200, np.uint8)
    shown = scene_of(5)[64:128, 64:128]
    parts = [shown, plain, plain, plain] if side == 0 else [plain, plain, plain, shown]
    for axis in (0, 1):
        long = screen_or_refuse(content_filter, np.concatenate(parts, axis=axis)).scores
        alone = screen_or_refuse(content_filter, shown).scores
        assert all(long[name] >= alone[name] - 1e-5 for name in alone)


@pytest.mark.parametrize("shape", [(32, 32), (32, 33), (48, 64), (300, 50), (50, 1600)])
def test_square_views_hold_every_pixel(shape: tuple[int, int]) -> None:
    numbers = np.arange(shape[0] * shape[1]).reshape(*shape, 1).repeat(3, axis=2)
    views = square_views(numbers)
    assert {view.shape for view in views} == {(min(shape), min(shape), 3)}
    assert set(np.concatenate([view.ravel() for view in views])) == set(range(shape[0] * shape[1]))
    assert len(views) == 1 or shape[0] != shape[1]


def test_a_picture_too_narrow_to_be_seen_blocks(folder: Path) -> None:
    decision = screen_or_refuse(open_content_filter(policy_for(folder), "x/y"), np.full((2000, 8, 3), 9, np.uint8))
    assert (decision.allowed, decision.rule) == (False, "error")
    assert "too narrow" in decision.reason


def test_missing_weights_block_instead_of_becoming_random(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    with pytest.raises(FilterError, match="nothing is generated"):
        open_content_filter(policy_for(tmp_path), "x/y")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_weights_that_give_no_picture_a_direction_block(tmp_path: Path, scene_of: Pictures, value: float) -> None:
    def broken(state: dict[str, Any]) -> None:
        state["visual.proj"].fill_(value)

    content_filter = open_content_filter(policy_for(save_tiny_clip(tmp_path / "model", broken)), "x/y")
    decision = screen_or_refuse(content_filter, scene_of(1))
    assert (decision.allowed, decision.rule) == (False, "error")
    assert "gives no direction" in decision.reason


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_weights_that_give_no_text_a_direction_are_refused(tmp_path: Path, value: float) -> None:
    def broken(state: dict[str, Any]) -> None:
        state["text_projection"].fill_(value)

    with pytest.raises(FilterError, match="no direction"):
        open_content_filter(policy_for(save_tiny_clip(tmp_path / "model", broken)), "x/y")


def test_the_digest_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    def moved(state: dict[str, Any]) -> None:
        state["visual.proj"][0, 0] += 1e-3

    changed = open_content_filter(policy_for(save_tiny_clip(tmp_path / "model", moved)), "x/y")
    same = open_content_filter(policy_for(folder), "x/y")
    assert changed.digest != same.digest
    assert changed.model_digest != same.model_digest
