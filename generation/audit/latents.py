"""Pictures as the base's autoencoder sees them, small enough to compare by the thousand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import SamplingFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SIDE = 16
BATCH = 8


def picture_side(pipeline: Any) -> int:
    """The side in px that the base draws by itself."""
    return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def latents_of(pipeline: Any, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Latent means (N, L) float32 of pictures (H, W, 3) uint8, scaled as the UNet sees them.

    The shortest side is brought to the base's own by Lanczos and the middle square is taken, as training does; places
    are averaged until at most 16 × 16 are left. Raises SamplingFailed for what is not finite.
    """
    import torch

    side, found = picture_side(pipeline), []
    vae = pipeline.vae
    before = vae.dtype
    # Half precision overflows in the encoder of Stable Diffusion XL.
    vae.to(torch.float32)
    try:
        for start in range(0, len(pictures), BATCH):
            pixels = np.stack([_square(picture, side) for picture in pictures[start : start + BATCH]])
            with torch.inference_mode():
                tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(vae.device, torch.float32) / 127.5 - 1.0
                mean = (vae.encode(tensor).latent_dist.mean - (vae.config.shift_factor or 0.0)) * (
                    vae.config.scaling_factor
                )
                if mean.shape[-1] > LARGEST_SIDE:
                    mean = torch.nn.functional.adaptive_avg_pool2d(mean, LARGEST_SIDE)
            found.append(mean.flatten(1).cpu().numpy())
    finally:
        vae.to(before)
    rows = np.concatenate(found) if found else np.zeros((0, 1), np.float32)
    if not np.isfinite(rows).all():
        raise SamplingFailed("the base's autoencoder gave values that are not numbers")
    return np.asarray(rows, np.float32)


def _square(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    from PIL import Image

    height, width = picture.shape[:2]
    scale = side / min(height, width)
    tall, wide = max(side, round(height * scale)), max(side, round(width * scale))
    resized = Image.fromarray(picture).resize((wide, tall), Image.Resampling.LANCZOS)
    top, left = (tall - side) // 2, (wide - side) // 2
    return np.asarray(resized)[top : top + side, left : left + side]
