"""What the marked pictures go through: recompression and filters, a turn that is undone, and two regenerations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.latent.starter import rediffused, through_autoencoder
from benchmarks.watermark import attacks as pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

Attack = Callable[["NDArray[np.uint8]", int], "NDArray[np.uint8]"]
STRENGTHS = (0.05, 0.1, 0.2, 0.3)


def attacks(pipeline: Any) -> dict[str, Attack]:
    """Every attack by its name; each is given a picture and a seed."""
    return {
        "none": lambda picture, seed: picture,
        "JPEG 75": _seeded(pixels.jpeg, quality=75),
        "JPEG 50": _seeded(pixels.jpeg, quality=50),
        "JPEG 25": _seeded(pixels.jpeg, quality=25),
        "blur σ 1": _seeded(pixels.blur, sigma=1.0),
        "noise 0.02": _seeded(pixels.noise, sigma=0.02),
        "half the size and back": lambda picture, seed: _half_and_back(picture),
        "turned by 10°, straightened": lambda picture, seed: _turned_and_straightened(picture, 10.0),
        "through the autoencoder": lambda picture, seed: through_autoencoder(pipeline, picture),
        "through the autoencoder, JPEG 50": lambda picture, seed: pixels.jpeg(
            through_autoencoder(pipeline, picture), np.random.default_rng(seed), quality=50
        ),
        **{
            f"re-diffused at strength {strength:g}": partial(_rediffused, pipeline=pipeline, strength=strength)
            for strength in STRENGTHS
        },
    }


def _seeded(step: Callable[..., NDArray[np.uint8]], **how: Any) -> Attack:
    return lambda picture, seed: step(picture, np.random.default_rng(seed), **how)


def _rediffused(picture: NDArray[np.uint8], seed: int, *, pipeline: Any, strength: float) -> NDArray[np.uint8]:
    return rediffused(pipeline, picture, strength, seed)


def _half_and_back(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    half = Image.fromarray(picture).resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    return np.asarray(half.resize((width, height), Image.Resampling.LANCZOS))


def _turned_and_straightened(picture: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turned on its canvas, which loses the corners, and turned back as the pixel layer's geometry would have it."""
    height, width = picture.shape[:2]
    for angle in (degrees, -degrees):
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        picture = np.asarray(cv2.warpAffine(picture, turn, (width, height), flags=cv2.INTER_CUBIC), dtype=np.uint8)
    return picture
