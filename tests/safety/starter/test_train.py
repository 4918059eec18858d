"""The training of the embedded CLIP, on a setting small enough to run whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from safety.clip_model import open_clip_model
from safety.starter.clip_files import RECIPE, WEIGHTS, weights_digest
from safety.starter.text_stage import TextRecipe
from safety.starter.train import Architecture, Settings, train
from safety.starter.vision_stage import VisionRecipe

TINY = Settings(
    seed=3,
    lessons=40,
    captions=120,
    plain_pictures=24,
    disturbed_pictures=8,
    architecture=Architecture(width=8, embedding=16, text_width=16, text_layers=1),
    vision=VisionRecipe(steps=3, batch=8),
    text=TextRecipe(steps=3, texts=16, pictures=16),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    train(TINY, place / "clip", place / "work")
    return place


def test_a_short_training_writes_a_folder_that_open_clip_loads(trained: Path) -> None:
    clip = open_clip_model(f"local-dir:{trained / 'clip'}")
    pictures, texts = clip.images([np.zeros((90, 70, 3), np.uint8)]), clip.texts(["a skull", "a cup"])
    assert pictures.shape == (1, 16)
    assert texts.shape == (2, 16)
    assert clip.scale == pytest.approx(TINY.text.scale, rel=1e-3)
    assert json.loads((trained / "clip" / RECIPE).read_text())["weights"] == weights_digest(trained / "clip")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained: Path, tmp_path: Path) -> None:
    train(TINY, tmp_path / "again")
    train(replace(TINY, seed=4), tmp_path / "other")
    assert weights_digest(tmp_path / "again") == weights_digest(trained / "clip")
    assert weights_digest(tmp_path / "other") != weights_digest(trained / "clip")


def test_training_goes_on_from_a_kept_vision_tower(trained: Path, tmp_path: Path) -> None:
    longer = replace(TINY, text=replace(TINY.text, steps=4))
    train(longer, tmp_path / "clip", trained / "work")
    before, after = (load_file(folder / "clip" / WEIGHTS) for folder in (trained, tmp_path))
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("visual."))
    assert not torch.equal(before["text_projection"], after["text_projection"])


def test_a_kept_vision_tower_of_other_settings_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other settings"):
        train(replace(TINY, lessons=41), tmp_path / "clip", trained / "work")
    assert not (tmp_path / "clip").exists()


def test_training_leaves_the_number_of_threads_as_it_was(tmp_path: Path) -> None:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train(TINY, tmp_path / "clip")
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, deterministic)


def test_words_that_no_caption_has_are_all_alike(trained: Path) -> None:
    clip = open_clip_model(f"local-dir:{trained / 'clip'}")
    first, second = clip.texts(["a bassoon", "a yurt"])
    known = clip.texts(["a mushroom"])[0]
    assert first @ second > first @ known
