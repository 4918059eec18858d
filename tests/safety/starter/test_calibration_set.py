"""The set that the starter policy's thresholds come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safety.starter.calibration_set import write_set

SIZE = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "set"
    write_set(folder, SIZE)
    return folder


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_negatives_and_positives_are_drawn_marked_and_lessons(folder: Path) -> None:
    negatives, positives = pictures(folder / "negatives"), pictures(folder / "positives" / "skull")
    for kind, count in (("drawn", 18), ("marked", 18)):
        assert sum(name.startswith(kind) for name in negatives) == count
        assert sum(name.startswith(kind) for name in positives) == SIZE // 16
    lessons = [name for name in (*negatives, *positives) if name.startswith("lesson")]
    assert len(lessons) == SIZE // 4
    assert len(set(negatives.values()) | set(positives.values())) == len(negatives) + len(positives)


def test_a_marked_picture_is_not_the_drawn_one(folder: Path) -> None:
    with Image.open(folder / "negatives" / "marked-00003.png") as marked:
        assert marked.size == (256, 256)
        assert len(np.unique(np.asarray(marked))) > 100


def test_captions_ask_for_the_forbidden_object_or_do_not(folder: Path) -> None:
    harmless = (folder / "negatives.txt").read_text().splitlines()
    asking = (folder / "positives" / "skull.txt").read_text().splitlines()
    assert len(set(harmless)) == len(harmless) > SIZE // 2
    assert len(set(asking)) == len(asking) > 5
    assert not [text for text in harmless if "skull" in text or "cranium" in text]
    assert not set(harmless) & set(asking)


def test_the_same_seed_draws_the_same_set(folder: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "again", SIZE)
    for part in ("negatives", "positives/skull"):
        assert pictures(tmp_path / "again" / part) == pictures(folder / part)
    assert (tmp_path / "again" / "negatives.txt").read_bytes() == (folder / "negatives.txt").read_bytes()
    write_set(tmp_path / "other", SIZE, seed=1)
    assert pictures(tmp_path / "other" / "negatives") != pictures(folder / "negatives")


def test_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    with pytest.raises(FileExistsError):
        write_set(folder, SIZE)
