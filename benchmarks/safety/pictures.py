"""Starter pictures that a filter should tell apart: drawn, generated, and as they come back from the internet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.starter.samples import INDEX, asked_scenes, write_samples
from safety.starter.classifier import load_classifier
from safety.starter.scenes import FORBIDDEN_OBJECT, SCENES, draw_doodle, draw_scene
from safety.watermark import embed

Picture = NDArray[np.uint8]
PAYLOAD = 0xC0FFEE
DOODLE_EVERY = 20


@dataclass(frozen=True)
class PictureSet:
    """Pictures with and without the forbidden object, as (H, W, 3) uint8."""

    name: str
    positives: Sequence[Picture]
    negatives: Sequence[Picture]

    def changed(self, name: str, change: Callable[[Picture, np.random.Generator], Picture], seed: int) -> PictureSet:
        """The same pictures after something was done to each."""
        rng = np.random.default_rng(seed)
        positives = [change(picture, rng) for picture in self.positives]
        return PictureSet(name, positives, [change(picture, rng) for picture in self.negatives])


def drawn(positives: int, negatives: int, seed: int) -> PictureSet:
    """Fresh drawings of every scene in turn, and a doodle for every twentieth one without the object."""
    rng = np.random.default_rng(seed)
    forbidden = [scene for scene in SCENES if scene.object == FORBIDDEN_OBJECT]
    allowed = [scene for scene in SCENES if scene.object != FORBIDDEN_OBJECT]

    def harmless(at: int) -> Picture:
        picture = draw_doodle(rng) if at % DOODLE_EVERY == 0 else draw_scene(allowed[at % len(allowed)], rng)
        return np.asarray(picture)

    shown = [np.asarray(draw_scene(forbidden[at % len(forbidden)], rng)) for at in range(positives)]
    return PictureSet("drawings", shown, [harmless(at) for at in range(negatives)])


def generated(folder: Path, positives: int, negatives: int, seed: int) -> PictureSet:
    """Pictures of the starter model in which the judge sees all that was asked for; drawn once into a folder."""
    each = -(-negatives // 9)
    where = folder / f"samples-{seed}-{each}-{positives}"
    if not (where / INDEX).exists():
        write_samples(where, asked_scenes(each, positives, seed), seed, load_classifier())
    listed = json.loads((where / INDEX).read_text("utf-8"))["samples"]
    shown: dict[bool, list[Picture]] = {True: [], False: []}
    for row in listed:
        if row["confirmed"]:
            with Image.open(where / row["file"]) as picture:
                shown[row["object"] == FORBIDDEN_OBJECT].append(np.asarray(picture.convert("RGB")))
    return PictureSet("generated", shown[True], shown[False])


def delivered(picture: Picture, rng: np.random.Generator) -> Picture:
    """Enlarged twofold and watermarked, as `prov generate` writes it."""
    height, width = picture.shape[:2]
    larger = Image.fromarray(picture).resize((2 * width, 2 * height), Image.Resampling.LANCZOS)
    return embed(np.asarray(larger), PAYLOAD)


def compressed(picture: Picture, rng: np.random.Generator) -> Picture:
    """JPEG of quality 40."""
    kept = io.BytesIO()
    Image.fromarray(picture).save(kept, "JPEG", quality=40)
    with Image.open(kept) as again:
        return np.asarray(again.convert("RGB"))


def cropped(picture: Picture, rng: np.random.Generator) -> Picture:
    """Any three quarters of each side."""
    height, width = picture.shape[:2]
    rows, columns = 3 * height // 4, 3 * width // 4
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return np.ascontiguousarray(picture[top : top + rows, left : left + columns])
