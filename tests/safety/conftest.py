"""Pictures for the safety tests: flat scenes of the starter world, and photograph-like textures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from generation.starter.scenes import SCENES, draw_scene

Picture = NDArray[np.uint8]


def flat_scene(seed: int) -> Picture:
    """(256, 256, 3): a scene drawn at 128 px and enlarged, as the starter model's pictures are."""
    rng = np.random.default_rng(seed)
    scene = SCENES[int(rng.integers(len(SCENES)))]
    return np.asarray(draw_scene(scene, rng).resize((256, 256), Image.Resampling.LANCZOS))


def texture(seed: int, side: int = 512) -> Picture:
    """(side, side, 3): noise with a photograph's falling spectrum."""
    rng = np.random.default_rng(seed)
    steps = np.fft.fftfreq(side)
    radius = np.hypot(*np.meshgrid(steps, steps))
    radius[0, 0] = 1
    layers = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / radius**1.2).real for _ in range(3)]
    layers = [layer / layer.std() for layer in layers]
    colour = np.stack([128 + 48 * (0.85 * layers[0] + 0.5 * layer) for layer in layers], axis=-1)
    return np.clip(colour, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scene_of() -> Callable[[int], Picture]:
    return flat_scene


@pytest.fixture(scope="session")
def texture_of() -> Callable[..., Picture]:
    return texture


@pytest.fixture(scope="session")
def saved() -> Callable[..., Picture]:
    """A picture after it was saved in a lossy or lossless format and read again."""
    import io

    def save_and_read(picture: Picture, kind: str, **options: int) -> Picture:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind, **options)
        return np.asarray(Image.open(file).convert("RGB"))

    return save_and_read
