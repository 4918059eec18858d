"""From latents back to the noise they were drawn from: a deterministic sampler, run in reverse.

Guidance 1 and the empty prompt, since a reader knows neither. The first step takes the latents for what they are, an
inexact copy: it treats them as noisy at the level that encoding leaves behind, so that directions in which the model
leaves no trace of its noise are not amplified without bound.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import SamplingFailed
from generation.latent_mark import is_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 10
# The ratio of noise to signal at which inversion begins: what an autoencoder and a recompression leave, generously.
START_NOISE = 0.3
PREDICTIONS = ("epsilon", "v_prediction", "sample")

Model = Callable[[Any, Any], Any]


def invert(
    pipeline: Any, latents: NDArray[np.float32], *, steps: int = STEPS, start: float = START_NOISE
) -> NDArray[np.float32]:
    """Estimates the initial noise of latents (B, C, h, w) in the model's own scale; the same shape and type.

    ``steps`` evaluations of the model: DDIM inversion for predictions of noise, velocity or sample, and reverse Euler
    over the pipeline's own shifted schedule for flows. ``start`` 0 inverts exact latents. Raises SamplingFailed for a
    scheduler it does not know or when the model gives values that are not finite.
    """
    import torch

    with torch.inference_mode():
        sample = torch.from_numpy(np.array(latents, dtype=np.float32)).to(pipeline.device)
        reverse = _reverse_flow if is_flow(pipeline) else _reverse_diffusion
        noise: NDArray[np.float32] = reverse(pipeline, sample, steps, start).cpu().numpy()
    if not np.isfinite(noise).all():
        raise SamplingFailed("inverting the sampler gave values that are not finite", fix="use full precision")
    return noise


def encode(pipeline: Any, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The latents (B, C, h, w) of pictures (B, H, W, 3), H and W multiples of the autoencoder's factor.

    The mode of the posterior, never a sample, in single precision: SDXL's autoencoder overflows in half precision.
    Raises SamplingFailed for values that are not finite.
    """
    import torch

    vae = pipeline.vae.to(torch.float32)
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    with torch.inference_mode():
        pixels = torch.from_numpy(np.array(pictures)).to(pipeline.device).permute(0, 3, 1, 2)
        mode = vae.encode(pixels.float() / 127.5 - 1).latent_dist.mode()
        latents: NDArray[np.float32] = ((mode - shift) * vae.config.scaling_factor).cpu().numpy()
    if not np.isfinite(latents).all():
        raise SamplingFailed("the autoencoder gave values that are not finite", fix="check the base's weights")
    return latents


def _reverse_diffusion(pipeline: Any, latents: Any, steps: int, start: float) -> Any:
    """DDIM inversion over the scheduler's own timesteps."""
    import torch

    kind = pipeline.scheduler.config.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise SamplingFailed("the base predicts something unknown", expected=", ".join(PREDICTIONS), found=str(kind))
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    signals = scheduler.alphas_cumprod.double()
    first = int(torch.searchsorted((1 - signals) / signals, start**2)) if start else -1
    times = [first, *sorted({int(t) for t in scheduler.timesteps if int(t) > first})]
    model = _unet(pipeline, latents)

    def parts(time: int) -> tuple[float, float]:
        kept = float(signals[time]) if time >= 0 else 1.0
        return kept**0.5, (1 - kept) ** 0.5

    sample = latents * parts(first)[0]
    for now, later in pairwise(times):
        signal, noise = parts(now)
        picture, disturbance = _split(kind, model(sample, max(now, 0)), sample, signal, noise)
        signal, noise = parts(later)
        sample = signal * picture + noise * disturbance
    return sample


def _split(kind: str, output: Any, sample: Any, signal: float, noise: float) -> tuple[Any, Any]:
    """The picture and the noise that a model sees in a sample."""
    if kind == "v_prediction":
        return signal * sample - noise * output, noise * sample + signal * output
    if kind == "sample":
        return output, (sample - signal * output) / max(noise, 1e-4)
    return (sample - noise * output) / signal, output


def _reverse_flow(pipeline: Any, latents: Any, steps: int, start: float) -> Any:
    """Euler steps up the sigmas that the pipeline would come down."""
    import torch

    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    shift = {"mu": _resolution_shift(pipeline, latents)} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(steps, **shift)
    first = start / (1 + start)
    sigmas = [first, *sorted({float(sigma) for sigma in scheduler.sigmas if float(sigma) > first})]
    model = _transformer(pipeline, latents)
    sample = latents * (1 - first)
    for now, later in pairwise(sigmas):
        time = torch.full((len(latents),), now * scheduler.config.num_train_timesteps, device=latents.device)
        sample = sample + (later - now) * model(sample, time)
    return sample


def _resolution_shift(pipeline: Any, latents: Any) -> float:
    from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

    config, patch = pipeline.scheduler.config, pipeline.transformer.config.patch_size
    mu: float = calculate_shift(
        (latents.shape[2] // patch) * (latents.shape[3] // patch),
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    return mu


def _unet(pipeline: Any, latents: Any) -> Model:
    count, kind = len(latents), pipeline.unet.dtype
    encoded = pipeline.encode_prompt(
        prompt="", device=latents.device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    conditions: dict[str, Any] = {"encoder_hidden_states": encoded[0].expand(count, -1, -1).to(kind)}
    if getattr(pipeline, "text_encoder_2", None) is not None:
        pooled = encoded[2].to(kind)
        size = tuple(side * pipeline.vae_scale_factor for side in latents.shape[2:])
        times = pipeline._get_add_time_ids(size, (0, 0), size, kind, text_encoder_projection_dim=pooled.shape[-1])
        conditions["added_cond_kwargs"] = {
            "text_embeds": pooled.expand(count, -1),
            "time_ids": times.to(latents.device).expand(count, -1),
        }
    return lambda sample, time: pipeline.unet(sample.to(kind), time, **conditions).sample.float()


def _transformer(pipeline: Any, latents: Any) -> Model:
    count, kind = len(latents), pipeline.transformer.dtype
    encoded = pipeline.encode_prompt(
        prompt="", prompt_2="", prompt_3="", device=latents.device, do_classifier_free_guidance=False
    )
    conditions = {
        "encoder_hidden_states": encoded[0].expand(count, -1, -1).to(kind),
        "pooled_projections": encoded[2].expand(count, -1).to(kind),
    }
    return lambda sample, time: pipeline.transformer(
        hidden_states=sample.to(kind), timestep=time, **conditions
    ).sample.float()
