"""Marked initial noise for a pipeline: each picture's payload under a nonce of its own.

Covers text-to-image pipelines that take ``latents``: Stable Diffusion 1.x and 2.x, SDXL, and flow matching in the shape
of Stable Diffusion 3. Not img2img: there the noise is not all that a picture starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from safety.watermark.latent import initial_noise
from safety.watermark.latent_keys import carries_mark, image_nonce

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MarkedNoise:
    """Initial noise (B, C, h, w) float32 of one batch, and the nonce of each picture."""

    latents: NDArray[np.float32]
    nonces: tuple[int, ...]


def marked_noise(
    pipeline: Any, payloads: Sequence[int], seeds: Sequence[int], key: bytes | None = None
) -> MarkedNoise | None:
    """Noise for one batch of a pipeline's own picture size, a payload and a seed each.

    The same payload, seed and key give the same noise; the payload is part of what decides the picture. None when the
    pipeline's latents are too small to carry a mark. Raises WatermarkError.
    """
    shape = latent_shape(pipeline)
    return noise_of_shape(shape, payloads, seeds, key) if carries_mark(shape) else None


def noise_of_shape(
    shape: tuple[int, int, int], payloads: Sequence[int], seeds: Sequence[int], key: bytes | None = None
) -> MarkedNoise:
    """Noise for one batch of latents (C, h, w); raises WatermarkError when they are too small."""
    nonces = tuple(image_nonce(payload, seed, key) for payload, seed in zip(payloads, seeds, strict=True))
    drawn = [
        initial_noise(payload, shape, key, nonce, seed)
        for payload, nonce, seed in zip(payloads, nonces, seeds, strict=True)
    ]
    return MarkedNoise(np.stack(drawn), nonces)


def latent_shape(pipeline: Any) -> tuple[int, int, int]:
    """(channels, height, width) of the latents that a pipeline draws when no size is asked for."""
    config = (pipeline.transformer if is_flow(pipeline) else pipeline.unet).config
    size = config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return int(config.in_channels), int(height), int(width)


def is_flow(pipeline: Any) -> bool:
    """Whether a pipeline matches flows with a transformer, rather than denoising with a U-Net."""
    return getattr(pipeline, "transformer", None) is not None
