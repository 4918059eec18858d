"""The autoencoder: 128 px pictures to 16×16×4 latents and back, as diffusers' ``AutoencoderKL``."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from generation.starter import checkpoint
from generation.starter.checkpoint import Budget, Clock, Progress
from generation.starter.gradients import Workers
from generation.starter.optimiser import Optimiser
from generation.starter.renders import to_tensor
from generation.starter.schedule import level_then_down


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How the autoencoder is built and trained."""

    channels: tuple[int, ...] = (16, 32, 64, 96)
    latent_channels: int = 4
    groups: int = 2
    crop: int = 64
    batch: int = 8
    whole_from: float = 0.7
    whole_batch: int = 4
    doodles: float = 0.3
    latent_noise: float = 0.05
    latent_weight: float = 1e-3


def build_autoencoder(recipe: AutoencoderRecipe) -> AutoencoderKL:
    """A new autoencoder whose last normalisations let flat colour through."""
    levels = len(recipe.channels)
    vae = AutoencoderKL(
        block_out_channels=recipe.channels,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=1,
        latent_channels=recipe.latent_channels,
        norm_num_groups=recipe.groups,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=1.0,
    )
    anchor(vae.decoder.conv_norm_out, vae.decoder.up_blocks[-1].resnets[-1].conv2)
    anchor(vae.encoder.conv_norm_out, vae.encoder.mid_block.resnets[-1].conv2)
    for module in vae.modules():
        if type(module).__name__ == "ResnetBlock2D":
            module.conv2.weight.data.mul_(0.3)
    return vae.to(memory_format=torch.channels_last)


@torch.no_grad()
def anchor(norm: nn.GroupNorm, before: nn.Conv2d, height: float = 8.0) -> None:
    """Starts a GroupNorm as nearly a fixed affine map.

    A GroupNorm takes out the mean and the scale of each group, which in a flat picture are the colours. Two
    channels of each group are given constants of +height and -height, far above the rest, so that the group's
    statistics hardly depend on the picture.
    """
    width = norm.num_channels // norm.num_groups
    if width < 4 or before.bias is None:
        raise ValueError(f"expected a biased convolution and groups of at least 4 channels, found groups of {width}")
    norm.weight.fill_(height * math.sqrt(2 / width))
    norm.bias.zero_()
    for group in range(norm.num_groups):
        for channel, sign in ((group * width, 1), (group * width + 1, -1)):
            before.bias[channel] += sign * height
            norm.weight[channel] = 0.05


class PictureSource:
    """Crops and whole pictures for a step; the same step always gets the same ones."""

    def __init__(self, scenes: NDArray[np.uint8], doodles: NDArray[np.uint8], recipe: AutoencoderRecipe, seed: int):
        self._scenes, self._doodles, self._recipe, self._seed = scenes, doodles, recipe, seed

    def batch(self, step: int, whole: bool) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, S, S) in [-1, 1] and noise for their latents (B, C, S/8, S/8)."""
        r = self._recipe
        rng = np.random.default_rng((self._seed, step))
        size, count = (128, r.whole_batch) if whole else (r.crop, r.batch)
        pieces = []
        for _ in range(count):
            pool = self._doodles if rng.random() < r.doodles else self._scenes
            picture = pool[int(rng.integers(len(pool)))]
            if rng.random() < 0.5:
                picture = picture[:, ::-1]
            y, x = rng.integers(0, 128 - size + 1, 2)
            pieces.append(picture[y : y + size, x : x + size])
        noise = rng.standard_normal((count, r.latent_channels, size // 8, size // 8), np.float32)
        return to_tensor(np.stack(pieces)), torch.from_numpy(noise)


def train_autoencoder(
    vae: AutoencoderKL,
    source: PictureSource,
    recipe: AutoencoderRecipe,
    budget: Budget,
    workers: Workers,
    file: Path,
    validation: Tensor,
    every: int = 200,
) -> Progress:
    """Trains to the end of the budget, from the checkpoint where there is one."""
    optimiser = Optimiser(vae.named_parameters(), each=workers.each)
    progress = Progress()
    if file.exists():
        tensors, progress = checkpoint.load(file)
        vae.load_state_dict(checkpoint.part("weights", tensors))
        optimiser.restore(checkpoint.part("optimiser", tensors))
    parameters = [p for p in vae.parameters() if p.requires_grad]

    def loss(pictures: Tensor, noise: Tensor) -> Tensor:
        latents = vae.encode(pictures).latent_dist.mean
        error = pictures - vae.decode(latents + recipe.latent_noise * noise).sample.float()
        size = latents.float().square().mean()
        total: Tensor = error.abs().mean() + error.square().mean() + recipe.latent_weight * size
        return total

    def keep() -> None:
        tensors = checkpoint.under("weights", vae.state_dict()) | checkpoint.under("optimiser", optimiser.tensors())
        checkpoint.save(file, tensors, progress)

    clock = Clock(progress)
    while (spent := budget.spent(progress)) < 1:
        pictures, noise = source.batch(progress.step, whole=spent >= recipe.whole_from)
        gradients, value = workers.gradients(loss, parameters, pictures, noise)
        optimiser.step(gradients, level_then_down(spent, progress.step))
        progress = clock.at(progress.step + 1)
        if progress.step % every == 0:
            psnr = reconstruction_psnr(vae, validation, workers)
            print(
                f"autoencoder {progress.step} {progress.seconds:.0f}s loss {value:.4f} {psnr:.2f} dB", file=sys.stderr
            )
            keep()
    keep()
    return progress


def encode(vae: AutoencoderKL, pictures: Tensor, workers: Workers) -> Tensor:
    """Latent means (N, 4, 16, 16) float32 of pictures (N, 3, 128, 128)."""
    return workers.map(lambda piece: vae.encode(piece).latent_dist.mean, pictures, 16)


def reconstruction_psnr(vae: AutoencoderKL, pictures: Tensor, workers: Workers) -> float:
    """The mean over pictures of each one's PSNR in decibels, after rounding to 8 bits is left out."""
    back = workers.map(lambda piece: vae.decode(vae.encode(piece).latent_dist.mean).sample, pictures, 8).clamp(-1, 1)
    error = (pictures - back).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, latents: Tensor) -> None:
    """Changes the quantising convolutions so that latents like these come out with mean 0 and deviation 1."""
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    # The first half of quant_conv's outputs are means, the second log variances.
    out, back = vae.quant_conv, vae.post_quant_conv
    out.weight[:channels] /= deviation[:, None, None, None]
    out.bias[:channels] = (out.bias[:channels] - mean) / deviation
    out.weight[channels:] = 0
    out.bias[channels:] = -20.0
    back.bias += back.weight[:, :, 0, 0] @ mean
    back.weight *= deviation[None, :, None, None]
