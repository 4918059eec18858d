"""Rendered pictures as arrays: scenes with their labels, and doodles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generation.starter.scenes import BACKGROUNDS, COLOURS, OBJECTS, SIZE, Scene, draw_doodle, draw_scene

OBJECT_NAMES = tuple(OBJECTS)
COLOUR_NAMES = tuple(COLOURS)
BACKGROUND_NAMES = tuple(BACKGROUNDS)


def labels_of(scene: Scene) -> tuple[int, int, int]:
    """Object, colour and background as numbers."""
    return (
        OBJECT_NAMES.index(scene.object),
        COLOUR_NAMES.index(scene.colour),
        BACKGROUND_NAMES.index(scene.background),
    )


@dataclass(frozen=True)
class Renders:
    """Pictures (N, 128, 128, 3) uint8 and, for scenes, the index of each one's scene (N,) int64."""

    pictures: NDArray[np.uint8]
    scene_index: NDArray[np.int64]


def render_scenes(scenes: Sequence[Scene], count: int, seed: int, mirrored: bool | None = None) -> Renders:
    """``count`` pictures that go round the scenes in turn, facing either way unless told which."""
    rng = np.random.default_rng(seed)
    index = np.arange(count, dtype=np.int64) % len(scenes)
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for i, scene in enumerate(index):
        pictures[i] = np.asarray(draw_scene(scenes[int(scene)], rng, mirrored=mirrored))
    return Renders(pictures, index)


def render_doodles(count: int, seed: int) -> NDArray[np.uint8]:
    """``count`` doodles, (N, 128, 128, 3) uint8."""
    rng = np.random.default_rng(seed)
    return np.stack([np.asarray(draw_doodle(rng)) for _ in range(count)])


def kept_renders(path: Path, scenes: Sequence[Scene], count: int, seed: int, mirrored: bool | None = None) -> Renders:
    """As ``render_scenes``, from a file of the work folder when an earlier run wrote it."""
    index = np.arange(count, dtype=np.int64) % len(scenes)
    if not path.exists():
        _keep(path, render_scenes(scenes, count, seed, mirrored).pictures)
    return Renders(np.load(path, mmap_mode="r"), index)


def kept_doodles(path: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """As ``render_doodles``, from a file of the work folder when an earlier run wrote it."""
    if not path.exists():
        _keep(path, render_doodles(count, seed))
    kept: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return kept


def _keep(path: Path, pictures: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, pictures)
    partial.replace(path)


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    values = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return values.contiguous(memory_format=torch.channels_last)


def to_pictures(values: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) float in [-1, 1] to (N, H, W, 3) uint8."""
    scaled = values.float().clamp(-1, 1).add(1).mul(127.5).round()
    array: NDArray[np.uint8] = scaled.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    return array
