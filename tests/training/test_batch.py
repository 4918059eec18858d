from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training import cache as cache_module
from training.batch import Batch, _target, _weights, draw_batch
from training.cache import Cache, Shelf, Text, build_cache
from training.config import TrainConfig
from training.pipeline import load_pipeline, noise_schedule, scale_latents
from training.stream import Stream


@pytest.fixture
def pipe(sd1_base: BaseModel) -> Any:
    return load_pipeline(sd1_base, "cpu")


def small_cache(config: TrainConfig = TrainConfig(), items: int = 3) -> Cache:
    text = Text(torch.arange(items + 1.0)[:, None, None].expand(-1, 2, 4), None)
    means = torch.arange(float(items))[:, None, None, None, None].expand(-1, 1, 4, 2, 2)
    return Cache(
        config,
        shelves=(Shelf(means, torch.zeros_like(means), torch.zeros(items, 1, 6)),),
        places=tuple((0, item) for item in range(items)),
        rows=tuple((item,) for item in range(items)),
        captions=(*"abcdefgh"[:items], ""),
        texts=text,
        stream=Stream((tuple(range(items)),), config.seed, config.batch_size),
    )


def small_batch(pipe: Any, config: TrainConfig, step: int, part: int = 0) -> Batch:
    return draw_batch(pipe, noise_schedule(pipe, config), small_cache(config), config, step, part)


def test_the_cache_holds_what_the_autoencoder_and_text_encoder_say(
    pipe: Any, manifest: DatasetManifest, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    cache = build_cache(pipe, manifest, 32, TrainConfig(), tmp_path, lambda *at: seen.append(at))
    means, deviations = cache.shelves[0].means, cache.shelves[0].deviations
    assert means.shape == deviations.shape == (5, 1, 4, 8, 8)
    assert (deviations > 0).all()
    assert seen[-1] == (5, 5)
    for item, record in enumerate(manifest.records):
        assert [cache.captions[row] for row in cache.rows[item]] == [record.caption]
    with torch.no_grad():
        without, nothing = pipe.encode_prompt("", "cpu", 1, True)
    assert torch.equal(cache.texts.embeddings[cache.without_caption], nothing[0])
    assert torch.equal(without, nothing)


def test_a_cache_that_outgrows_memory_is_the_same_and_leaves_no_file(
    pipe: Any, manifest: DatasetManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(views=2, flip=True)
    inside = build_cache(pipe, manifest, 32, config, tmp_path, lambda *_: None)
    monkeypatch.setattr(cache_module, "IN_MEMORY_BYTES", 0)
    outside = build_cache(pipe, manifest, 32, config, tmp_path / "spill", lambda *_: None)
    assert torch.equal(inside.shelves[0].means, outside.shelves[0].means)
    assert torch.equal(inside.shelves[0].deviations, outside.shelves[0].deviations)
    assert list((tmp_path / "spill").iterdir()) == []


def test_sdxl_captions_come_with_pooled_embeddings(
    sdxl_base: BaseModel, manifest: DatasetManifest, tmp_path: Path
) -> None:
    pipe = load_pipeline(sdxl_base, "cpu")
    config = TrainConfig(caption_dropout=1.0)
    cache = build_cache(pipe, manifest, 32, config, tmp_path, lambda *_: None)
    assert cache.texts.embeddings.shape == (6, 77, 64)
    assert cache.texts.pooled is not None
    assert cache.texts.pooled.shape == (6, 32)
    batch = draw_batch(pipe, noise_schedule(pipe, config), cache, config, 0, 0)
    assert batch.conditions is not None
    assert batch.conditions["time_ids"].tolist()[0] == [40, 48, 0, 3, 32, 32]
    # This base zeroes the embeddings of an empty prompt, and so must training.
    assert not batch.embeddings.any()
    assert not batch.conditions["text_embeds"].any()


def test_every_sample_of_a_step_is_a_function_of_seed_step_and_place(pipe: Any) -> None:
    whole = small_batch(pipe, TrainConfig(batch_size=4), 5)
    halves = [small_batch(pipe, TrainConfig(batch_size=2, accumulate=2), 5, part) for part in (0, 1)]
    assert torch.equal(whole.noisy, torch.cat([half.noisy for half in halves]))
    assert torch.equal(whole.times, torch.cat([half.times for half in halves]))
    assert not torch.equal(whole.noisy, small_batch(pipe, TrainConfig(), 6).noisy)
    assert not torch.equal(whole.noisy, small_batch(pipe, TrainConfig(seed=1), 5).noisy)


@pytest.mark.parametrize(("share", "expected"), [(0.0, {0.0, 1.0, 2.0}), (1.0, {3.0})])
def test_caption_dropout_shows_the_empty_caption(pipe: Any, share: float, expected: set[float]) -> None:
    config = TrainConfig(batch_size=12, caption_dropout=share)
    batch = small_batch(pipe, config, 0)
    assert set(batch.embeddings[:, 0, 0].tolist()) == expected


def test_caption_dropout_takes_about_the_share_it_is_given(pipe: Any) -> None:
    config = TrainConfig(batch_size=400, caption_dropout=0.25)
    batch = small_batch(pipe, config, 0)
    assert 0.18 < (batch.embeddings[:, 0, 0] == 3).float().mean() < 0.32


def test_latents_are_scaled_as_the_base_says(pipe: Any) -> None:
    assert torch.allclose(scale_latents(pipe, torch.ones(1)), torch.tensor(pipe.vae.config.scaling_factor))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_target_is_what_the_base_predicts(kind: str) -> None:
    schedule = DDPMScheduler(prediction_type=kind)
    clean, noise, times = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 3.0), torch.tensor([400])
    kept = float(schedule.alphas_cumprod[400])
    expected = {"epsilon": 3.0, "sample": 2.0, "v_prediction": math.sqrt(kept) * 3 - math.sqrt(1 - kept) * 2}[kind]
    assert float(_target(schedule, clean, noise, times)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_min_snr_weights_follow_the_paper(kind: str) -> None:
    schedule = DDPMScheduler(prediction_type=kind, rescale_betas_zero_snr=True)
    times = torch.tensor([0, 300, 999])
    ratio = schedule.alphas_cumprod[times] / (1 - schedule.alphas_cumprod[times])
    weights = _weights(schedule, times, 5.0)
    assert torch.isfinite(weights).all()
    for r, weight in list(zip(ratio.tolist(), weights.tolist(), strict=True))[:2]:
        expected = {"epsilon": min(r, 5) / r, "v_prediction": min(r, 5) / (r + 1), "sample": min(r, 5)}[kind]
        assert weight == pytest.approx(expected, rel=1e-4)
    assert torch.equal(_weights(schedule, times, 0.0), torch.ones(3))


def test_the_base_decides_what_is_predicted_unless_the_configuration_does(v_base: BaseModel) -> None:
    pipe = load_pipeline(v_base, "cpu")
    schedule = noise_schedule(pipe, TrainConfig())
    assert schedule.config.prediction_type == "v_prediction"
    assert schedule.alphas_cumprod[-1] < 1e-6
    assert noise_schedule(pipe, TrainConfig(prediction="epsilon")).config.prediction_type == "epsilon"
