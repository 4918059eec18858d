"""What the starter is worth: pictures of held-out captions, and how often the judge finds what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from generation.starter.judge import judge
from generation.starter.renders import labels_of
from generation.starter.scenes import HELD_OUT_SCENES, Scene
from safety.starter.classifier import StarterClassifier

SAMPLING_STEPS = 20
GUIDANCE = 3.0


@dataclass(frozen=True)
class Accuracy:
    """The parts of n pictures whose object, colour and background, and all three, the judge finds as asked."""

    object: float
    colour: float
    background: float
    whole: float
    n: int


def draw_samples(
    pipeline: StableDiffusionPipeline,
    captions: Sequence[str],
    seed: int,
    steps: int = SAMPLING_STEPS,
    guidance: float = GUIDANCE,
    workers: int = 2,
    chunk: int = 5,
) -> NDArray[np.uint8]:
    """One picture for each caption, (N, 128, 128, 3) uint8; the i-th always starts from the same noise."""
    starts = list(range(0, len(captions), chunk))

    def one(start: int) -> NDArray[np.uint8]:
        texts = list(captions[start : start + chunk])
        noise = [
            np.random.default_rng((seed, start + i)).standard_normal((4, 16, 16), np.float32) for i in range(len(texts))
        ]
        # A scheduler counts its own steps, so each thread needs its own.
        parts = {**pipeline.components, "scheduler": DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)}
        own = StableDiffusionPipeline(**parts, requires_safety_checker=False)
        own.set_progress_bar_config(disable=True)
        latents = torch.from_numpy(np.stack(noise)).to(pipeline.unet.dtype)
        result = own(texts, latents=latents, num_inference_steps=steps, guidance_scale=guidance, output_type="np")
        pictures: NDArray[np.uint8] = (result.images * 255).round().astype(np.uint8)
        return pictures

    with ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(one, starts)))


def accuracy_of(pictures: NDArray[np.uint8], scenes: Sequence[Scene], model: StarterClassifier) -> Accuracy:
    """How often the judge sees the scene that was asked for."""
    right = judge(pictures, model).labels == np.array([labels_of(scene) for scene in scenes])
    objects, colours, backgrounds, whole = (round(float(part), 4) for part in (*right.mean(0), right.all(1).mean()))
    return Accuracy(objects, colours, backgrounds, whole, len(scenes))


def held_out_accuracy(
    pipeline: StableDiffusionPipeline, model: StarterClassifier, rounds: int, seed: int, workers: int = 2
) -> tuple[Accuracy, NDArray[np.uint8]]:
    """Accuracy over every held-out caption, ``rounds`` times, and the pictures."""
    scenes = list(HELD_OUT_SCENES) * rounds
    pictures = draw_samples(pipeline, [scene.caption for scene in scenes], seed, workers=workers)
    return accuracy_of(pictures, scenes, model), pictures


def write_contact_sheet(pictures: NDArray[np.uint8], path: Path, columns: int = 10, side: int = 96) -> None:
    """Lays pictures out in rows, smaller and in 192 colours so that the file stays small."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 4) - 4, rows * (side + 4) - 4), (255, 255, 255))
    for i, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(small, (i % columns * (side + 4), i // columns * (side + 4)))
    sheet.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)
