"""Trains the text encoder for a minute on captions alone, then it and the UNet together on latents."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from generation.starter import checkpoint
from generation.starter.checkpoint import Budget, Clock, Progress
from generation.starter.denoiser import CaptionReader, Denoiser, DenoiserRecipe
from generation.starter.gradients import Workers
from generation.starter.optimiser import Optimiser
from generation.starter.renders import labels_of
from generation.starter.scenes import Scene, draw_caption
from generation.starter.schedule import level_then_down
from generation.starter.tokenizer import MAX_LENGTH


class CaptionSource:
    """Token ids of captions, drawn anew each time."""

    def __init__(self, tokenizer: CLIPTokenizer, recipe: DenoiserRecipe):
        self._tokenizer, self._recipe = tokenizer, recipe

    def tokens(self, texts: list[str]) -> Tensor:
        """Token ids (B, 24) int64, padded as the pipeline pads them."""
        ids: Tensor = self._tokenizer(
            texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt"
        ).input_ids
        return ids

    def caption(self, scene: Scene, rng: np.random.Generator) -> str:
        """A caption, now and then with a made-up word in it, so that unknown words are taken calmly."""
        words = draw_caption(scene, rng).split()
        if rng.random() < self._recipe.stray_words:
            letters = "".join(chr(ord("a") + int(k)) for k in rng.integers(0, 26, int(rng.integers(2, 6))))
            words.insert(int(rng.integers(len(words) + 1)), letters)
        return " ".join(words)


class LatentSource:
    """Latents, noise, noise levels and captions for a step; the same step always gets the same ones."""

    def __init__(
        self,
        latents: Tensor,
        scene_index: NDArray[np.int64],
        order: tuple[Scene, ...],
        captions: CaptionSource,
        recipe: DenoiserRecipe,
        seed: int,
    ):
        self._latents, self._scene_index, self._order = latents, scene_index, order
        self._captions, self._recipe, self._seed = captions, recipe, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What ``Denoiser.loss`` takes."""
        size = self._recipe.batch
        rng = np.random.default_rng((self._seed, step))
        chosen = rng.integers(0, len(self._latents), size)
        noise = rng.standard_normal((size, *self._latents.shape[1:]), np.float32)
        # One level from each of `size` equal parts of the schedule, dealt at random: less variance than free draws.
        levels = (rng.permutation(size) + rng.random(size)) / size
        texts = [
            "" if rng.random() < self._recipe.no_caption else self._captions.caption(self._scene(i), rng)
            for i in chosen
        ]
        steps = torch.from_numpy((levels * 1000).astype(np.int64).clip(0, 999))
        return self._latents[torch.from_numpy(chosen)], torch.from_numpy(noise), steps, self._captions.tokens(texts)

    def _scene(self, i: int) -> Scene:
        return self._order[int(self._scene_index[i])]


def pretrain_text(
    reader: CaptionReader, captions: CaptionSource, order: tuple[Scene, ...], steps: int, workers: Workers, seed: int
) -> float:
    """Trains the caption reader for some steps of 64 captions and gives the last loss."""
    optimiser = Optimiser(reader.named_parameters(), muon_rate=0.01, each=workers.each)
    parameters = list(reader.parameters())
    value = 0.0
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        scenes = [order[int(i)] for i in rng.integers(0, len(order), 64)]
        tokens = captions.tokens([captions.caption(scene, rng) for scene in scenes])
        labels = torch.tensor([labels_of(scene) for scene in scenes])
        gradients, value = workers.gradients(reader.loss, parameters, tokens, labels)
        optimiser.step(gradients, level_then_down(step / steps, step))
    print(f"text {steps} loss {value:.4f}", file=sys.stderr)
    return value


def train_denoiser(
    denoiser: Denoiser,
    source: LatentSource,
    recipe: DenoiserRecipe,
    budget: Budget,
    workers: Workers,
    file: Path,
    report: Callable[[dict[str, Tensor], Progress], None],
    every: int = 100,
    report_every: int = 500,
) -> tuple[dict[str, Tensor], Progress]:
    """Trains to the end of the budget, from the checkpoint where there is one; gives the averaged weights."""
    optimiser = Optimiser(denoiser.named_parameters(), recipe.muon_rate, recipe.adam_rate, each=workers.each)
    progress = Progress()
    if file.exists():
        tensors, progress = checkpoint.load(file)
        denoiser.load_state_dict(checkpoint.part("weights", tensors))
        optimiser.restore(checkpoint.part("optimiser", tensors))
        average = checkpoint.part("average", tensors)
    else:
        average = {name: weight.detach().clone() for name, weight in denoiser.state_dict().items()}
    parameters = list(denoiser.parameters())

    def keep() -> None:
        tensors = checkpoint.under("weights", denoiser.state_dict()) | checkpoint.under("average", average)
        checkpoint.save(file, tensors | checkpoint.under("optimiser", optimiser.tensors()), progress)

    clock = Clock(progress)
    recent = 0.0
    while (spent := budget.spent(progress)) < 1:
        gradients, value = workers.gradients(denoiser.loss, parameters, *source.batch(progress.step))
        optimiser.step(gradients, level_then_down(spent, progress.step))
        progress = clock.at(progress.step + 1)
        rate = max(1 - recipe.average, 9 / (10 + progress.step))
        with torch.no_grad():
            for name, weight in denoiser.named_parameters():
                average[name].lerp_(weight, rate)
        recent += (value - recent) / min(progress.step, 100)
        if progress.step % every == 0:
            print(f"denoiser {progress.step} {progress.seconds:.0f}s loss {recent:.4f}", file=sys.stderr)
            keep()
        if progress.step % report_every == 0:
            report(average, progress)
    keep()
    return average, progress
