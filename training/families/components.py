"""What the pipelines of all families have in common: an autoencoder, and text encoders behind `encode_prompt`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.errors import ConfigError, TrainingError
from training.families.protocol import Embedded

if TYPE_CHECKING:
    import torch

TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def text_encoders(pipe: Any) -> dict[str, torch.nn.Module]:
    """The text encoders a pipeline has, by component."""
    return {name: part for name in TEXT_ENCODERS if (part := getattr(pipe, name, None)) is not None}


def require_latents_alone(pipe: Any) -> None:
    """Refuses denoisers that are shown more than the autoencoder's latents: those of inpainting or of depth."""
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    shown, latents = denoiser.config.in_channels, pipe.vae.config.latent_channels
    if shown != latents:
        raise TrainingError(
            "this base does not denoise the latents of a picture alone, as bases for inpainting do not",
            expected=f"{latents} channels",
            found=f"{shown} channels",
            fix="name the base it was made from with --base",
        )


def picture_side(pipe: Any, denoiser: Any, multiple: int, config: TrainConfig) -> int:
    """The side in px that training uses: the configured one, or the base's own; raises ConfigError or TrainingError."""
    faults = tuple(
        f"`{name}` must be a multiple of {multiple} px for this base, not {getattr(config, name)}"
        for name in (("size", "bucket_step") if config.buckets else ("size",))
        if getattr(config, name) % multiple
    )
    if faults:
        raise ConfigError("the training configuration", faults)
    if config.size:
        return config.size
    own = denoiser.config.sample_size
    if not isinstance(own, int):
        raise TrainingError("this base does not say which picture side it is for", fix="set `size`, in px")
    side: int = own * pipe.vae_scale_factor
    return side


def encode_pixels(vae: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``(B, 3, H, W)`` in [-1, 1] to mean and deviation of the latents, float32 on the CPU."""
    import torch

    with torch.no_grad():
        latent = vae.encode(pixels.to(vae.device)).latent_dist
    return latent.mean.float().cpu(), latent.std.float().cpu()


def scale_latents(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents shifted and scaled as the autoencoder's configuration says."""
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    scaled: torch.Tensor = (latents - shift) * vae.config.scaling_factor
    return scaled


def embed(pipe: Any, captions: Sequence[str], **further: Any) -> Embedded:
    """Captions through a pipeline's own `encode_prompt`."""
    encoded = pipe.encode_prompt(
        prompt=list(captions),
        device=pipe.text_encoder.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
        **further,
    )
    return Embedded(encoded[0].float(), encoded[2].float() if len(encoded) > 2 else None)


def embed_nothing(pipe: Any, **further: Any) -> Embedded:
    """What a pipeline puts beside the prompt for guidance: zeros, or the embedding of an empty text."""
    encoded = pipe.encode_prompt(
        prompt="",
        device=pipe.text_encoder.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        **further,
    )
    return Embedded(encoded[1].float(), encoded[3].float() if len(encoded) > 2 else None)
