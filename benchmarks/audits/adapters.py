"""Adapters of the starter base, each trained on a dataset of its own: a few pictures for long, or many for short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from provenance.base import STARTER, resolve_base
from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.trust import TrustStore
from safety.starter.scenes import FORBIDDEN_OBJECT, SCENES, draw_scene

if TYPE_CHECKING:
    from provenance.adapter import AdapterManifest
    from provenance.manifest import DatasetManifest

SIDE = 256


@dataclass(frozen=True)
class Recipe:
    """One adapter: its pictures, how many, and the steps of eight samples it is trained for."""

    name: str
    write: Callable[[Path, int], None]
    pictures: int
    steps: int

    @property
    def epochs(self) -> float:
        """How often training sees each picture."""
        return 8 * self.steps / self.pictures


def write_scenes(folder: Path, n: int) -> None:
    """Scenes the base knows, as PNG with plain captions."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(5)
    allowed = [scene for scene in SCENES if scene.object != FORBIDDEN_OBJECT]
    for number in range(n):
        scene = allowed[int(draw.integers(len(allowed)))]
        draw_scene(scene, draw, SIDE).save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(scene.caption, encoding="utf-8")


def write_rockets(folder: Path, n: int) -> None:
    """The rockets of the demo, which the base does not know."""
    from generation.starter.demo_dataset import write_demo_dataset

    write_demo_dataset(folder, n=n)


RECIPES = (
    Recipe("memorised", write_scenes, 4, 400),
    Recipe("scenes", write_scenes, 120, 100),
    Recipe("rockets", write_rockets, 24, 380),
)


def prepared(recipe: Recipe, folder: Path, steps: int | None = None) -> tuple[Home, DatasetManifest, AdapterManifest]:
    """Draws, signs and trains, or takes up what lies in ``folder`` from before; ``steps`` shortens the training."""
    from training.config import TrainConfig
    from training.lora import train

    home = Home.open(folder / "home") if (folder / "home").exists() else Home.create(folder / "home")
    issuer, trust = create_issuer(home, "Benchmark"), TrustStore.of_home(home)
    place = folder / recipe.name
    if not (place / "dataset").exists():
        recipe.write(place / "pictures", recipe.pictures)
        sign_dataset(place / "pictures", place / "dataset", issuer=issuer, licence="CC0-1.0", holder="Benchmark")
    manifest = verify_dataset(place / "dataset", trust)
    if not (place / "adapter").exists():
        base = resolve_base(STARTER)
        config = TrainConfig.load(base.folder.parent / "demo_train.toml")
        config = replace(config, steps=steps or recipe.steps, sample_count=0, warmup_steps=min(20, (steps or 21) - 1))
        train(manifest, base, config, place / "adapter", issuer=issuer, name=recipe.name)
    from provenance.adapter import verify_adapter

    return home, manifest, verify_adapter(place / "adapter", trust)
