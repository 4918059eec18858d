"""One batch: which samples, with which noise, at which time; and how far off the denoiser was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from training.dataset.cache import Cache, Slot
from training.dataset.masks import masked_means, stacked_masks
from training.dataset.prior import loss_shares
from training.draws import generator
from training.layers import trains_text
from training.precision import computing
from training.spoken import embed_captions

if TYPE_CHECKING:
    import torch

    from training.config import TrainConfig
    from training.families.protocol import Family


@dataclass(frozen=True)
class Batch:
    """What the denoiser is shown and what it should say; tensors on the training device.

    ``clean``, ``noise``, ``noisy`` and ``target`` are ``(B, C, h, w)`` in the denoiser's scale, ``times`` is ``(B,)``,
    ``embeddings`` is ``(B, L, D)``, ``pooled`` is ``(B, P)`` or None, ``time_ids`` is ``(B, 6)``, ``weights`` is
    ``(B,)``; ``jitter`` is noise that is shown but not asked for, ``(B, C, h, w)`` or None. ``mask`` is how much each
    latent pixel counts, ``(B, 1, h, w)`` in 0…1, or None.

    Where text encoders are trained, ``captions`` are read anew in place of ``embeddings`` and ``pooled``, which are
    what the base made of them; None is no caption.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    jitter: torch.Tensor | None
    noisy: torch.Tensor
    times: torch.Tensor
    target: torch.Tensor
    embeddings: torch.Tensor
    pooled: torch.Tensor | None
    time_ids: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor | None
    captions: tuple[str | None, ...] | None = None

    def with_noise(self, family: Family, noise: torch.Tensor) -> Batch:
        """The same batch under another noise, which the denoiser is then asked for."""
        shown = noise if self.jitter is None else noise + self.jitter
        noisy = family.noising.add_noise(self.clean, shown, self.times)
        return replace(self, noise=noise, noisy=noisy, target=family.noising.target(self.clean, noise, self.times))


def draw_batch(family: Family, cache: Cache, config: TrainConfig, step: int, part: int) -> Batch:
    """Draws the ``part``-th batch of a step; every number comes from (seed, step, sample) alone."""
    return make_batch(family, cache, config, step, cache.plan(step, part))


def make_batch(family: Family, cache: Cache, config: TrainConfig, step: int, slots: Sequence[Slot]) -> Batch:
    """The batch of some slots, whose pictures have one size; each is drawn by the step and its number."""
    import torch

    samples = [_draw_sample(family, cache, config, step, slot) for slot in slots]
    text = cache.text([slot.row for slot in slots])
    device = family.device
    clean = family.scale_latents(torch.stack([sample.latents for sample in samples])).to(device)
    noise = torch.stack([sample.noise for sample in samples]).to(device)
    jitter = torch.stack([sample.jitter for sample in samples]).to(device) if config.input_perturbation else None
    times = torch.stack([sample.time for sample in samples]).to(device)
    mask = stacked_masks([cache.mask(slot.item, slot.view) for slot in slots], clean.shape[-2:])
    shares = loss_shares([slot.is_prior for slot in slots], config)
    return Batch(
        clean=clean,
        noise=noise,
        jitter=jitter,
        noisy=clean,
        times=times,
        target=noise,
        embeddings=text.embeddings.to(device),
        pooled=None if text.pooled is None else text.pooled.to(device),
        time_ids=torch.stack([cache.time_ids(slot.item, slot.view) for slot in slots]).to(device),
        weights=family.noising.weights(times, config.min_snr_gamma) * shares.to(device),
        mask=None if mask is None else mask.to(device),
        captions=_captions(cache, slots) if trains_text(config) else None,
    ).with_noise(family, noise)


def batch_loss(family: Family, batch: Batch, config: TrainConfig) -> torch.Tensor:
    """The mean squared error of the denoiser's prediction, each sample weighted; a scalar in float32."""
    if config.adversarial_noise:
        batch = _hardened(family, batch, config)
    loss: torch.Tensor = sample_losses(family, batch, config).mean()
    return loss


def sample_losses(family: Family, batch: Batch, config: TrainConfig) -> torch.Tensor:
    """Each sample's weighted mean squared error, ``(B,) float32``."""
    with computing(config, batch.noisy.device.type):
        predicted = family.predict(batch if batch.captions is None else _reread(family, batch, batch.captions))
    return masked_means((predicted.float() - batch.target).square(), batch.mask) * batch.weights


def _captions(cache: Cache, slots: Sequence[Slot]) -> tuple[str | None, ...]:
    return tuple(None if slot.row == cache.without_caption else cache.captions[slot.row] for slot in slots)


def _reread(family: Family, batch: Batch, captions: Sequence[str | None]) -> Batch:
    """The batch with its captions as the text encoders, which are being trained, read them now."""
    text = embed_captions(family, captions)
    pooled = None if text.pooled is None else text.pooled.to(family.device)
    return replace(batch, embeddings=text.embeddings.to(family.device), pooled=pooled)


@dataclass(frozen=True)
class _Sample:
    """Latents before scaling, noise, and jitter ``(C, h, w)``, and a time; on the CPU."""

    latents: torch.Tensor
    noise: torch.Tensor
    jitter: torch.Tensor
    time: torch.Tensor


def _draw_sample(family: Family, cache: Cache, config: TrainConfig, step: int, slot: Slot) -> _Sample:
    import torch

    mean, deviation = cache.latents(slot.item, slot.view)

    def draw(purpose: str, shape: tuple[int, ...] = tuple(mean.shape)) -> torch.Tensor:
        return torch.randn(shape, generator=generator(config.seed, step, slot.sample, purpose))

    return _Sample(
        latents=mean + deviation * draw("latent"),
        noise=_offset(draw, mean.shape[0], config),
        jitter=config.input_perturbation * draw("jitter") if config.input_perturbation else torch.empty(0),
        time=family.noising.draw_time(generator(config.seed, step, slot.sample, "time")),
    )


def _offset(draw: Callable[..., torch.Tensor], channels: int, config: TrainConfig) -> torch.Tensor:
    """Noise, of which each channel is moved as a whole, so that brightness is learned too (Guttenberg 2023)."""
    noise = draw("noise")
    return noise + config.noise_offset * draw("offset", (channels, 1, 1)) if config.noise_offset else noise


def _hardened(family: Family, batch: Batch, config: TrainConfig) -> Batch:
    """The batch under the noise, within ``adversarial_noise`` of the one drawn, that the denoiser errs on most.

    Adversarial training of denoisers (arXiv:2502.17099, 2505.21742): one step along the sign of the loss's gradient
    (arXiv:1412.6572). What is predicted moves with the noise, as these papers show it must: the mixture is that of the
    same picture with other noise. This costs one more pass forwards and backwards.
    """
    import torch

    noise = batch.noise.detach().requires_grad_()
    losses = sample_losses(family, batch.with_noise(family, noise), config)
    (gradient,) = torch.autograd.grad(losses.sum(), noise)
    with torch.no_grad():
        return batch.with_noise(family, batch.noise + config.adversarial_noise * gradient.sign())
