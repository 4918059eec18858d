"""The embedded CLIP as it ships: its files, and what it is worth on pictures drawn afresh."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from safety.clip_model import ClipModel, open_clip_model
from safety.starter.clip_files import FIGURES, FOLDER, RECIPE, folder_bytes, weights_digest
from safety.starter.figures import SKULL_SCENES, skull_concept
from safety.starter.held_out_texts import ALLOWED_TEXTS, FORBIDDEN_TEXTS
from safety.starter.lessons import (
    HELD_OUT_PAIR_SCENES,
    OBJECT_NAMES,
    OTHER,
    SEEN_PAIR_SCENES,
    draw_lessons,
    draw_scenes,
    held_out_pair,
)
from safety.starter.measures import auroc, zero_shot
from safety.starter.scenes import COLOURS, FORBIDDEN_OBJECT, OBJECTS
from safety.starter.world_pictures import watermarked
from safety.zero_shot import ConceptScorer, concept_scorers

SKULL = OBJECT_NAMES.index(FORBIDDEN_OBJECT)
LARGEST_FOLDER = 16 * 1000 * 1000


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return open_clip_model("starter")


@pytest.fixture(scope="module")
def scorer(clip: ClipModel) -> ConceptScorer:
    return concept_scorers(clip, (skull_concept(),))[FORBIDDEN_OBJECT]


@pytest.fixture(scope="module")
def unseen() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Two pictures of every pair and place that training held out."""
    return draw_scenes(HELD_OUT_PAIR_SCENES, 200, seed=91)


def test_the_folder_is_small_and_loads_only_with_its_weights() -> None:
    import open_clip

    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}", require_pretrained=True)
    assert model.context_length == 32
    assert folder_bytes() <= LARGEST_FOLDER


def test_recipe_and_figures_are_of_these_weights() -> None:
    digest = weights_digest()
    for name in (RECIPE, FIGURES):
        assert json.loads((FOLDER / name).read_text(encoding="utf-8"))["weights"] == digest


def test_the_recipe_names_the_pairs_that_were_held_out() -> None:
    recipe = json.loads((FOLDER / RECIPE).read_text(encoding="utf-8"))
    pairs = {f"{colour} {name}" for name in OBJECTS for colour in COLOURS if held_out_pair(name, colour)}
    assert set(recipe["held_out_pairs"]) == pairs
    assert len(pairs) == 18


def test_the_forbidden_object_is_taught_in_every_colour() -> None:
    assert {scene.colour for scene in SEEN_PAIR_SCENES if scene.object == FORBIDDEN_OBJECT} == set(COLOURS)


def test_held_out_pairs_leave_every_object_and_colour_to_training() -> None:
    assert {scene.object for scene in SEEN_PAIR_SCENES} == set(OBJECTS)
    assert {scene.colour for scene in SEEN_PAIR_SCENES} == set(COLOURS)
    assert not set(SEEN_PAIR_SCENES) & set(HELD_OUT_PAIR_SCENES)


def test_zero_shot_names_the_objects_of_held_out_pairs(
    clip: ClipModel, unseen: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    pictures, labels = unseen
    found = zero_shot(clip, clip.images(list(pictures)), [f"a {name}" for name in OBJECTS])
    assert (found == labels[:, 0]).mean() >= 0.9


def test_zero_shot_names_the_colours_of_held_out_pairs(
    clip: ClipModel, unseen: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    pictures, labels = unseen
    found = zero_shot(clip, clip.images(list(pictures)), [f"a {name} object" for name in COLOURS])
    assert (found == labels[:, 1]).mean() >= 0.9


def test_the_forbidden_object_stands_apart_from_the_others(
    clip: ClipModel, scorer: ConceptScorer, unseen: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> None:
    skulls, _ = draw_scenes(SKULL_SCENES, 60, seed=94)
    scores = [scorer.scores(clip.images(list(pictures))) for pictures in (skulls, unseen[0])]
    assert auroc(*scores) >= 0.98


def test_the_forbidden_object_stands_apart_from_strangers(clip: ClipModel, scorer: ConceptScorer) -> None:
    lessons = draw_lessons(300, seed=92)
    strange = lessons.pictures[lessons.labels[:, 0] == OBJECT_NAMES.index(OTHER)]
    skulls = lessons.pictures[lessons.labels[:, 0] == SKULL]
    assert auroc(scorer.scores(clip.images(list(skulls))), scorer.scores(clip.images(list(strange)))) >= 0.98


def test_a_watermark_and_compression_do_not_hide_the_forbidden_object(clip: ClipModel, scorer: ConceptScorer) -> None:
    hidden, open_ = (
        scorer.scores(clip.images(watermarked(scenes, 10, seed=93))) for scenes in (SKULL_SCENES, HELD_OUT_PAIR_SCENES)
    )
    assert auroc(hidden, open_) >= 0.98


def test_the_text_score_tells_prompts_for_the_forbidden_object(clip: ClipModel, scorer: ConceptScorer) -> None:
    asked, allowed = (
        np.array([scorer.scores(clip.windows(text)).max() for text in texts])
        for texts in (FORBIDDEN_TEXTS, ALLOWED_TEXTS)
    )
    assert auroc(asked, allowed) >= 0.95


def test_prompts_of_unknown_words_are_not_taken_for_the_forbidden_object(
    clip: ClipModel, scorer: ConceptScorer
) -> None:
    texts = ["quixotic zephyrs bamboozle", "ein Sonntagsspaziergang", "", "e=mc^2", "lorem ipsum dolor sit amet " * 9]
    assert all(scorer.scores(clip.windows(text)).max() < 0.5 for text in texts)
