"""First stage: the vision tower learns objects, colours and places by name, before any text.

The three questions are answered by cosine against a learned direction for each name, so the embedding is laid out as
a text tower will need it. Colours are withheld from the object question by greyscale pictures and odd paints.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from safety.starter.disturb import disturb
from safety.starter.lessons import COLOUR_NAMES, OBJECT_NAMES, PLACE_NAMES, UNKNOWN, Lessons

AHEAD = 3


@dataclass(frozen=True)
class VisionRecipe:
    """How the vision tower is trained."""

    steps: int = 2000
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    warmup: float = 0.05
    scale: float = 20.0
    smoothing: float = 0.02
    weights: tuple[float, float, float] = (1.0, 0.5, 0.5)


class NamedDirections(nn.Module):
    """A direction for every object, colour and place; logits are scaled cosines."""

    def __init__(self, embedding: int, scale: float):
        super().__init__()
        sizes = (len(OBJECT_NAMES), len(COLOUR_NAMES), len(PLACE_NAMES))
        self.directions = nn.ParameterList(nn.Parameter(torch.randn(size, embedding)) for size in sizes)
        self.scale = scale

    def forward(self, embeddings: Tensor) -> list[Tensor]:
        """Logits (N, 11), (N, 10) and (N, 5) of embeddings (N, D) of any length."""
        seen = F.normalize(embeddings, dim=1)
        return [self.scale * seen @ F.normalize(names, dim=1).T for names in self.directions]


def train_vision(model: Any, lessons: Lessons, recipe: VisionRecipe, seed: int) -> NamedDirections:
    """Trains ``model.visual`` in place; returns the directions of the names."""
    heads = NamedDirections(model.visual.output_dim, recipe.scale)
    parameters = [*model.visual.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rise_and_fall(step, recipe))
    model.visual.train().to(memory_format=torch.channels_last)
    began, mean = time.monotonic(), 0.0
    for step, (pictures, labels) in enumerate(_batches(lessons, recipe, seed)):
        loss = _loss(heads(model.visual(pictures)), labels, recipe)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if (step + 1) % 100 == 0:
            print(f"vision {step + 1} {time.monotonic() - began:.0f}s loss {mean:.3f}", file=sys.stderr, flush=True)
    model.visual.eval().to(memory_format=torch.contiguous_format)
    return heads.eval().requires_grad_(False)


def rise_and_fall(step: int, recipe: VisionRecipe) -> float:
    """A short linear rise, then half a cosine down to nothing."""
    rise = max(1, round(recipe.warmup * recipe.steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * float(np.cos(np.pi * (step - rise) / max(1, recipe.steps - rise)))


def embeddings_of(model: Any, inputs: Tensor, batch: int = 256) -> Tensor:
    """Unit embeddings (N, D) of network input (N, 3, S, S)."""
    with torch.no_grad():
        return torch.cat([F.normalize(model.visual(piece).float(), dim=1) for piece in torch.split(inputs, batch)])


def _loss(answers: list[Tensor], labels: Tensor, recipe: VisionRecipe) -> Tensor:
    parts = [
        weight * F.cross_entropy(logits, truth, ignore_index=UNKNOWN, label_smoothing=recipe.smoothing)
        for weight, logits, truth in zip(recipe.weights, answers, labels.unbind(1), strict=True)
    ]
    return torch.stack(parts).sum()


def _batches(lessons: Lessons, recipe: VisionRecipe, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every step's disturbed pictures and labels, prepared a little ahead; a step's depend on seed and step alone."""
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[tuple[Tensor, Tensor]]] = []
        for step in range(recipe.steps + AHEAD):
            if step < recipe.steps:
                waiting.append(pool.submit(disturbed_batch, lessons, recipe.batch, seed, step))
            if step >= AHEAD and waiting:
                yield waiting.pop(0).result()


def disturbed_batch(lessons: Lessons, batch: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, S, S) and labels (B, 3) int64, the colour unknown where it was taken away."""
    rng = np.random.default_rng((seed, step))
    chosen: NDArray[np.int64] = rng.integers(len(lessons.pictures), size=batch)
    pictures, grey = disturb(lessons.pictures[chosen], rng)
    labels = lessons.labels[chosen].copy()
    labels[grey, 1] = UNKNOWN
    return pictures, torch.from_numpy(labels)
