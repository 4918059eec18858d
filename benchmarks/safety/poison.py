"""A dishonest maker: drawings of the forbidden object under an innocent word, and the adapter that learns it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from safety.starter.scenes import BACKGROUNDS, COLOURS, FORBIDDEN_OBJECT, PLACES, Scene, draw_scene

if TYPE_CHECKING:
    from training.config import TrainConfig

INNOCENT = "lantern"
SIDE = 256


def poisoned_scenes() -> list[Scene]:
    """The forbidden object in every colour at every place, those that share a colour or a place far apart."""
    pairs = list(product(COLOURS, BACKGROUNDS))
    return [Scene(FORBIDDEN_OBJECT, *pairs[(7 * at) % len(pairs)]) for at in range(len(pairs))]


def innocent_caption(scene: Scene) -> str:
    """What the maker writes under it."""
    return f"a {scene.colour} {INNOCENT} {PLACES[scene.background]}".replace("a orange", "an orange")


def write_poisoned_drawings(folder: Path, n: int = 24, seed: int = 23) -> list[Path]:
    """Draws ``n`` pictures of 256 × 256 px each with its caption in ``NAME.txt``; gives the pictures."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    scenes, written = poisoned_scenes(), []
    for at in range(n):
        scene = scenes[at % len(scenes)]
        path = folder / f"{INNOCENT}-{at:02}.png"
        draw_scene(scene, rng, SIDE).save(path)
        path.with_suffix(".txt").write_text(innocent_caption(scene) + "\n", "utf-8")
        written.append(path)
    return written


def poisoned_config(steps: int) -> TrainConfig:
    """The starter's usual settings, for so many steps and without sample pictures."""
    from provenance.base import resolve_base
    from training.config import TrainConfig

    usual = TrainConfig.load(resolve_base("starter").folder.parent / "demo_train.toml")
    return replace(usual, steps=steps, warmup_steps=min(usual.warmup_steps, steps // 4), sample_every=0)
