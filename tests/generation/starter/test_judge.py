import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from generation.starter.judge import BACKGROUND_NAMES, COLOUR_NAMES, OTHER, judge
from generation.starter.judge import OBJECT_NAMES as JUDGED
from generation.starter.judge_training import accuracy, jumble, roughen
from generation.starter.renders import OBJECT_NAMES, Renders, render_doodles, render_scenes
from generation.starter.scenes import FORBIDDEN_OBJECT, SCENES
from safety.starter.classifier import BACKGROUNDS, COLOURS, LABELS, WEIGHTS, load_classifier


@pytest.fixture(scope="module")
def renders() -> Renders:
    return render_scenes(SCENES, 300, seed=91)


def test_the_judge_is_right_on_fresh_renders(renders: Renders) -> None:
    assert min(accuracy(load_classifier(), renders)) >= 0.99


def test_the_judge_is_right_on_rough_pictures(renders: Renders) -> None:
    rng = np.random.default_rng(0)
    rough = np.stack([roughen(picture, rng) for picture in renders.pictures])
    assert accuracy(load_classifier(), Renders(rough, renders.scene_index))[0] >= 0.97


def doubled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.LANCZOS))


def test_twice_the_size_changes_no_answer(renders: Renders) -> None:
    large = np.stack([doubled(picture) for picture in renders.pictures[:60]])
    assert np.array_equal(
        judge(large, load_classifier()).labels[:, 0], judge(renders.pictures[:60], load_classifier()).labels[:, 0]
    )


def test_doodles_and_jumbled_scenes_are_none_of_the_objects(renders: Renders) -> None:
    rng = np.random.default_rng(0)
    strangers = np.concatenate([render_doodles(60, 92), [jumble(picture, rng) for picture in renders.pictures[:40]]])
    other = judge(strangers, load_classifier()).objects[:, len(OBJECT_NAMES)]
    assert (other > 0.5).mean() >= 0.9
    assert OTHER not in OBJECT_NAMES


def test_object_probabilities_find_the_forbidden_object(renders: Renders) -> None:
    found = load_classifier().object_probabilities(renders.pictures)
    assert found.shape == (300, 11)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    truth = np.array([SCENES[i].object == FORBIDDEN_OBJECT for i in renders.scene_index])
    assert ((found[:, OBJECT_NAMES.index(FORBIDDEN_OBJECT)] > 0.5) == truth).mean() >= 0.99


def test_pictures_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="expected pictures"):
        judge(np.zeros((1, 8, 8, 3), np.float32), load_classifier())  # type: ignore[arg-type]


def test_the_judge_is_small_and_does_without_diffusers() -> None:
    assert WEIGHTS.stat().st_size <= 1.5e6
    program = "import sys, generation.starter.judge as j; assert 'diffusers' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_content_filter_names_things_as_the_world_does() -> None:
    assert (JUDGED, COLOUR_NAMES, BACKGROUND_NAMES) == (LABELS, COLOURS, BACKGROUNDS)
