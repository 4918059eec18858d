"""Trains the judge on fresh renders, roughened as pictures are on their way through the world."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from generation.starter import checkpoint
from generation.starter.checkpoint import Budget, Clock, Progress
from generation.starter.gradients import Workers
from generation.starter.judge import OBJECT_NAMES, judge
from generation.starter.optimiser import Optimiser
from generation.starter.renders import Renders, labels_of
from generation.starter.scenes import SCENES, Scene
from generation.starter.schedule import level_then_down
from safety.starter.classifier import StarterClassifier, shrink

NO_LABEL = -100  # what cross_entropy ignores


@dataclass(frozen=True)
class JudgeRecipe:
    """How the judge is trained."""

    batch: int = 64
    others: float = 0.25
    roughened: float = 0.6


class JudgeSource:
    """Labelled pictures for a step: scenes, and doodles or jumbled scenes as the class ``other``."""

    def __init__(
        self, scenes: Renders, order: tuple[Scene, ...], doodles: NDArray[np.uint8], recipe: JudgeRecipe, seed: int
    ):
        self._scenes, self._doodles, self._recipe, self._seed = scenes, doodles, recipe, seed
        self._labels = np.array([labels_of(scene) for scene in order], np.int64)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, 64, 64) in [-1, 1] and labels (B, 3) int64."""
        rng = np.random.default_rng((self._seed, step))
        pictures, labels = [], []
        for _ in range(self._recipe.batch):
            if rng.random() < self._recipe.others:
                pictures.append(self._other(rng))
                labels.append((OBJECT_NAMES.index("other"), NO_LABEL, NO_LABEL))
            else:
                i = int(rng.integers(len(self._scenes.pictures)))
                pictures.append(self._scenes.pictures[i])
                labels.append(tuple(self._labels[self._scenes.scene_index[i]]))
        seen = [roughen(p, rng) if rng.random() < self._recipe.roughened else p for p in pictures]
        return torch.cat([shrink(p[None]) for p in seen]), torch.tensor(np.array(labels))

    def _other(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        kind = rng.random()
        if kind < 0.6:
            doodle: NDArray[np.uint8] = self._doodles[int(rng.integers(len(self._doodles)))]
            return doodle
        scene: NDArray[np.uint8] = self._scenes.pictures[int(rng.integers(len(self._scenes.pictures)))]
        if kind < 0.9:
            return jumble(scene, rng)
        return np.broadcast_to(rng.integers(0, 256, (1, 1, 3), np.uint8), scene.shape)


def jumble(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The sixteen squares of a picture in another order: the right colours, and no object."""
    side = picture.shape[0] // 4
    squares = picture.reshape(4, side, 4, side, 3).transpose(0, 2, 1, 3, 4).reshape(16, side, side, 3)
    mixed: NDArray[np.uint8] = squares[rng.permutation(16)].reshape(4, 4, side, side, 3).transpose(0, 2, 1, 3, 4)
    return mixed.reshape(picture.shape)


def roughen(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One or two of blur, noise, JPEG, light, a shifted or zoomed frame; (H, W, 3) uint8 both ways."""
    image = Image.fromarray(picture)
    for kind in rng.permutation(5)[: int(rng.integers(1, 3))]:
        if kind == 0:
            image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.8))))
        elif kind == 1:
            noise = rng.normal(0, rng.uniform(2, 20), picture.shape)
            image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
        elif kind == 2:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=int(rng.integers(25, 95)))
            image = Image.open(file).convert("RGB")
        elif kind == 3:
            values = (np.asarray(image) - 128.0) * rng.uniform(0.8, 1.15) + 128 + rng.uniform(-18, 18)
            image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
        else:
            margin = rng.uniform(0, 0.09, 4) * image.width
            box = (margin[0], margin[1], image.width - margin[2], image.height - margin[3])
            image = image.resize(image.size, Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)


def judge_loss(model: StarterClassifier, pictures: Tensor, labels: Tensor) -> Tensor:
    """The sum of the three questions' cross-entropies over the pictures that have an answer."""
    objects, colours, backgrounds = (logits.float() for logits in model(pictures))
    return (
        F.cross_entropy(objects, labels[:, 0])
        + F.cross_entropy(colours, labels[:, 1], ignore_index=NO_LABEL)
        + F.cross_entropy(backgrounds, labels[:, 2], ignore_index=NO_LABEL)
    )


def train_judge(
    model: StarterClassifier, source: JudgeSource, budget: Budget, workers: Workers, file: Path, every: int = 100
) -> Progress:
    """Trains to the end of the budget, from the checkpoint where there is one."""
    optimiser = Optimiser(model.named_parameters(), muon_rate=0.01, each=workers.each)
    progress = Progress()
    if file.exists():
        tensors, progress = checkpoint.load(file)
        model.load_state_dict(checkpoint.part("weights", tensors))
        optimiser.restore(checkpoint.part("optimiser", tensors))
    parameters = list(model.parameters())

    def loss(pictures: Tensor, labels: Tensor) -> Tensor:
        return judge_loss(model, pictures, labels)

    def keep() -> None:
        tensors = checkpoint.under("weights", model.state_dict()) | checkpoint.under("optimiser", optimiser.tensors())
        checkpoint.save(file, tensors, progress)

    clock = Clock(progress)
    while (spent := budget.spent(progress)) < 1:
        pictures, labels = source.batch(progress.step)
        gradients, value = workers.gradients(loss, parameters, pictures, labels)
        optimiser.step(gradients, level_then_down(spent, progress.step))
        progress = clock.at(progress.step + 1)
        if progress.step % every == 0:
            print(f"judge {progress.step} {progress.seconds:.0f}s loss {value:.4f}", file=sys.stderr)
            keep()
    keep()
    return progress


def accuracy(
    model: StarterClassifier, renders: Renders, order: tuple[Scene, ...] = SCENES
) -> tuple[float, float, float]:
    """The parts of renders whose object, colour and background the judge names rightly."""
    truth = np.array([labels_of(scene) for scene in order])[renders.scene_index]
    right = (judge(renders.pictures, model).labels == truth).mean(0)
    return float(right[0]), float(right[1]), float(right[2])
