"""The judge: says which object, colour and background a picture of the starter world shows.

It measures the generator while that is trained. Its network and weights are those of the starter world's content
filter; its eleventh object, ``other``, is what it answers to pictures from outside the world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generation.starter.scenes import BACKGROUNDS, COLOURS, OBJECTS
from safety.starter.classifier import WEIGHTS, StarterClassifier, load_classifier, shrink

OTHER = "other"
OBJECT_NAMES = (*OBJECTS, OTHER)
COLOUR_NAMES = tuple(COLOURS)
BACKGROUND_NAMES = tuple(BACKGROUNDS)

__all__ = ["OTHER", "WEIGHTS", "Opinion", "StarterClassifier", "judge", "load_classifier", "shrink"]


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


def judge(images: NDArray[np.uint8], model: StarterClassifier) -> Opinion:
    """A model's opinion of pictures (N, H, W, 3) uint8 of any size."""
    parts: list[list[Tensor]] = [[], [], []]
    with torch.no_grad():
        for piece in torch.split(shrink(images), 128):
            for kept, logits in zip(parts, model(piece), strict=True):
                kept.append(logits.float().softmax(1))
    objects, colours, backgrounds = (torch.cat(kept).numpy() for kept in parts)
    return Opinion(objects, colours, backgrounds)
