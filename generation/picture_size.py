"""Which sizes, in a model's own pixels, pictures of any size are drawn or read at."""

from __future__ import annotations

import math
from typing import Any

from generation.latent_mark import is_flow, latent_shape


def side_multiple(pipeline: Any) -> int:
    """What the sides of a pipeline's pictures must be multiples of, in px; diffusers takes no less than 8."""
    if is_flow(pipeline):
        halved = pipeline.transformer.config.patch_size
    else:
        # A UNet over time as well does not make up for sides that cannot be halved at every level.
        halved = (
            2 ** (len(pipeline.unet.config.block_out_channels) - 1) if pipeline.unet.config.get("num_frames") else 1
        )
    return math.lcm(8, int(pipeline.vae_scale_factor * halved))


def _halved(config: Any) -> int:
    # A UNet over time as well does not make up for sides that cannot be halved at every level.
    return int(2 ** (len(config.block_out_channels) - 1)) if config.get("num_frames") else 1


def usual_size(pipeline: Any, size: tuple[int, ...], shortest: int = 1) -> tuple[int, int]:
    """The (height, width) nearest to the shape of ``size`` with as many pixels as the model is used to.

    Both sides are ``shortest`` px at least, even if that takes more pixels.
    """
    _, *native = latent_shape(pipeline)
    multiple = side_multiple(pipeline)
    usual = math.sqrt(math.prod(native) * pipeline.vae_scale_factor**2 / math.prod(size))
    resize = max(usual, shortest / min(size))
    height, width = (max(math.ceil(shortest / multiple), round(side * resize / multiple)) * multiple for side in size)
    return height, width
