from __future__ import annotations

import pytest

from training.config import TrainConfig
from training.dataset.tags import arrange_captions, caption_forms, with_trigger
from training.samples import sample_prompts

TAGS = "cat, red hat, sitting, night, window"


def test_tags_are_shown_in_several_orders_and_the_first_stay() -> None:
    config = TrainConfig(shuffle_tags=True, keep_tags=2, caption_orders=6)
    forms = caption_forms(TAGS, 0, config)
    assert 1 < len(forms) <= 6
    for form in forms:
        assert form.startswith("cat, red hat, ")
        assert sorted(form.split(", ")) == sorted(TAGS.split(", "))


def test_orders_follow_from_the_seed_and_the_caption_s_place() -> None:
    def forms(seed: int, index: int) -> tuple[str, ...]:
        return caption_forms(TAGS, index, TrainConfig(shuffle_tags=True, keep_tags=0, seed=seed))

    assert forms(1, 0) == forms(1, 0)
    assert len({forms(1, 0), forms(2, 0), forms(1, 1)}) == 3


@pytest.mark.parametrize("caption", ["a cat, sitting", "a cat in a red hat", "  spaces ,, kept "])
def test_a_caption_with_nothing_to_shuffle_stays_as_it_is_written(caption: str) -> None:
    assert caption_forms(caption, 0, TrainConfig(shuffle_tags=True, keep_tags=1)) == (caption,)


def test_without_shuffling_a_caption_is_shown_as_it_is_written() -> None:
    assert caption_forms(TAGS, 0, TrainConfig()) == (TAGS,)


@pytest.mark.parametrize(
    ("caption", "trigger", "expected"),
    [
        ("a cat", "sks", "sks, a cat"),
        ("a photo of sks cat", "sks", "a photo of sks cat"),
        ("a photo of SKS cat", "sks", "a photo of SKS cat"),
        ("asks for a cat", "sks", "sks, asks for a cat"),
        ("a cat", "<mia>", "<mia>, a cat"),
        ("a <mia> cat", "<mia>", "a <mia> cat"),
        ("a <Mia> cat", "<mia>", "<mia>, a <Mia> cat"),
        ("a my cat photo", "my cat", "a my cat photo"),
        ("a cat", "", "a cat"),
    ],
)
def test_the_trigger_is_put_before_a_caption_that_lacks_it(caption: str, trigger: str, expected: str) -> None:
    assert with_trigger(caption, trigger) == expected


def test_the_trigger_keeps_its_place_when_tags_are_shuffled() -> None:
    config = TrainConfig(shuffle_tags=True, trigger="sks")
    assert all(form.startswith("sks, ") for form in caption_forms(TAGS, 0, config))


def test_every_caption_has_its_rows_and_the_last_row_is_none() -> None:
    config = TrainConfig(shuffle_tags=True, prior_prompts=("a cat", "a dog"))
    captions = arrange_captions(["one, two, three", "b", "b"], config)
    assert captions.rows[-1] == ""
    assert captions.of_item[1] == captions.of_item[2] == (captions.rows.index("b"),)
    assert {captions.rows[row] for row in captions.of_item[0]} == {"one, two, three", "one, three, two"}
    assert [captions.rows[row] for row in captions.of_prior] == ["a cat", "a dog"]


def test_samples_are_drawn_under_captions_with_the_trigger() -> None:
    config = TrainConfig(trigger="sks", sample_count=2)
    assert sample_prompts(config, ["a cat", "a sks dog", "a cat"]) == ("a sks dog", "sks, a cat")
