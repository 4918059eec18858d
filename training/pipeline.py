"""A base as the parts that training needs, for Stable Diffusion 1.x and XL alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance.base import BaseModel
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from training.config import TrainConfig


@dataclass(frozen=True)
class Caption:
    """One caption as the UNet takes it: ``(L, D)`` and, for SDXL, the pooled ``(P,)``; float32."""

    embedding: torch.Tensor
    pooled: torch.Tensor | None


def load_pipeline(base: BaseModel, device: str) -> Any:
    """Loads a base in float32 from its safetensors, frozen; never from the network, never from a pickle."""
    import diffusers
    import torch
    import transformers
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    options = {"dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    if base.family == "sdxl":
        pipe = StableDiffusionXLPipeline.from_pretrained(base.folder, add_watermarker=False, **options)
    else:
        # Pictures are screened by our own content filter, when they are generated.
        parts = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
        pipe = StableDiffusionPipeline.from_pretrained(base.folder, requires_safety_checker=False, **parts, **options)
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        part = getattr(pipe, name, None)
        if part is not None:
            part.requires_grad_(False).eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def picture_side(pipe: Any, config: TrainConfig) -> int:
    """The side in px that training uses: the configured one, or the base's own."""
    side: int = config.size or pipe.unet.config.sample_size * pipe.vae_scale_factor
    return side


def encode_pixels(pipe: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``(B, 3, H, W)`` in [-1, 1] to the mean and deviation of latents ``(B, 4, H/8, W/8)``, before scaling."""
    import torch

    with torch.no_grad():
        latent = pipe.vae.encode(pixels.to(pipe.device)).latent_dist
    return latent.mean.float().cpu(), latent.std.float().cpu()


def scale_latents(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """Autoencoder latents as the UNet sees them."""
    shift = getattr(pipe.vae.config, "shift_factor", None) or 0.0
    scaled: torch.Tensor = (latents - shift) * pipe.vae.config.scaling_factor
    return scaled


def encode_caption(pipe: Any, caption: str) -> tuple[Caption, Caption]:
    """A caption as generation will encode it, and what guidance takes for no caption at all."""
    import torch

    with torch.no_grad():
        encoded = pipe.encode_prompt(
            prompt=caption, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=True
        )
    embedding, without, *pooled = (rows[0].float().cpu() for rows in encoded)
    pooled = pooled or [None, None]
    return Caption(embedding, pooled[0]), Caption(without, pooled[1])


def noise_schedule(pipe: Any, config: TrainConfig) -> Any:
    """The base's own noise schedule, to add noise by; ``config.prediction`` may overrule what the UNet predicts."""
    from diffusers import DDPMScheduler

    known = pipe.scheduler.config
    schedule = DDPMScheduler.from_config(known)
    if config.prediction != "auto":
        schedule.register_to_config(prediction_type=config.prediction)
    if schedule.config.prediction_type not in ("epsilon", "v_prediction", "sample"):
        raise TrainingError(
            "this base predicts something that cannot be trained yet",
            expected="epsilon, v_prediction or sample",
            found=str(schedule.config.prediction_type),
        )
    return schedule
