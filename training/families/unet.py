"""Stable Diffusion 1.x, 2.x and XL: a UNet that attends to one sequence of text embeddings (arXiv:2112.10752).

SDXL (arXiv:2307.01952) is also told a pooled embedding, and the size and crop of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from training.families import components
from training.families.protocol import Embedded

if TYPE_CHECKING:
    import torch

    from training.batch import Batch
    from training.config import TrainConfig
    from training.noising import Noising


@dataclass(frozen=True)
class UNetFamily:
    """A pipeline with a UNet; ``denoiser`` is that UNet, or what wraps it."""

    pipe: Any
    denoiser: torch.nn.Module
    device: str
    side: int
    multiple: int
    noising: Noising
    denoiser_prefix: ClassVar[str] = "unet"

    @classmethod
    def of(cls, pipe: Any, device: str, config: TrainConfig) -> UNetFamily:
        """Wraps a loaded pipeline; raises ConfigError when settings do not fit it."""
        from training.noising import diffusion_of

        # Pipelines refuse sides that are no multiples of 8, even where the autoencoder would not.
        multiple = max(8, pipe.vae_scale_factor)
        side = components.picture_side(pipe, pipe.unet, multiple, config)
        return cls(pipe, pipe.unet, device, side, multiple, diffusion_of(pipe.scheduler, config))

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        return components.text_encoders(self.pipe)

    def encode_pixels(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return components.encode_pixels(self.pipe.vae, pixels)

    def scale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return components.scale_latents(self.pipe.vae, latents)

    def embed(self, captions: Sequence[str]) -> Embedded:
        return components.embed(self.pipe, captions)

    def embed_nothing(self) -> Embedded:
        return components.embed_nothing(self.pipe)

    def predict(self, batch: Batch) -> torch.Tensor:
        told = None if batch.pooled is None else {"text_embeds": batch.pooled, "time_ids": batch.time_ids}
        predicted: torch.Tensor = self.denoiser(
            batch.noisy,
            batch.times,
            encoder_hidden_states=batch.embeddings,
            added_cond_kwargs=told,
            return_dict=False,
        )[0]
        return predicted
