"""One batch: which samples, with which noise, at which time; and how far off the UNet was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.cache import Cache
from training.draws import generator
from training.pipeline import scale_latents

if TYPE_CHECKING:
    import torch

    from training.config import TrainConfig


@dataclass(frozen=True)
class Batch:
    """What the UNet is shown and what it should say; tensors on the training device.

    ``noisy`` and ``target`` are ``(B, C, H/8, W/8)``, ``times`` is ``(B,)`` int64, ``embeddings`` is ``(B, L, D)``,
    ``weights`` is ``(B,)``; ``conditions`` holds SDXL's ``text_embeds (B, P)`` and ``time_ids (B, 6)``, else None.
    """

    noisy: torch.Tensor
    times: torch.Tensor
    target: torch.Tensor
    embeddings: torch.Tensor
    conditions: dict[str, torch.Tensor] | None
    weights: torch.Tensor


def draw_batch(pipe: Any, schedule: Any, cache: Cache, config: TrainConfig, step: int, part: int) -> Batch:
    """Draws the ``part``-th batch of a step; every number comes from (seed, step, sample) alone."""
    import torch

    latents, noises, times, time_ids = [], [], [], []
    slots = cache.plan(step, part)
    for slot in slots:
        mean, deviation = cache.latents(slot.item, slot.view)

        def draw(purpose: str, shape: torch.Size, sample: int = slot.sample) -> torch.Tensor:
            return torch.randn(shape, generator=generator(config.seed, step, sample, purpose))

        latents.append(mean + deviation * draw("latent", mean.shape))
        noise = draw("noise", mean.shape)
        if config.noise_offset:
            noise = noise + config.noise_offset * draw("offset", torch.Size((mean.shape[0], 1, 1)))
        noises.append(noise)
        clock = generator(config.seed, step, slot.sample, "time")
        times.append(torch.randint(schedule.config.num_train_timesteps, (), generator=clock))
        time_ids.append(cache.time_ids(slot.item, slot.view))

    text = cache.text([slot.row for slot in slots])
    device = next(pipe.unet.parameters()).device
    clean, noise = scale_latents(pipe, torch.stack(latents)).to(device), torch.stack(noises).to(device)
    time = torch.stack(times).to(device)
    conditions = None
    if text.pooled is not None:
        conditions = {"text_embeds": text.pooled.to(device), "time_ids": torch.stack(time_ids).to(device)}
    return Batch(
        noisy=schedule.add_noise(clean, noise, time),
        times=time,
        target=_target(schedule, clean, noise, time),
        embeddings=text.embeddings.to(device),
        conditions=conditions,
        weights=_weights(schedule, time, config.min_snr_gamma),
    )


def batch_loss(pipe: Any, batch: Batch, config: TrainConfig) -> torch.Tensor:
    """The mean squared error of the UNet's prediction, each sample weighted; a scalar in float32."""
    import torch

    with torch.autocast(batch.noisy.device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
        predicted = pipe.unet(
            batch.noisy, batch.times, encoder_hidden_states=batch.embeddings, added_cond_kwargs=batch.conditions
        ).sample
    errors = (predicted.float() - batch.target).square().mean(dim=(1, 2, 3))
    loss: torch.Tensor = (errors * batch.weights).mean()
    return loss


def _target(schedule: Any, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    kind = schedule.config.prediction_type
    if kind == "v_prediction":
        velocity: torch.Tensor = schedule.get_velocity(clean, noise, times)
        return velocity
    return noise if kind == "epsilon" else clean


def _weights(schedule: Any, times: torch.Tensor, gamma: float) -> torch.Tensor:
    """Min-SNR weights (arXiv:2303.09556) for what is predicted; ones when gamma is 0."""
    import torch

    if gamma == 0:
        return torch.ones(len(times), device=times.device)
    kept: torch.Tensor = schedule.alphas_cumprod.to(times.device)[times]
    ratio = kept / (1 - kept)
    capped = ratio.clamp(max=gamma)
    kind = schedule.config.prediction_type
    if kind == "epsilon":
        return capped / ratio.clamp(min=1e-8)
    return capped / (ratio + 1) if kind == "v_prediction" else capped
