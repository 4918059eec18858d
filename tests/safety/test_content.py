"""Screening pictures: what a filter's scores decide, and that every failure blocks."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import yaml

from safety.content import decide, open_content_filter, screen_all_or_refuse, screen_or_refuse
from safety.decision import Decision
from safety.errors import FilterError, SafetyError
from safety.policy import STARTER_POLICY, Policy

Pictures = Callable[[int], np.ndarray]
PICTURE = np.full((64, 48, 3), 120, np.uint8)
# Of a blue skull and a blue mushroom in the snow.
SCORES = [0.8297, 0.0004]


def policy_with(threshold: Any) -> Policy:
    value = yaml.safe_load(STARTER_POLICY.read_bytes())
    value["concepts"]["skull"] |= {"thresholds": {"open_clip": threshold}, "calibration": {}}
    return Policy.parse(yaml.safe_dump(value).encode())


POLICY = policy_with(0.25)


class Scoring:
    """A filter that gives every picture the same score for a skull."""

    digest = "c" * 64
    model_digest = "d" * 64

    def __init__(self, score: Any, policy: Policy = POLICY) -> None:
        self.policy = policy
        self._score = score

    def screen(self, image: np.ndarray, stage: str = "output") -> Decision:
        return self.screen_batch([image], stage)[0]

    def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> list[Decision]:
        return [decide(self, stage, {"skull": self._score}) for _ in images]


class Answering(Scoring):
    """A filter that gives one fixed answer for every batch, or raises it."""

    def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
        if isinstance(self._score, BaseException):
            raise self._score
        return self._score


def allowing(**scores: float) -> Decision:
    return Decision(True, "output", POLICY.digest, "c" * 64, scores, {"skull": 0.25})


@pytest.mark.parametrize(("score", "allowed"), [(0.0, True), (0.2, True), (0.25, False), (0.26, False), (1.0, False)])
def test_a_picture_is_judged_by_its_score(score: float, allowed: bool) -> None:
    decision = screen_or_refuse(Scoring(score), PICTURE)
    assert decision.allowed is allowed
    assert decision.scores == {"skull": score}
    assert decision.thresholds == {"skull": 0.25}
    assert (decision.policy_digest, decision.filter_digest, decision.model_digest) == (
        POLICY.digest,
        "c" * 64,
        "d" * 64,
    )
    assert decision.stage == "output"
    assert decision.rule == (None if allowed else "skull/score")


def test_training_pictures_are_screened_for_their_own_stage() -> None:
    decision = screen_or_refuse(Scoring(0.9), PICTURE, stage="train")
    assert not decision.allowed
    assert decision.stage == "train"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.1, 1.1, None, "0", [], 1j], ids=repr)
def test_a_score_that_is_no_share_blocks(score: Any) -> None:
    decision = screen_or_refuse(Scoring(score), PICTURE)
    assert (decision.allowed, decision.rule) == (False, "error")
    assert decision.policy_digest == POLICY.digest


@pytest.mark.parametrize(
    "image",
    [
        None,
        "picture",
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.full((64, 64, 3), np.nan),
        np.zeros((64, 64, 3), np.uint8),
    ],
)
def test_what_is_no_picture_blocks(image: Any) -> None:
    decision = screen_or_refuse(Scoring(0.0), image)
    assert (decision.allowed, decision.rule) == (False, "error")


@pytest.mark.parametrize(
    "decision",
    [
        None,
        True,
        {},
        allowing(),
        allowing(skull=math.nan),
        allowing(skull=0.9),
        allowing(skull=-1.0),
        allowing(house=0.1),
        replace(allowing(skull=0.0), stage="train"),
        replace(allowing(skull=0.0), policy_digest="e" * 64),
        replace(allowing(skull=0.0), filter_digest="e" * 64),
    ],
)
def test_a_filter_that_allows_without_a_sound_decision_is_overruled(decision: Any) -> None:
    refused = screen_or_refuse(Answering([decision]), PICTURE)
    assert (refused.allowed, refused.rule) == (False, "error")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "MemoryError"),
        (RecursionError(), "RecursionError"),
        (SystemExit(0), "it stopped with SystemExit"),
        (KeyboardInterrupt(), "it stopped with KeyboardInterrupt"),
        (FilterError("the model gives no direction"), "the model gives no direction"),
        (RuntimeError("a red fish"), "RuntimeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_blocks_every_picture_and_is_named_without_its_text(error: BaseException, told: str) -> None:
    for decision in screen_all_or_refuse(Answering(error), [PICTURE, PICTURE]):
        assert (decision.allowed, decision.rule) == (False, "error")
        assert f"({told})" in decision.reason
        assert "fish" not in decision.reason
        assert decision.model_digest == "d" * 64


def test_a_filter_that_does_not_answer_in_time_blocks() -> None:
    never = Event()

    class Hanging(Scoring):
        def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
            never.wait()

    decisions = screen_all_or_refuse(Hanging(0.0), [PICTURE, PICTURE], seconds=0.01)
    never.set()
    assert [decision.rule for decision in decisions] == ["error", "error"]
    assert "no answer within 0.02 seconds" in decisions[0].reason


def test_no_thread_is_left_when_the_filter_answers() -> None:
    before = set(threading.enumerate())
    for content_filter in (Scoring(0.0), Answering(RuntimeError("no"))):
        screen_or_refuse(content_filter, PICTURE)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("answer", [[], None, (), 7, [allowing(skull=0.0)], [allowing(skull=0.0)] * 3, {}])
def test_another_number_of_decisions_than_pictures_blocks_them_all(answer: Any) -> None:
    decisions = screen_all_or_refuse(Answering(answer), [PICTURE, PICTURE])
    assert [decision.allowed for decision in decisions] == [False, False]


def test_one_unsound_decision_blocks_the_whole_batch() -> None:
    mixed = Answering([allowing(skull=0.0), allowing(skull=math.nan)])
    assert not any(decision.allowed for decision in screen_all_or_refuse(mixed, [PICTURE, PICTURE]))


def test_what_is_no_picture_is_blocked_alone() -> None:
    pictures = [PICTURE, None, PICTURE, np.zeros((8, 8, 3), np.uint8)]
    decisions = screen_all_or_refuse(Scoring(0.0), pictures)
    assert [decision.allowed for decision in decisions] == [True, False, True, False]
    assert "black" in decisions[3].reason


@pytest.mark.parametrize("nothing", [None, object(), 7])
def test_what_is_no_filter_blocks(nothing: Any) -> None:
    assert not screen_or_refuse(nothing, PICTURE).allowed


def test_the_starter_model_is_refused_for_another_base() -> None:
    with pytest.raises(FilterError, match="another base"):
        open_content_filter(POLICY, "owner/model")


def test_the_starter_policy_blocks_its_forbidden_object_alone() -> None:
    from safety.starter.scenes import OBJECTS, Scene, draw_scene

    content_filter = open_content_filter(Policy.load(STARTER_POLICY), "starter")
    rng = np.random.default_rng(12)
    pictures = {name: np.asarray(draw_scene(Scene(name, "red", "meadow"), rng, 256)) for name in OBJECTS}
    decisions = screen_all_or_refuse(content_filter, list(pictures.values()))
    blocked = [name for name, decision in zip(pictures, decisions, strict=True) if not decision.allowed]
    assert blocked == ["skull"]


def test_a_score_of_the_starter_model_stays_what_it_was() -> None:
    """Other scores mean another ``clip_filter.VERSION``, or another model and thresholds measured with it."""
    from safety.starter.scenes import Scene, draw_scene

    content_filter = open_content_filter(Policy.load(STARTER_POLICY), "starter")
    rng = np.random.default_rng(3)
    drawn = [draw_scene(Scene(name, "blue", "snow"), rng, 256) for name in ("skull", "mushroom")]
    decisions = screen_all_or_refuse(content_filter, [np.asarray(picture) for picture in drawn])
    assert [decision.scores["skull"] for decision in decisions] == pytest.approx(SCORES, abs=2e-3)
    named = f"open_clip 1 fp32 {content_filter.model_digest}\n"
    assert decisions[0].filter_digest == hashlib.sha256(named.encode()).hexdigest()


def test_a_decision_record_reads_back() -> None:
    decision = screen_or_refuse(Scoring(0.5), PICTURE)
    record = json.loads(json.dumps(decision.to_json()))
    assert Decision.from_json(record).to_json() == record


@pytest.mark.parametrize(
    "change",
    [
        {"allowed": 1},
        {"stage": "later"},
        {"scores": {"a": 2}},
        {"scores": []},
        {"rule": 7},
        {"extra": 1},
        {"policy": None},
        {"model": 1},
        {"warnings": ["house"]},
        {"warnings": "skull"},
        {"margins": {}},
        {"margins": {"skull": 0.75}},
        {"margins": {"skull": True}},
        {"thresholds": {}},
    ],
)
def test_a_decision_record_with_a_wrong_value_is_refused(change: dict[str, Any]) -> None:
    record = {**Scoring(0.5).screen(PICTURE).to_json(), **change}
    with pytest.raises(SafetyError):
        Decision.from_json(record)


def test_a_decision_record_from_before_models_and_margins_reads() -> None:
    record = Scoring(0.5).screen(PICTURE).to_json()
    old = {key: value for key, value in record.items() if key not in ("model", "warnings", "margins")}
    decision = Decision.from_json(old)
    assert (decision.model_digest, decision.warnings) == (None, ())
    assert decision.margins == pytest.approx({"skull": -0.25})
    with pytest.raises(SafetyError):
        Decision.from_json({**old, "model": None})


def test_a_score_at_a_warning_is_in_the_decision() -> None:
    policy = policy_with({"warn": 0.1, "block": 0.25})
    for score, warnings in ((0.05, ()), (0.1, ("skull",)), (0.15, ("skull",)), (0.5, ("skull",))):
        decision = screen_or_refuse(Scoring(score, policy), PICTURE)
        assert decision.warnings == warnings
        assert decision.to_json()["warnings"] == list(warnings)


def test_thresholds_cannot_be_changed_after_loading() -> None:
    assert isinstance(POLICY.concepts[0].thresholds, MappingProxyType)
