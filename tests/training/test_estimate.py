from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training.config import TrainConfig
from training.estimate import estimate, told

CONFIG = TrainConfig(steps=200, batch_size=2, rank=4, threads=1, sample_steps=2, sample_count=2, sample_every=50)


def test_an_estimate_takes_real_steps_and_leaves_nothing(
    manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    made = estimate(manifest, sd1_base, CONFIG, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]
    assert made.steps == 200
    assert made.samples == 400
    assert made.images_per_second * made.training_seconds == pytest.approx(400)
    assert made.seconds == made.reading_seconds + made.training_seconds + made.sampling_seconds
    assert 100 * 2**20 < made.memory_bytes < made.memory_there
    assert made.device_bytes is None
    assert made.fits
    assert list(tmp_path.iterdir()) == []
    text = told(made)
    assert "200 steps" in text
    assert "does not fit" not in text


def test_more_samples_and_steps_are_estimated_to_take_longer(manifest: DatasetManifest, sd1_base: BaseModel) -> None:
    few = estimate(manifest, sd1_base, CONFIG)
    assert estimate(manifest, sd1_base, replace(CONFIG, steps=20_000)).training_seconds > 10 * few.training_seconds
    assert estimate(manifest, sd1_base, replace(CONFIG, sample_count=0)).sampling_seconds == 0


def test_what_does_not_fit_says_what_to_change(manifest: DatasetManifest, sd1_base: BaseModel) -> None:
    made = replace(estimate(manifest, sd1_base, CONFIG), memory_there=1)
    assert not made.fits
    assert "lower `batch_size`" in told(made)
    assert made.to_json()["fits"] is False
