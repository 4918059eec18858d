"""The judge: a small classifier that says which object, colour and background a picture of the starter world shows.

It measures the generator while that is trained, and serves afterwards as the starter world's content filter. Its
eleventh object, ``other``, is what it answers to pictures from outside the world.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from generation.starter.scenes import BACKGROUNDS, COLOURS, OBJECTS

OTHER = "other"
OBJECT_NAMES = (*OBJECTS, OTHER)
COLOUR_NAMES = tuple(COLOURS)
BACKGROUND_NAMES = tuple(BACKGROUNDS)
JUDGE_FOLDER = Path(__file__).parent / "judge"
WEIGHTS = "judge.safetensors"
INPUT_SIZE = 64


class Judge(nn.Module):
    """Four halvings of the side with a residual convolution after each, then one linear head for each question."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 96, 128)):
        super().__init__()
        self.stem = nn.Conv2d(3, channels[0], 3, stride=2, padding=1)
        self.halve = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.refine = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)
        features = channels[-1] * 4
        self.object_head = nn.Linear(features, len(OBJECT_NAMES))
        self.colour_head = nn.Linear(features, len(COLOUR_NAMES))
        self.background_head = nn.Linear(features, len(BACKGROUND_NAMES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, 11), (N, 6) and (N, 5) of pictures (N, 3, 64, 64) in [-1, 1]."""
        x = F.silu(self.stem(pictures))
        x = x + F.silu(self.refine[0](x))
        for halve, refine in zip(self.halve, list(self.refine)[1:], strict=True):
            x = F.silu(halve(x))
            x = x + F.silu(refine(x))
        # Means over four quarters keep a little of the place of things.
        features = F.adaptive_avg_pool2d(x, 2).flatten(1)
        return self.object_head(features), self.colour_head(features), self.background_head(features)


@dataclass(frozen=True)
class Opinion:
    """What a judge sees in N pictures: probabilities (N, 11), (N, 6) and (N, 5) float32."""

    objects: NDArray[np.float32]
    colours: NDArray[np.float32]
    backgrounds: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The likeliest object, colour and background of each picture, (N, 3) int64."""
        return np.stack([p.argmax(1) for p in (self.objects, self.colours, self.backgrounds)], axis=1)


def shrink(images: NDArray[np.uint8]) -> Tensor:
    """Pictures (N, H, W, 3) uint8 of any size as the judge's input (N, 3, 64, 64) float32 in [-1, 1]."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"expected pictures (N, H, W, 3) uint8, found {images.shape} {images.dtype}")
    values = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return F.interpolate(values, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)


def judge(images: NDArray[np.uint8], model: Judge | None = None) -> Opinion:
    """The shipped judge's opinion of pictures (N, H, W, 3) uint8 of any size, or that of the model given."""
    model = model or load_judge()
    parts: list[list[Tensor]] = [[], [], []]
    with torch.no_grad():
        for piece in torch.split(shrink(images), 128):
            for kept, logits in zip(parts, model(piece), strict=True):
                kept.append(logits.float().softmax(1))
    objects, colours, backgrounds = (torch.cat(kept).numpy() for kept in parts)
    return Opinion(objects, colours, backgrounds)


def object_probabilities(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (N, 10) of the world's objects in pictures (N, H, W, 3) uint8; what is missing to 1 is "other"."""
    objects: NDArray[np.float32] = judge(images).objects[:, : len(OBJECTS)]
    return objects


@lru_cache(maxsize=4)
def load_judge(folder: Path = JUDGE_FOLDER) -> Judge:
    """The judge whose weights lie in a folder, in float32 and ready to ask."""
    model = Judge()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()})
    return model.eval().requires_grad_(False)
