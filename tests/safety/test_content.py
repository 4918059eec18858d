"""The content filters: what they decide, and that every failure blocks."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import yaml

from safety.content import open_content_filter, screen_all_or_refuse, screen_or_refuse
from safety.decision import Decision
from safety.errors import FilterError, SafetyError
from safety.policy import STARTER_POLICY, Policy
from safety.starter.classifier import LABELS
from safety.starter_filter import StarterContentFilter

Pictures = Callable[[int], np.ndarray]
POLICY = Policy.load(STARTER_POLICY)
PICTURE = np.full((64, 48, 3), 120, np.uint8)


class Answering:
    """A classifier that gives one fixed answer."""

    labels = LABELS

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def object_probabilities(self, images: np.ndarray) -> Any:
        assert images.shape == (1, *PICTURE.shape)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


def shares(skull: float) -> np.ndarray:
    answer = np.full((1, len(LABELS)), (1 - skull) / (len(LABELS) - 1), np.float32)
    answer[0, LABELS.index("skull")] = skull
    return answer


def filter_answering(answer: Any) -> StarterContentFilter:
    return StarterContentFilter(POLICY, Answering(answer), "f" * 64)


@pytest.mark.parametrize(("skull", "allowed"), [(0.0, True), (0.2, True), (0.26, False), (1.0, False)])
def test_a_picture_is_judged_by_the_share_of_forbidden_classes(skull: float, allowed: bool) -> None:
    decision = screen_or_refuse(filter_answering(shares(skull)), PICTURE)
    assert decision.allowed is allowed
    assert decision.scores["skull"] == pytest.approx(skull, abs=1e-6)
    assert decision.thresholds == {"skull": 0.25}
    assert decision.policy_digest == POLICY.digest
    assert decision.filter_digest == "f" * 64
    assert decision.stage == "output"
    assert decision.rule == (None if allowed else "skull/score")


def test_a_score_at_the_threshold_blocks() -> None:
    assert not screen_or_refuse(filter_answering(shares(0.25)), PICTURE).allowed


def test_training_pictures_are_screened_for_their_own_stage() -> None:
    decision = screen_or_refuse(filter_answering(shares(0.9)), PICTURE, stage="train")
    assert not decision.allowed
    assert decision.stage == "train"


def with_one(value: float) -> np.ndarray:
    answer = shares(0.0)
    answer[0, 0] = value
    return answer


FAULTS = {
    "it raises": RuntimeError("no"),
    "memory is out": MemoryError(),
    "deep recursion": RecursionError(),
    "it gives None": None,
    "it gives text": "fine",
    "NaN": with_one(math.nan),
    "all NaN": np.full((1, len(LABELS)), np.nan),
    "infinity": with_one(math.inf),
    "negative": with_one(-1.0),
    "sum above 1": with_one(3.0),
    "sum below 1": np.zeros((1, len(LABELS))),
    "logits": shares(0.0) * 7,
    "too few classes": np.full((1, len(LABELS) - 1), 1 / (len(LABELS) - 1)),
    "two pictures": np.repeat(shares(0.0), 2, axis=0),
    "no batch": shares(0.0)[0],
    "empty": np.zeros((0, len(LABELS))),
    "scalar": np.float32(0.0),
    "complex": shares(0.0).astype(np.complex64) * 1j,
}


@pytest.mark.parametrize("answer", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_whatever_goes_wrong_in_the_classifier_blocks(answer: Any) -> None:
    decision = screen_or_refuse(filter_answering(answer), PICTURE)
    assert not decision.allowed
    assert decision.rule == "error"
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
    ],
)
def test_what_is_no_picture_blocks(image: Any) -> None:
    decision = screen_or_refuse(filter_answering(shares(0.0)), image)
    assert not decision.allowed
    assert decision.rule == "error"


class Careless:
    """A filter that allows, with whatever scores it is given."""

    digest = "c" * 64
    model_digest = "d" * 64
    policy = POLICY

    def __init__(self, decision: Any) -> None:
        self._decision = decision

    def screen(self, image: np.ndarray, stage: str = "output") -> Any:
        return self._decision

    def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
        return [self._decision] * len(images)


def allowing(**scores: float) -> Decision:
    return Decision(True, "output", POLICY.digest, "c" * 64, scores, {"skull": 0.99})


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
    ],
)
def test_a_filter_that_allows_without_sound_scores_is_overruled(decision: Any) -> None:
    refused = screen_or_refuse(Careless(decision), PICTURE)
    assert not refused.allowed
    assert refused.rule == "error"


class Raising(Careless):
    """A filter that raises, whatever it is asked."""

    def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
        raise self._decision


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "MemoryError"),
        (SystemExit(0), "it stopped with SystemExit"),
        (KeyboardInterrupt(), "it stopped with KeyboardInterrupt"),
        (FilterError("the model gives no direction"), "the model gives no direction"),
        (RuntimeError("a red fish"), "RuntimeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_blocks_every_picture_and_is_named_without_its_text(error: BaseException, told: str) -> None:
    for decision in screen_all_or_refuse(Raising(error), [PICTURE, PICTURE]):
        assert (decision.allowed, decision.rule) == (False, "error")
        assert f"({told})" in decision.reason
        assert "fish" not in decision.reason
        assert decision.model_digest == "d" * 64


def test_a_filter_that_does_not_answer_in_time_blocks() -> None:
    never = Event()

    class Hanging(Careless):
        def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
            never.wait()

    decisions = screen_all_or_refuse(Hanging(None), [PICTURE, PICTURE], seconds=0.01)
    never.set()
    assert [decision.rule for decision in decisions] == ["error", "error"]
    assert "no answer within 0.02 seconds" in decisions[0].reason


def test_no_thread_is_left_when_the_filter_answers() -> None:
    before = threading.active_count()
    for answer in (shares(0.0), RuntimeError("no")):
        screen_or_refuse(filter_answering(answer), PICTURE)
    assert threading.active_count() == before


@pytest.mark.parametrize("answer", [[], None, (), 7, [allowing(skull=0.0)], [allowing(skull=0.0)] * 3, {}])
def test_another_number_of_decisions_than_pictures_blocks_them_all(answer: Any) -> None:
    class Miscounting(Careless):
        def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
            return answer

    decisions = screen_all_or_refuse(Miscounting(None), [PICTURE, PICTURE])
    assert [decision.allowed for decision in decisions] == [False, False]


def test_one_unsound_decision_blocks_the_whole_batch() -> None:
    class Mixed(Careless):
        def screen_batch(self, images: Sequence[np.ndarray], stage: str = "output") -> Any:
            return [allowing(skull=0.0), allowing(skull=math.nan)]

    assert not any(decision.allowed for decision in screen_all_or_refuse(Mixed(None), [PICTURE, PICTURE]))


def test_what_is_no_picture_is_blocked_alone() -> None:
    decisions = screen_all_or_refuse(
        Careless(allowing(skull=0.0)), [PICTURE, None, PICTURE, np.zeros((8, 8, 3), np.uint8)]
    )
    assert [decision.allowed for decision in decisions] == [True, False, True, False]
    assert "black" in decisions[3].reason


@pytest.mark.parametrize("field", ["policy_digest", "filter_digest"])
def test_a_decision_by_another_policy_or_filter_does_not_count(field: str) -> None:
    assert not screen_or_refuse(Careless(replace(allowing(skull=0.0), **{field: "e" * 64})), PICTURE).allowed


def test_a_decision_for_another_stage_does_not_count() -> None:
    other = Decision(True, "train", POLICY.digest, "c" * 64, {"skull": 0.0}, {"skull": 0.25})
    assert not screen_or_refuse(Careless(other), PICTURE).allowed


@pytest.mark.parametrize("nothing", [None, object(), 7])
def test_what_is_no_filter_blocks(nothing: Any) -> None:
    assert not screen_or_refuse(nothing, PICTURE).allowed


def test_a_label_that_the_classifier_lacks_is_refused_at_once() -> None:
    value = yaml.safe_load(STARTER_POLICY.read_bytes())
    value["concepts"]["skull"]["labels"] = ["dragon"]
    with pytest.raises(FilterError, match="skull") as refusal:
        StarterContentFilter(Policy.parse(yaml.safe_dump(value).encode()), Answering(shares(0.0)), "f" * 64)
    assert "dragon" in str(refusal.value)


def test_the_starter_filter_is_refused_for_another_base() -> None:
    with pytest.raises(FilterError, match="another base"):
        open_content_filter(POLICY, "owner/model")


@pytest.mark.parametrize("content", [None, b"", b"\x00" * 100, b'{"a":1}' * 20])
def test_missing_or_broken_starter_weights_are_a_refusal(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safety.starter import classifier

    weights = tmp_path / "judge.safetensors"
    if content is not None:
        weights.write_bytes(content)
    monkeypatch.setattr(classifier, "WEIGHTS", weights)
    with pytest.raises(FilterError, match="nothing is generated"):
        open_content_filter(POLICY, "starter")


def test_weights_of_another_network_are_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    from safety.starter import classifier

    other = classifier.StarterClassifier((8, 8, 8, 8)).state_dict()
    save_file(other, tmp_path / "other.safetensors")
    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "other.safetensors")
    with pytest.raises(FilterError):
        open_content_filter(POLICY, "starter")
    nan = {name: torch.full_like(t, torch.nan) for name, t in classifier.StarterClassifier().state_dict().items()}
    save_file(nan, tmp_path / "nan.safetensors")
    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "nan.safetensors")
    decision = screen_or_refuse(open_content_filter(POLICY, "starter"), PICTURE)
    assert not decision.allowed
    assert decision.rule == "error"


def test_a_classifier_trained_on_the_spot_blocks_what_it_was_taught(
    scene_of: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    from generation.starter.scenes import Scene, draw_scene
    from safety.starter import classifier

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    names = ["skull", "house"]
    scenes = [Scene(name, "red", "meadow") for name in names * 24]
    pictures = np.stack([np.asarray(draw_scene(scene, rng, 64)) for scene in scenes])
    targets = torch.tensor([LABELS.index(scene.object) for scene in scenes])
    model = classifier.StarterClassifier()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    inputs = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(inputs)[0], targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    save_file(model.state_dict(), tmp_path / "judge.safetensors")
    monkeypatch.setattr(classifier, "WEIGHTS", tmp_path / "judge.safetensors")
    content_filter = open_content_filter(POLICY, "starter")
    for name, allowed in (("skull", False), ("house", True)):
        fresh = draw_scene(Scene(name, "red", "meadow"), rng, 128).resize((256, 256), Image.Resampling.LANCZOS)
        assert screen_or_refuse(content_filter, np.asarray(fresh)).allowed is allowed


def test_a_decision_record_reads_back() -> None:
    decision = screen_or_refuse(filter_answering(shares(0.5)), PICTURE)
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
    record = {**filter_answering(shares(0.5)).screen(PICTURE).to_json(), **change}
    with pytest.raises(SafetyError):
        Decision.from_json(record)


def test_a_decision_record_from_before_models_and_margins_reads() -> None:
    record = filter_answering(shares(0.5)).screen(PICTURE).to_json()
    old = {key: value for key, value in record.items() if key not in ("model", "warnings", "margins")}
    decision = Decision.from_json(old)
    assert (decision.model_digest, decision.warnings) == (None, ())
    assert decision.margins == pytest.approx({"skull": -0.25})
    with pytest.raises(SafetyError):
        Decision.from_json({**old, "model": None})


def test_a_score_at_a_warning_is_in_the_decision() -> None:
    value = yaml.safe_load(STARTER_POLICY.read_bytes())
    value["concepts"]["skull"]["thresholds"] = {"starter": {"warn": 0.1, "block": 0.25}}
    policy = Policy.parse(yaml.safe_dump(value).encode())
    for skull, warnings in ((0.05, ()), (0.15, ("skull",)), (0.5, ("skull",))):
        decision = screen_or_refuse(StarterContentFilter(policy, Answering(shares(skull)), "f" * 64), PICTURE)
        assert decision.warnings == warnings
        assert decision.to_json()["warnings"] == list(warnings)


def test_thresholds_cannot_be_changed_after_loading() -> None:
    assert isinstance(POLICY.concepts[0].thresholds, MappingProxyType)
