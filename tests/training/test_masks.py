from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from provenance.base import BaseModel
from provenance.dataset import sign_dataset
from provenance.identity import Issuer
from training.batch import make_batch, sample_losses
from training.config import TrainConfig
from training.dataset.cache import Cache, Slot, build_cache
from training.dataset.masks import latent_mask, masked_means
from training.families.opening import open_family


@pytest.fixture(scope="module")
def half_transparent(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, sd1_base: BaseModel) -> Cache:
    """A picture whose left half is opaque, one whose hidden right half has another colour, and one without alpha."""
    source = tmp_path_factory.mktemp("masked")
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 4), dtype=np.uint8)
    pixels[:, :16, 3], pixels[:, 16:, 3] = 255, 0
    hidden = pixels.copy()
    hidden[:, 16:, :3] = 7
    for name, picture in {"a": pixels, "b": hidden, "c": pixels[..., :3]}.items():
        Image.fromarray(picture).save(source / f"{name}.png")
        (source / f"{name}.txt").write_text(name)
    release = tmp_path_factory.mktemp("release") / "masked"
    manifest = sign_dataset(source, release, issuer=issuer, licence="CC0-1.0", holder="Test Studio")
    config = TrainConfig(mask="alpha", mask_floor=0.1)
    family = open_family(sd1_base, "cpu", config)
    return build_cache(family, manifest, config, release.parent, lambda *_: None)


def test_the_alpha_channel_is_averaged_over_each_latent_pixel(half_transparent: Cache) -> None:
    mask = half_transparent.mask(0, 0)
    assert mask is not None
    assert mask.shape == (8, 8)
    assert torch.equal(mask[:, :4], torch.ones(8, 4))
    assert torch.allclose(mask[:, 4:], torch.full((8, 4), 0.1))


def test_a_picture_without_alpha_counts_whole(half_transparent: Cache) -> None:
    mask = half_transparent.mask(2, 0)
    assert mask is not None
    assert (mask == 1).all()


def test_what_lies_hidden_under_transparency_is_not_learned(half_transparent: Cache) -> None:
    assert torch.equal(half_transparent.latents(0, 0)[0], half_transparent.latents(1, 0)[0])
    assert not torch.equal(half_transparent.latents(0, 0)[0], half_transparent.latents(2, 0)[0])


def test_alpha_between_two_latent_pixels_is_shared() -> None:
    alpha = torch.zeros(1, 8, 8)
    alpha[:, :, :6] = 1
    assert torch.allclose(latent_mask(alpha, (2, 2), 0.0)[0, 0], torch.tensor([1.0, 0.5]))
    assert torch.allclose(latent_mask(alpha, (2, 2), 0.5)[0, 0], torch.tensor([1.0, 0.75]))


def test_only_what_counts_is_averaged() -> None:
    errors = torch.ones(2, 4, 2, 2)
    errors[:, :, :, 1] = 100
    mask = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    assert torch.allclose(masked_means(errors, mask), torch.tensor([1.0, 50.5]))
    assert torch.allclose(masked_means(errors, None), torch.tensor([50.5, 50.5]))


def test_a_sample_in_which_nothing_counts_adds_nothing() -> None:
    assert masked_means(torch.ones(1, 4, 2, 2), torch.zeros(1, 1, 2, 2)).tolist() == [0.0]


def test_the_loss_is_blind_to_what_is_masked(half_transparent: Cache, sd1_base: BaseModel) -> None:
    config = TrainConfig(mask="alpha", batch_size=4)
    family = open_family(sd1_base, "cpu", config)
    batch = make_batch(family, half_transparent, config, 0, [Slot(0, 0, 0, 0), Slot(1, 2, 0, 0)])
    assert batch.mask is not None
    assert batch.mask.shape == (2, 1, 8, 8)
    mask = (batch.mask > 0.5).float()
    moved = batch.target + 3 * (1 - mask)
    with torch.no_grad():
        before, after = (
            sample_losses(family, replace(batch, mask=mask, target=target), config) for target in (batch.target, moved)
        )
        whole = sample_losses(family, replace(batch, mask=None), config)
        counted = sample_losses(family, batch, config)
    assert torch.equal(before, after)
    # The picture without alpha counts whole; of the other, the hidden half counts a tenth.
    assert torch.allclose(counted[1], whole[1])
    halves = (before[0], 2 * whole[0] - before[0])
    assert torch.allclose(counted[0], (halves[0] + 0.1 * halves[1]) / 1.1)
