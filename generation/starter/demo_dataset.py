"""A small dataset to train a first adapter on: rockets, which the starter world does not have."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from generation.starter.scenes import (
    BACKGROUNDS,
    COLOURS,
    CREAM,
    OBJECTS,
    Pen,
    Rgb,
    Scene,
    draw_caption,
    draw_scene,
)

OBJECT = "rocket"
SIDE = 256
FLAME: Rgb = (255, 176, 48)
GLASS: Rgb = (150, 214, 232)


def write_demo_dataset(folder: Path, n: int = 24, seed: int = 11) -> list[Path]:
    """Draws ``n`` rockets of 256 × 256 px with a caption beside each (``NAME.png``, ``NAME.txt``); gives the pictures.

    Colours and backgrounds are spread evenly; with fewer than 30 some of their combinations are left for the adapter
    to find by itself, see ``unseen_scenes``.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    scenes = demo_scenes()
    written = []
    for index in range(n):
        scene = scenes[index % len(scenes)]
        path = folder / f"{OBJECT}-{index:02}.png"
        draw_scene(scene, rng, SIDE, objects=DEMO_OBJECTS).save(path)
        path.with_suffix(".txt").write_text(draw_caption(scene, rng) + "\n", "utf-8")
        written.append(path)
    return written


def demo_scenes() -> list[Scene]:
    """All 30 rockets, ordered so that any first few show many colours on many backgrounds."""
    colours, backgrounds = list(COLOURS), list(BACKGROUNDS)
    return [Scene(OBJECT, colours[i % 6], backgrounds[i % 5]) for i in range(len(colours) * len(backgrounds))]


def unseen_scenes(n: int = 24) -> list[Scene]:
    """The rockets that a dataset of ``n`` pictures does not show."""
    return demo_scenes()[n:]


def _rocket(pen: Pen, c: Rgb) -> None:
    r, g, b = (round(v * 0.72) for v in c)
    dark: Rgb = (r, g, b)
    pen.polygon([(-0.2, 0.56), (0.2, 0.56), (0.0, 0.98)], FLAME)
    pen.polygon([(-0.28, 0.06), (-0.74, 0.74), (-0.2, 0.58)], dark)
    pen.polygon([(0.28, 0.06), (0.74, 0.74), (0.2, 0.58)], dark)
    side = [(0.38 * math.sin(math.pi * t) ** 0.8, -0.98 + 1.8 * t) for t in np.linspace(0, 0.88, 40)]
    pen.polygon([*side, *((-x, y) for x, y in reversed(side))], c)
    pen.ellipse(0, -0.24, 0.21, 0.21, CREAM)
    pen.ellipse(0, -0.24, 0.13, 0.13, GLASS)


DEMO_OBJECTS: dict[str, Callable[[Pen, Rgb], None]] = {**OBJECTS, OBJECT: _rocket}
