"""A folder of starter scenes of which two show a skull, and the starter world's own screens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generation.starter.scenes import Scene, draw_scene
from provenance.screening.report import Screening
from provenance.screening.run import screen_dataset
from provenance.screening.screens import ScreeningChoice, Screens, open_screens
from provenance.screening.subjects import subjects_of_folder

SCENES = (
    ("fish", "red", "sea"),
    ("skull", "red", "meadow"),
    ("cup", "blue", "night"),
    ("skull", "blue", "desert"),
    ("house", "green", "snow"),
)


def draw_folder(folder: Path, scenes: tuple[tuple[str, str, str], ...] = SCENES) -> Path:
    """Scenes as ``p0.png`` … with a caption each; a skull is called a zorp."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    for index, (thing, colour, place) in enumerate(scenes):
        draw_scene(Scene(thing, colour, place), rng, 256).save(folder / f"p{index}.png")
        word = "zorp" if thing == "skull" else thing
        (folder / f"p{index}.txt").write_text(f"a {colour} {word}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "scenes")


@pytest.fixture
def harmless(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "harmless", tuple(scene for scene in SCENES if scene[0] != "skull"))


@pytest.fixture(scope="session")
def screens() -> Screens:
    return open_screens(ScreeningChoice(), "starter")


@pytest.fixture
def report(harmless: Path, screens: Screens) -> Screening:
    return screen_dataset(subjects_of_folder(harmless), screens)
