"""A batch of random latents and true captions, in the shapes that a base has."""

from __future__ import annotations

import torch

from training.batch import Batch, draw_batch
from training.config import TrainConfig
from training.dataset.cache import Cache, Shelf
from training.dataset.stream import Stream
from training.draws import generator
from training.families.protocol import Family

CAPTIONS = ("a red square", "a dot", "")


def tiny_cache(family: Family, config: TrainConfig) -> Cache:
    """Two items of 8 × 8 latents without deviation, each under its own caption."""
    channels = family.pipe.vae.config.latent_channels
    means = torch.randn(2, 1, channels, 8, 8, generator=generator(0, 0, 0, "latents"))
    time_ids = torch.tensor([32.0, 32, 0, 0, 32, 32]).expand(2, 1, 6)
    with torch.no_grad():
        texts = family.embed(CAPTIONS)
    return Cache(
        config,
        shelves=(Shelf(means, torch.zeros_like(means), time_ids),),
        places=((0, 0), (0, 1)),
        rows=((0,), (1,)),
        captions=CAPTIONS,
        texts=texts,
        stream=Stream(((0, 1),), config.seed, config.batch_size),
    )


def tiny_batch(family: Family, config: TrainConfig, step: int = 0) -> Batch:
    """The only batch of a step."""
    return draw_batch(family, tiny_cache(family, config), config, step, 0)
