"""What pictures are compared by: directions of a CLIP model, or features of an Inception network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from generation.evaluation.inception import open_inception
from provenance.errors import UsageError
from safety.clip_model import STARTER_MODEL, ClipModel, open_clip_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = "starter, clip:MODEL, or inception:FILE.safetensors"


class Extractor(Protocol):
    """Pictures in, rows of features out; the digest names the weights."""

    @property
    def name(self) -> str:
        """Which kind of features these are."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal."""

    @property
    def dimensions(self) -> int:
        """The length of a row."""

    def features(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features (N, dimensions) of N pictures (H, W, 3) uint8 of any sizes."""


@dataclass(frozen=True)
class ClipFeatures:
    """The directions of a CLIP model, of length 1."""

    name: str
    clip: ClipModel
    dimensions: int

    @property
    def digest(self) -> str:
        """The model's digest."""
        return self.clip.digest

    def features(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Directions (N, dimensions); raises FilterError when the model gives none."""
        return self.clip.images(pictures) if pictures else np.zeros((0, self.dimensions), np.float32)


def clip_features(name: str, clip: ClipModel) -> ClipFeatures:
    """The features of a loaded CLIP model under a name."""
    return ClipFeatures(name, clip, clip.texts(["a picture"]).shape[1])


def open_features(wanted: str, device: str, tag: str | None = None) -> Extractor:
    """Opens features by what the command line calls them; raises UsageError, FilterError or GenerationError.

    ``tag`` names the weights of an open_clip architecture.
    """
    kind, _, rest = wanted.partition(":")
    if wanted == STARTER_MODEL:
        return clip_features(STARTER_MODEL, open_clip_model(STARTER_MODEL, None, device))
    if kind == "clip" and rest:
        return clip_features(wanted if tag is None else f"{wanted} {tag}", open_clip_model(rest, tag, device))
    if kind == "inception" and rest:
        return open_inception(Path(rest), device)
    raise UsageError("features of a kind that is not known", expected=KINDS, found=wanted[:80])
