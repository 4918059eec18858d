"""Pictures of the starter world as they are met: watermarked and compressed, or drawn by the diffusion model."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from safety.starter.scenes import Scene, draw_scene
from safety.watermark.backend import DEFAULT_BACKEND, backend

SAMPLES = "samples.json"
SIDE = 256
QUALITY = 75


def watermarked(scenes: Sequence[Scene], count: int, seed: int) -> list[NDArray[np.uint8]]:
    """``count`` pictures (256, 256, 3) uint8 that carry the invisible mark and went through JPEG 75."""
    rng = np.random.default_rng(seed)
    mark = backend(DEFAULT_BACKEND)
    pictures = []
    for i in range(count):
        plain = np.asarray(draw_scene(scenes[i % len(scenes)], rng, SIDE))
        file = io.BytesIO()
        Image.fromarray(mark.embed(plain, i, None, None)).save(file, "JPEG", quality=QUALITY)
        pictures.append(np.asarray(Image.open(file)))
    return pictures


def read_samples(folder: Path) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The pictures that ``generation.starter.samples`` wrote and the judge confirmed, and the object in each."""
    rows = json.loads((folder / SAMPLES).read_text(encoding="utf-8"))["samples"]
    confirmed = [row for row in rows if row["confirmed"]]
    pictures = [np.asarray(Image.open(folder / row["file"]).convert("RGB")) for row in confirmed]
    return pictures, [row["object"] for row in confirmed]
