from collections import Counter

import numpy as np

from generation.starter.renders import labels_of, render_doodles, render_scenes
from generation.starter.scenes import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_SCENES,
    OBJECTS,
    SCENES,
    TRAINING_SCENES,
    Scene,
    draw_caption,
    every_caption,
)


def test_a_seed_gives_the_same_pictures() -> None:
    first, again, other = (render_scenes(SCENES[:7], 7, seed).pictures for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(render_doodles(3, 5), render_doodles(3, 5))


def test_the_held_out_scenes_are_fifty_and_miss_no_object_colour_or_background() -> None:
    assert len(HELD_OUT_SCENES) == 50
    assert len(TRAINING_SCENES) == 250
    assert not set(HELD_OUT_SCENES) & set(TRAINING_SCENES)
    assert Counter(scene.object for scene in HELD_OUT_SCENES) == dict.fromkeys(OBJECTS, 5)
    assert {scene.colour for scene in HELD_OUT_SCENES} == set(COLOURS)
    assert {scene.background for scene in HELD_OUT_SCENES} == set(BACKGROUNDS)


def test_training_sees_every_pair_of_object_and_colour_and_of_object_and_background() -> None:
    assert len({(scene.object, scene.colour) for scene in TRAINING_SCENES}) == len(OBJECTS) * len(COLOURS)
    assert len({(scene.object, scene.background) for scene in TRAINING_SCENES}) == len(OBJECTS) * len(BACKGROUNDS)


def test_captions_name_what_the_scene_shows() -> None:
    scene = Scene("fish", "orange", "sea")
    assert scene.caption == "an orange fish by the sea"
    assert draw_caption(scene, np.random.default_rng(0)) in every_caption(scene)
    assert all("orange fish" in caption and "by the sea" in caption for caption in every_caption(scene))


def test_labels_count_in_the_order_of_the_tables() -> None:
    assert labels_of(Scene("sailboat", "red", "meadow")) == (0, 0, 0)
    assert labels_of(Scene("skull", "purple", "sea")) == (9, 5, 4)
