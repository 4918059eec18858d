from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training.batch import batch_loss, draw_batch, sample_losses
from training.config import TrainConfig
from training.dataset.cache import Cache, build_cache
from training.dataset.prior import loss_shares, prior_counts
from training.families.opening import open_family, place_for_training
from training.families.protocol import Family

CONFIG = TrainConfig(
    batch_size=2, accumulate=2, prior_prompts=("a square", "a dot"), prior_count=5, prior_weight=0.5, sample_steps=2
)


@pytest.fixture(scope="module")
def family(sd1_base: BaseModel) -> Family:
    return open_family(sd1_base, "cpu", TrainConfig())


def cached(family: Family, manifest: DatasetManifest, folder: Path, config: TrainConfig = CONFIG) -> Cache:
    return build_cache(family, manifest, config, folder, lambda *_: None)


def test_every_batch_holds_as_many_of_the_prior_as_of_the_dataset(
    family: Family, manifest: DatasetManifest, tmp_path: Path
) -> None:
    cache = cached(family, manifest, tmp_path)
    seen = set()
    for step in range(10):
        slots = [slot for part in range(2) for slot in cache.plan(step, part)]
        assert [slot.is_prior for slot in slots] == 2 * [False, False, True, True]
        assert sorted(slot.sample for slot in slots) == list(range(8))
        assert all((slot.item >= 5) == slot.is_prior for slot in slots)
        seen |= {slot.item for slot in slots}
    assert seen == set(range(10))


def test_samples_of_the_dataset_are_the_same_as_without_a_prior(
    family: Family, manifest: DatasetManifest, tmp_path: Path
) -> None:
    without = replace(CONFIG, prior_prompts=())
    caches = [(cached(family, manifest, tmp_path, config), config) for config in (CONFIG, without)]
    with_prior, alone = (draw_batch(family, cache, config, 3, 1) for cache, config in caches)
    assert torch.equal(with_prior.noisy[:2], alone.noisy)
    assert torch.equal(with_prior.times[:2], alone.times)


def test_the_prior_is_drawn_by_the_seed_and_shown_under_its_prompts(
    family: Family, manifest: DatasetManifest, tmp_path: Path
) -> None:
    one, same = (cached(family, manifest, tmp_path) for _ in range(2))
    other = cached(family, manifest, tmp_path, replace(CONFIG, seed=1))
    for item in range(5, 10):
        assert torch.equal(one.latents(item, 0)[0], same.latents(item, 0)[0])
        assert not torch.equal(one.latents(item, 0)[0], other.latents(item, 0)[0])
        assert not one.latents(item, 0)[1].any()
        assert one.captions[one.rows[item][0]] == CONFIG.prior_prompts[(item - 5) % 2]
    assert len({one.latents(item, 0)[0].sum().item() for item in range(5, 10)}) == 5


def test_the_prior_is_what_the_pipeline_draws(family: Family, manifest: DatasetManifest, tmp_path: Path) -> None:
    from training.draws import generator
    from training.families.opening import whole_pipeline

    cache = cached(family, manifest, tmp_path)
    with whole_pipeline(family) as pipe:
        drawn = pipe(
            "a square",
            height=32,
            width=32,
            num_inference_steps=2,
            guidance_scale=CONFIG.sample_guidance,
            generator=generator(CONFIG.seed, 0, 0, "prior"),
            output_type="latent",
        ).images
    assert torch.allclose(family.scale_latents(cache.latents(5, 0)[0]), drawn[0], atol=1e-5)


def test_the_loss_is_the_mean_of_the_dataset_s_and_the_weighted_mean_of_the_prior_s(
    family: Family, manifest: DatasetManifest, tmp_path: Path
) -> None:
    place_for_training(family, embeds_text=False)
    batch = draw_batch(family, cached(family, manifest, tmp_path), CONFIG, 0, 0)
    with torch.no_grad():
        losses = sample_losses(family, replace(batch, weights=torch.ones(4)), CONFIG)
        loss = batch_loss(family, batch, CONFIG)
    assert torch.allclose(loss, losses[:2].mean() + 0.5 * losses[2:].mean())


def test_without_a_prior_every_sample_counts_once() -> None:
    assert loss_shares([False, False], CONFIG).tolist() == [1, 1]
    assert loss_shares([False, True], CONFIG).tolist() == [2, 1]


def test_groups_get_prior_pictures_in_proportion_and_at_least_one() -> None:
    assert prior_counts([30, 10, 1], replace(CONFIG, prior_count=20)) == [15, 5, 1]
    assert prior_counts([1, 1], replace(CONFIG, prior_count=1)) == [1, 1]


def test_with_buckets_the_prior_has_the_sides_of_its_batch(
    sdxl_base: BaseModel, manifest: DatasetManifest, tmp_path: Path
) -> None:
    config = replace(CONFIG, buckets=True, bucket_step=8, validation_share=0.2)
    family = open_family(sdxl_base, "cpu", config)
    cache = cached(family, manifest, tmp_path, config)
    batch = draw_batch(family, cache, config, 0, 0)
    # 40 × 48 px are nearest to 32 × 32, or 24 × 40 where they are wider.
    height, width = (4 * side for side in batch.clean.shape[-2:])
    assert batch.time_ids[2].tolist() == [height, width, 0, 0, height, width]
    assert batch.pooled is not None
    assert batch.mask is None
