"""Which object, colour and background of the starter world a picture shows: a small network and its weights.

``generation.starter`` trains it and judges its own pictures by it; here its answer about objects screens pictures.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "judge.safetensors"
LABELS = ("sailboat", "house", "tree", "balloon", "fish", "mushroom", "star", "cup", "flower", "skull", "other")
INPUT_SIZE = 64
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
BACKGROUNDS = ("meadow", "desert", "night", "snow", "sea")


class StarterClassifier(nn.Module):
    """Four halvings of the side with a residual convolution after each, then one linear head for each question."""

    labels = LABELS

    def __init__(self, channels: tuple[int, ...] = (32, 64, 96, 128)):
        super().__init__()
        self.stem = nn.Conv2d(3, channels[0], 3, stride=2, padding=1)
        self.halve = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.refine = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)
        features = channels[-1] * 4
        self.object_head = nn.Linear(features, len(LABELS))
        self.colour_head = nn.Linear(features, len(COLOURS))
        self.background_head = nn.Linear(features, len(BACKGROUNDS))

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

    def object_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, 11) of the labels in pictures (N, H, W, 3) uint8 of any size."""
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = self(shrink(images))[0].softmax(1).numpy()
        return probabilities


def shrink(images: NDArray[np.uint8]) -> Tensor:
    """Pictures (N, H, W, 3) uint8 of any size as the network's input (N, 3, 64, 64) float32 in [-1, 1]."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"expected pictures (N, H, W, 3) uint8, found {images.shape} {images.dtype}")
    values = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return F.interpolate(values, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)


def load_classifier(weights: bytes | None = None) -> StarterClassifier:
    """The classifier of the shipped weights, or of the bytes of a safetensors file, in float32.

    Raises OSError or whatever safetensors and torch raise when the weights are missing, broken or another network's.
    """
    data = WEIGHTS.read_bytes() if weights is None else weights
    model = StarterClassifier()
    model.load_state_dict({name: tensor.float() for name, tensor in load(data).items()})
    return model.eval().requires_grad_(False)
