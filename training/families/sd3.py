"""Stable Diffusion 3 and 3.5: a transformer that reads picture and text together (arXiv:2403.03206).

Text is what two CLIP encoders say, padded to T5's width, and then what T5 says; a base without T5 has zeros there, as
its pipeline draws with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from training.dataset.buckets import bucket_sides
from training.errors import ConfigError
from training.families import components
from training.families.protocol import Embedded

if TYPE_CHECKING:
    import torch

    from training.batch import Batch
    from training.config import TrainConfig
    from training.noising import Noising

# The prompt is said once, to all three encoders.
_SAME_PROMPT = {"prompt_2": None, "prompt_3": None}


@dataclass(frozen=True)
class SD3Family:
    """A Stable Diffusion 3 pipeline; ``denoiser`` is its transformer, or what wraps it."""

    pipe: Any
    denoiser: torch.nn.Module
    device: str
    side: int
    multiple: int
    noising: Noising
    denoiser_prefix: ClassVar[str] = "transformer"

    @classmethod
    def of(cls, pipe: Any, device: str, config: TrainConfig) -> SD3Family:
        """Wraps a loaded pipeline; raises ConfigError when settings do not fit it."""
        from training.noising import flow_matching_of

        known = pipe.transformer.config
        patch = pipe.vae_scale_factor * known.patch_size
        multiple = max(8, patch)
        side = components.picture_side(pipe, pipe.transformer, multiple, config)
        _require_places(known.pos_embed_max_size * patch, side, config)
        noising = flow_matching_of(pipe.scheduler, config, tokens=(side // patch) ** 2)
        return cls(pipe, pipe.transformer, device, side, multiple, noising)

    @property
    def text_encoders(self) -> Mapping[str, torch.nn.Module]:
        return components.text_encoders(self.pipe)

    def encode_pixels(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return components.encode_pixels(self.pipe.vae, pixels)

    def scale_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return components.scale_latents(self.pipe.vae, latents)

    def embed(self, captions: Sequence[str]) -> Embedded:
        return components.embed(self.pipe, captions, **_SAME_PROMPT)

    def embed_nothing(self) -> Embedded:
        return components.embed_nothing(self.pipe, **_SAME_PROMPT)

    def predict(self, batch: Batch) -> torch.Tensor:
        predicted: torch.Tensor = self.denoiser(
            hidden_states=batch.noisy,
            timestep=batch.times,
            encoder_hidden_states=batch.embeddings,
            pooled_projections=batch.pooled,
            return_dict=False,
        )[0]
        return predicted


def _require_places(largest: int, side: int, config: TrainConfig) -> None:
    """Raises ConfigError for pictures that could be longer than the transformer's table of places, in px."""
    if side > largest:
        raise ConfigError(
            "the training configuration", (f"`size` must be at most {largest} px for this base, not {side}",)
        )
    if not config.buckets or side % config.bucket_step:  # no buckets can be made of that, which is refused with them
        return
    longest = max(max(sides) for sides in bucket_sides(side, config.bucket_step))
    if longest > largest:
        fault = f"`buckets` of {side} px have sides of up to {longest} px, and this base takes at most {largest}"
        raise ConfigError("the training configuration", (f"{fault}: set a smaller `size`, or leave out `buckets`",))
