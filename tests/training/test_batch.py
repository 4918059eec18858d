from __future__ import annotations

from pathlib import Path

import pytest
import torch

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training.batch import Batch, draw_batch
from training.config import TrainConfig
from training.dataset import storage
from training.dataset.cache import Cache, Shelf, build_cache
from training.dataset.stream import Stream
from training.families.opening import open_family
from training.families.protocol import Embedded, Family


@pytest.fixture
def family(sd1_base: BaseModel) -> Family:
    return open_family(sd1_base, "cpu", TrainConfig())


def small_cache(config: TrainConfig = TrainConfig(), items: int = 3) -> Cache:
    text = Embedded(torch.arange(items + 1.0)[:, None, None].expand(-1, 2, 4), None)
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


def small_batch(family: Family, config: TrainConfig, step: int, part: int = 0) -> Batch:
    return draw_batch(family, small_cache(config), config, step, part)


def test_the_cache_holds_what_the_autoencoder_and_text_encoder_say(
    family: Family, manifest: DatasetManifest, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    cache = build_cache(family, manifest, TrainConfig(), tmp_path, lambda *at: seen.append(at))
    means, deviations = cache.shelves[0].means, cache.shelves[0].deviations
    assert means.shape == deviations.shape == (5, 1, 4, 8, 8)
    assert (deviations > 0).all()
    # Five captions, none at all, and five pictures.
    assert seen == [(done, 11) for done in range(1, 12)]
    for item, record in enumerate(manifest.records):
        assert [cache.captions[row] for row in cache.rows[item]] == [record.caption]
    with torch.no_grad():
        without, nothing = family.pipe.encode_prompt("", "cpu", 1, True)
    assert torch.equal(cache.texts.embeddings[cache.without_caption], nothing[0])
    assert torch.equal(without, nothing)


def test_a_cache_that_outgrows_memory_is_the_same_and_leaves_no_file(
    family: Family, manifest: DatasetManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(views=2, flip=True)
    inside = build_cache(family, manifest, config, tmp_path, lambda *_: None)
    monkeypatch.setattr(storage, "IN_MEMORY_BYTES", 0)
    outside = build_cache(family, manifest, config, tmp_path / "spill", lambda *_: None)
    assert torch.equal(inside.shelves[0].means, outside.shelves[0].means)
    assert torch.equal(inside.shelves[0].deviations, outside.shelves[0].deviations)
    assert list((tmp_path / "spill").iterdir()) == []


def test_sdxl_captions_come_with_pooled_embeddings(
    sdxl_base: BaseModel, manifest: DatasetManifest, tmp_path: Path
) -> None:
    config = TrainConfig(caption_dropout=1.0)
    family = open_family(sdxl_base, "cpu", config)
    cache = build_cache(family, manifest, config, tmp_path, lambda *_: None)
    assert cache.texts.embeddings.shape == (6, 77, 64)
    assert cache.texts.pooled is not None
    assert cache.texts.pooled.shape == (6, 32)
    batch = draw_batch(family, cache, config, 0, 0)
    assert batch.pooled is not None
    assert batch.time_ids.tolist()[0] == [40, 48, 0, 3, 32, 32]
    # This base zeroes the embeddings of an empty prompt, and so must training.
    assert not batch.embeddings.any()
    assert not batch.pooled.any()


def test_every_sample_of_a_step_is_a_function_of_seed_step_and_place(family: Family) -> None:
    whole = small_batch(family, TrainConfig(batch_size=4), 5)
    halves = [small_batch(family, TrainConfig(batch_size=2, accumulate=2), 5, part) for part in (0, 1)]
    assert torch.equal(whole.noisy, torch.cat([half.noisy for half in halves]))
    assert torch.equal(whole.times, torch.cat([half.times for half in halves]))
    assert not torch.equal(whole.noisy, small_batch(family, TrainConfig(), 6).noisy)
    assert not torch.equal(whole.noisy, small_batch(family, TrainConfig(seed=1), 5).noisy)


@pytest.mark.parametrize(("share", "expected"), [(0.0, {0.0, 1.0, 2.0}), (1.0, {3.0})])
def test_caption_dropout_shows_the_empty_caption(family: Family, share: float, expected: set[float]) -> None:
    config = TrainConfig(batch_size=12, caption_dropout=share)
    batch = small_batch(family, config, 0)
    assert set(batch.embeddings[:, 0, 0].tolist()) == expected


def test_caption_dropout_takes_about_the_share_it_is_given(family: Family) -> None:
    config = TrainConfig(batch_size=400, caption_dropout=0.25)
    batch = small_batch(family, config, 0)
    assert 0.18 < (batch.embeddings[:, 0, 0] == 3).float().mean() < 0.32
