from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from safety import duplicates
from safety.duplicates import PDQ_LIMIT, exact_groups, groups_by_direction, groups_by_pdq
from safety.pdq import PdqHash, pdq_hash

Picture = np.ndarray


def members(groups: list[duplicates.Group]) -> list[tuple[int, ...]]:
    return [group.members for group in groups]


def random_hash(rng: np.random.Generator) -> PdqHash:
    return PdqHash(rng.integers(0, 2, (8, 256)).astype(np.bool_), 100)


def flipped(base: PdqHash, bits: range) -> PdqHash:
    ways = base.orientations.copy()
    ways[0, bits] ^= True
    return PdqHash(ways, 100)


def test_equal_digests_are_grouped_in_order() -> None:
    assert members(exact_groups(["a", "b", "a", "c", "b", "a"])) == [(0, 2, 5), (1, 4)]
    assert exact_groups([]) == []


def test_recoded_resized_darkened_and_mirrored_copies_are_near(
    scene_of: Callable[[int], Picture], texture_of: Callable[..., Picture], saved: Callable[..., Picture]
) -> None:
    pictures = [texture_of(seed, 256) for seed in range(4)] + [scene_of(seed) for seed in (3, 8)]
    half = np.asarray(Image.fromarray(scene_of(3)).resize((128, 128), Image.Resampling.LANCZOS))
    copies = [
        saved(pictures[0], "JPEG", quality=30),
        np.ascontiguousarray(pictures[1][:, ::-1]),
        (pictures[2] * 0.8).astype(np.uint8),
        np.ascontiguousarray(np.rot90(pictures[3])),
        half,
    ]
    hashes = [pdq_hash(picture) for picture in pictures + copies]
    assert members(groups_by_pdq(hashes)) == [(0, 6), (1, 7), (2, 8), (3, 9), (4, 10)]


def test_scenes_drawn_anew_are_not_near(scene_of: Callable[[int], Picture]) -> None:
    assert groups_by_pdq([pdq_hash(scene_of(seed)) for seed in range(100, 140)]) == []


@pytest.mark.parametrize(("apart", "grouped"), [(PDQ_LIMIT, True), (PDQ_LIMIT + 1, False)])
def test_the_limit_is_in_bits(apart: int, grouped: bool) -> None:
    base = random_hash(np.random.default_rng(1))
    groups = groups_by_pdq([base, flipped(base, range(apart))])
    assert (members(groups) == [(0, 1)]) == grouped
    assert [group.furthest for group in groups] == ([float(apart)] if grouped else [])


def test_a_chain_is_one_group_and_a_stranger_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", 2)
    rng = np.random.default_rng(2)
    base, other = random_hash(rng), random_hash(rng)
    chain = [base, flipped(base, range(30)), flipped(base, range(60)), flipped(base, range(88))]
    assert members(groups_by_pdq([chain[3], other, chain[1], chain[0], chain[2]])) == [(0, 2, 3, 4)]
    assert groups_by_pdq([chain[0], chain[2]]) == []


def test_blocks_give_what_one_product_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    directions = rng.normal(size=(200, 16)).astype(np.float32)
    directions[150:] = directions[:50] + rng.normal(scale=0.01, size=(50, 16)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    whole = groups_by_direction(directions)
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    assert groups_by_direction(directions) == whole
    assert {(i, i + 150) for i in range(50)} == set(members(whole))
    assert all(0.99 <= group.furthest < 1 for group in whole)


def test_many_equal_pictures_are_one_group() -> None:
    base = random_hash(np.random.default_rng(5))
    assert [len(group.members) for group in groups_by_pdq([base] * 1500)] == [1500]


def test_nothing_has_no_duplicates() -> None:
    assert groups_by_pdq([]) == []
    assert groups_by_direction(np.zeros((0, 4), np.float32)) == []
