"""CLIP scores against torchmetrics' own metric, and what the paired bootstrap covers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.multimodal.clip_score import CLIPScore

from generation.evaluation.clip_scores import compare, scores
from safety.clip_model import ClipModel

TEXTS = ["a red fish", "a blue house at night", "nothing"]


class Given:
    """Our model as torchmetrics calls one: it asks for features of what its processor made."""

    class config:
        pass

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip

    def to(self, _: Any) -> Given:
        return self

    def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.clip.images([p.permute(1, 2, 0).numpy() for p in pixels]))

    def get_text_features(self, words: Any, _: Any) -> torch.Tensor:
        return torch.from_numpy(self.clip.texts(words.texts))


class Words:
    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def to(self, _: Any) -> Words:
        return self


class Passing:
    def __call__(self, text: Any = None, images: Any = None, **_: Any) -> dict[str, Any]:
        if images is not None:
            return {"pixel_values": torch.stack(images)}
        return {"input_ids": Words(text), "attention_mask": torch.ones(1, 1)}


def test_the_mean_score_is_torchmetrics(clip: ClipModel) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    found = scores(clip.images(list(pictures)), clip.texts(TEXTS))
    metric = CLIPScore(model_name_or_path=lambda: (Given(clip), Passing()))
    metric.update(torch.from_numpy(pictures).permute(0, 3, 1, 2), TEXTS)
    told = compare(found, found, [0, 1, 2], 0, most=200).to_json()
    assert told["after"]["mean"] == pytest.approx(float(metric.compute()), abs=1e-4)


def test_a_mean_below_zero_counts_as_zero_as_in_torchmetrics() -> None:
    negative = np.array([-20.0, -10.0, -15.0])
    told = compare(negative, negative + 1, [0, 1, 2], 0, most=200).to_json()
    assert told["before"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert told["difference"]["mean"] == pytest.approx(1)


def test_pairs_make_the_difference_sharper_than_its_parts() -> None:
    draw = np.random.default_rng(1)
    before = draw.normal(25, 5, 60)
    after = before + draw.normal(1, 0.5, 60)
    found = compare(before, after, list(range(60)), 0)
    assert found.difference.low > 0.7
    assert found.difference.high < 1.3
    assert found.before.high - found.before.low > 2
    assert found.groups == 60


def test_pictures_of_one_prompt_count_as_one() -> None:
    draw = np.random.default_rng(2)
    by_prompt = draw.normal(25, 5, 10).repeat(20)
    found = compare(by_prompt, by_prompt, np.arange(10).repeat(20).tolist(), 0)
    alone = compare(by_prompt, by_prompt, list(range(200)), 0)
    assert found.groups == 10
    assert found.before.high - found.before.low > 3 * (alone.before.high - alone.before.low)


def test_one_prompt_alone_has_its_pictures_resampled() -> None:
    values = np.array([20.0, 22.0, 24.0, 30.0])
    found = compare(values, values + 1, [0] * 4, 0)
    assert found.groups == 4
    assert found.before.mean == pytest.approx(24)
    assert found.before.low < 24 < found.before.high


def test_the_interval_of_the_difference_covers_as_often_as_it_says() -> None:
    draw, hits = np.random.default_rng(3), 0
    for seed in range(200):
        before = draw.normal(25, 5, 40)
        after = before + draw.normal(0.5, 2, 40)
        found = compare(before, after, list(range(40)), seed, most=400).difference
        hits += found.low <= 0.5 <= found.high
    assert 180 <= hits <= 199


def test_the_same_seed_gives_the_same_intervals() -> None:
    before, after = np.random.default_rng(4).normal(20, 3, (2, 30))
    assert compare(before, after, list(range(30)), 9) == compare(before, after, list(range(30)), 9)
    assert compare(before, after, list(range(30)), 9) != compare(before, after, list(range(30)), 10)
