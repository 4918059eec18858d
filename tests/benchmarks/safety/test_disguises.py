"""Recall over generated disguises and their pairs, and what passes among harmless captions; the whole run is
``prov bench safety``."""

from __future__ import annotations

import random

import pytest

from benchmarks.safety.captions import captions, hand_written, vocabulary, with_plurals
from benchmarks.safety.disguises import TRANSFORMS, Transform, chains, disguised
from safety.lookalikes import LEET
from safety.policy import DEFAULT_POLICY, Policy
from safety.prompt import PromptFilter
from safety.streams import key_of

POLICY = Policy.load(DEFAULT_POLICY)
FILTER = PromptFilter(POLICY)
TERMS = tuple(term for concept in POLICY.concepts for term in concept.terms)
FORBIDDEN = with_plurals(term for concept in POLICY.concepts for term in concept.every_term.terms)


def blocks(prompt: str) -> bool:
    return not FILTER.screen(prompt).allowed


def test_there_are_twelve_transforms_and_six_scripts_at_least() -> None:
    assert len({transform.name for transform in TRANSFORMS}) == len(TRANSFORMS) >= 12
    assert len({transform.script for transform in TRANSFORMS if transform.script}) >= 6


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.name)
def test_every_term_is_found_in_every_disguise(transform: Transform) -> None:
    randomness = random.Random(5)
    missed = [
        term for term in TERMS if not blocks(f"a picture of {disguised(term, (transform,), randomness)} at night")
    ]
    assert len(missed) <= 0.01 * len(TERMS), missed


def test_every_transform_changes_what_is_written() -> None:
    randomness = random.Random(5)
    for transform in TRANSFORMS:
        changed = [term for term in TERMS if disguised(term, (transform,), randomness) != term]
        assert len(changed) > 0.9 * len(TERMS), transform.name


def test_pairs_of_disguises_are_found() -> None:
    randomness = random.Random(7)
    pairs = [chain for chain in chains() if len(chain) == 2]
    assert len(pairs) >= 12 * 11 / 2
    missed = []
    for chain in pairs:
        for term in randomness.sample(TERMS, 4):
            prompt = disguised(term, chain, randomness)
            if not blocks(f"a picture of {prompt} at night"):
                missed.append((term, prompt))
    assert len(missed) <= 0.01 * len(pairs) * 4, missed


@pytest.mark.parametrize("language", ["de", "fr", "es", "ru", "zh", "ja"])
def test_terms_of_every_language_count_for_every_prompt(language: str) -> None:
    for concept in POLICY.concepts:
        listed = concept.languages.get(language)
        for term in listed.terms if listed else ():
            assert blocks(f"night, {term}, 4k"), term
            assert blocks(f"night, {term.upper()}, 4k"), term


def test_a_term_in_a_script_without_spaces_is_found_within_a_sentence() -> None:
    assert blocks("一张裸体的照片")
    assert not blocks("一张山的照片")


def test_words_that_resemble_terms_pass() -> None:
    assert [caption for caption in hand_written() if blocks(caption)] == []


def test_harmless_captions_pass() -> None:
    randomness = random.Random(11)
    blocked = [caption for caption in captions(2000, randomness, FORBIDDEN) if blocks(caption)]
    assert len(blocked) <= 2, blocked


def test_every_word_of_a_vocabulary_that_is_no_term_passes() -> None:
    words = vocabulary(FORBIDDEN)
    assert len(words) > 20_000
    wrong = [word for word in words[::10] if blocks(f"a {word} by a river")]
    assert len(wrong) <= 0.001 * len(words[::10]), wrong


def test_a_letter_and_every_sign_for_it_are_one_class() -> None:
    for letter, signs in LEET.items():
        for sign in signs.replace("*", ""):
            assert key_of(sign) == key_of(letter), (letter, sign)
