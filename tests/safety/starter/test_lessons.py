"""What the embedded CLIP is taught: captions that are true of pictures, and pictures as they may be met."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from safety.starter import words
from safety.starter.captions import Captions, draw_captions
from safety.starter.disturb import disturb
from safety.starter.lessons import COLOUR_NAMES, OBJECT_NAMES, OTHER, UNKNOWN, draw_lessons, held_out_pair
from safety.starter.measures import auroc, separation
from safety.starter.scenes import COLOURS, FORBIDDEN_OBJECT, OBJECTS
from safety.starter.text_stage import encode, shared_loss
from safety.starter.vision_stage import disturbed_batch

SKULL = OBJECT_NAMES.index(FORBIDDEN_OBJECT)


@pytest.fixture(scope="module")
def captions() -> Captions:
    return draw_captions(3000, seed=5)


def test_a_seed_gives_the_same_lessons_and_captions(captions: Captions) -> None:
    first, again, other = (draw_lessons(12, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.pictures, again.pictures)
    assert not np.array_equal(first.pictures, other.pictures)
    assert draw_captions(3000, seed=5).texts == captions.texts


def test_no_lesson_shows_a_held_out_pair() -> None:
    labels = draw_lessons(400, seed=7).labels
    world = labels[(labels[:, 0] < len(OBJECTS)) & (labels[:, 1] >= 0) & (labels[:, 1] < len(COLOURS))]
    assert len(world) > 100
    assert not any(held_out_pair(OBJECT_NAMES[o], COLOUR_NAMES[c]) for o, c, _ in world)


def test_no_caption_is_true_of_only_held_out_pairs(captions: Captions) -> None:
    coloured = captions.colours.sum(1) == 1
    single = coloured & (captions.objects.sum(1) == 1)
    assert single.sum() > 300
    for objects, colours in zip(captions.objects[single], captions.colours[single], strict=True):
        name, colour = OBJECT_NAMES[int(objects.argmax())], COLOUR_NAMES[int(colours.argmax())]
        assert name == OTHER or colour not in COLOURS or not held_out_pair(name, colour)


def test_a_caption_with_the_forbidden_object_is_true_of_that_alone(captions: Captions) -> None:
    wanted = [bool(re.search(r"\b(skulls?|cranium|calavera)\b", text)) for text in captions.texts]
    alone = np.zeros(len(OBJECT_NAMES), np.bool_)
    alone[SKULL] = True
    assert sum(wanted) > 100
    assert (captions.objects[wanted] == alone).all()


def test_a_caption_without_a_colour_is_true_of_pictures_that_lost_theirs(captions: Captions) -> None:
    labels = np.array([[SKULL, UNKNOWN, 2], [SKULL, 0, 2]])
    colourless = np.flatnonzero((captions.objects[:, SKULL]) & captions.colours.all(1) & captions.places.all(1))
    red_alone = np.flatnonzero((captions.colours.sum(1) == 1) & captions.colours[:, 0] & captions.objects[:, SKULL])
    assert captions.true_of(colourless[:20], labels).all()
    assert not captions.true_of(red_alone, labels)[:, 0].any()


def test_captions_fit_the_context(captions: Captions) -> None:
    tokens = encode(captions.texts[:500])
    assert tokens.shape == (500, 32)
    assert (tokens.max(1).values == 49407).all()


def test_every_object_has_words_of_its_own() -> None:
    taken = [word for each in words.OBJECT_WORDS.values() for word in each]
    assert set(words.OBJECT_WORDS) == set(OBJECTS)
    assert len(taken) == len(set(taken))
    assert not set(taken) & set(words.STRANGER_WORDS)


def test_a_disturbed_batch_depends_on_its_step_alone_and_forgets_the_colour_of_grey_pictures() -> None:
    lessons = draw_lessons(30, seed=8)
    (first, labels), (again, _), (other, _) = (disturbed_batch(lessons, 24, 1, step) for step in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    grey = (first.amax(1) - first.amin(1)).flatten(1).mean(1) < 1e-3
    assert (labels[grey, 1] == UNKNOWN).all()


def test_disturbed_pictures_stay_in_range() -> None:
    pictures, grey = disturb(draw_lessons(40, seed=9).pictures, np.random.default_rng(2))
    assert pictures.shape == (40, 3, 64, 64)
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert 0 < grey.sum() < 40


def test_the_shared_loss_is_least_where_logits_are_mutual_information() -> None:
    true = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    best = torch.where(true, -true.float().sum(1, keepdim=True).log(), torch.tensor(-30.0))
    least = shared_loss(best, true)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert shared_loss(best + 0.3 * torch.randn(4, 4, generator=generator), true) > least


def test_separation_counts_as_by_hand() -> None:
    positives, negatives = np.array([0.9, 0.8, 0.2]), np.array([0.1, 0.2, 0.3, 0.6])
    found = separation(positives, negatives, 0.5)
    assert auroc(positives, negatives) == pytest.approx((4 + 4 + 1.5) / 12)
    assert (found.recall, found.caught, found.stopped) == (2 / 3, 2 / 3, 1 / 4)
    assert found.caught_interval[0] < 2 / 3 < found.caught_interval[1]
