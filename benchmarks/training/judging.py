"""How well adapters predict the noise in pictures that nobody trained on: the same noise and times for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.training.data import Pictures

TIMES = (50, 250, 450, 650, 850)


def validation_loss(base: Path, adapter: Path | None, pictures: Pictures) -> float:
    """The mean squared error of the noise at five times for every held-out picture; None stands for the base alone."""
    import numpy as np
    import torch
    from diffusers import DDPMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(base, safety_checker=None, requires_safety_checker=False)
    if adapter is not None:
        pipe.load_lora_weights(adapter.parent, weight_name=adapter.name)
    schedule = DDPMScheduler.from_config(pipe.scheduler.config)
    draw = torch.Generator().manual_seed(3)
    losses = []
    with torch.no_grad():
        for caption, picture in pictures.held_out:
            pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
            latents = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
            embedding, _ = pipe.encode_prompt(caption, pipe.device, 1, False)
            noise = torch.randn((len(TIMES), *latents.shape[1:]), generator=draw)
            times = torch.tensor(TIMES)
            noisy = schedule.add_noise(latents.expand_as(noise), noise, times)
            said = pipe.unet(noisy, times, encoder_hidden_states=embedding.expand(len(TIMES), -1, -1)).sample
            losses.append(float((said - noise).square().mean()))
    return sum(losses) / len(losses)
