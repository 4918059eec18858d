"""Which sizes, in a model's own pixels, pictures of any size are drawn or read at."""

from __future__ import annotations

import math
from typing import Any

from generation.latent_mark import is_flow, latent_shape


def side_multiple(pipeline: Any) -> int:
    """What the sides of a pipeline's pictures must be multiples of, in px; diffusers takes no less than 8."""
    patch = pipeline.transformer.config.patch_size if is_flow(pipeline) else 1
    return math.lcm(8, int(pipeline.vae_scale_factor * patch))


def usual_size(pipeline: Any, size: tuple[int, ...]) -> tuple[int, int]:
    """The (height, width) nearest to the shape of ``size`` with as many pixels as the model is used to."""
    _, *native = latent_shape(pipeline)
    multiple = side_multiple(pipeline)
    resize = math.sqrt(math.prod(native) * pipeline.vae_scale_factor**2 / math.prod(size))
    height, width = (max(1, round(side * resize / multiple)) * multiple for side in size)
    return height, width
