"""Samples of the starter diffusion model, written for whoever measures a filter on them."""

from collections import Counter
from pathlib import Path

from generation.starter.samples import asked_scenes, write_samples
from generation.starter.scenes import FORBIDDEN_OBJECT, OBJECTS, Scene
from safety.starter.classifier import load_classifier
from safety.starter.world_pictures import read_samples


def test_every_object_is_asked_for_as_often_as_told() -> None:
    counts = Counter(scene.object for scene in asked_scenes(each=2, forbidden=35, seed=1))
    assert counts == {name: 35 if name == FORBIDDEN_OBJECT else 2 for name in OBJECTS}


def test_scenes_come_again_only_when_all_were_asked_for() -> None:
    skulls = [scene for scene in asked_scenes(1, 35, seed=1) if scene.object == FORBIDDEN_OBJECT]
    assert len(set(skulls[:30])) == 30
    assert asked_scenes(1, 35, seed=1) == asked_scenes(1, 35, seed=1) != asked_scenes(1, 35, seed=2)


def test_written_samples_are_read_back_with_what_the_judge_confirmed(tmp_path: Path) -> None:
    scenes = [Scene("skull", "blue", "snow"), Scene("house", "red", "meadow")]
    write_samples(tmp_path, scenes, 5000, load_classifier())
    pictures, names = read_samples(tmp_path)
    assert names == ["skull", "house"]
    assert [picture.shape for picture in pictures] == [(128, 128, 3)] * 2
