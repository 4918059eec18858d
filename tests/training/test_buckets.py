from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from provenance.base import BaseModel
from provenance.dataset import sign_dataset
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from training.config import TrainConfig
from training.dataset.buckets import MAX_ASPECT, bucket_sides, nearest_bucket
from training.dataset.cache import build_cache
from training.errors import TrainingError
from training.families.opening import open_family
from training.families.protocol import Family

# Height and width of pictures, and where they belong at 32² px in steps of 8.
SHAPES = {(40, 40): (32, 32), (30, 60): (24, 40), (60, 33): (40, 24), (64, 64): (32, 32), (20, 200): (16, 64)}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> DatasetManifest:
    source = tmp_path_factory.mktemp("shapes")
    draw = np.random.default_rng(0)
    for index, (height, width) in enumerate(SHAPES):
        Image.fromarray(draw.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(source / f"{index}.png")
        (source / f"{index}.txt").write_text(f"picture {index}")
    release = tmp_path_factory.mktemp("release") / "shapes"
    return sign_dataset(source, release, issuer=issuer, licence="CC0-1.0", holder="Test Studio")


@pytest.fixture(scope="module")
def family(sdxl_base: BaseModel) -> Family:
    return open_family(sdxl_base, "cpu", TrainConfig())


@given(st.sampled_from([(32, 8), (512, 64), (768, 64), (1024, 64), (1024, 32), (512, 512)]))
def test_buckets_have_about_the_area_and_no_more(choice: tuple[int, int]) -> None:
    size, step = choice
    sides = bucket_sides(size, step)
    assert (size, size) in sides
    assert len(set(sides)) == len(sides)
    for height, width in sides:
        assert height % step == width % step == 0
        assert max(height, width) <= MAX_ASPECT * min(height, width)
        assert size * size - step * max(height, width) < height * width <= size * size
        assert (width, height) in sides


def test_buckets_at_512_are_these() -> None:
    wide = [(256, 1024), (320, 768), (384, 640), (448, 576)]
    assert bucket_sides(512, 64) == (*wide, (512, 512), *((w, h) for h, w in reversed(wide)))


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_a_picture_goes_where_the_logarithm_of_its_aspect_is_nearest(height: int, width: int) -> None:
    sides = bucket_sides(512, 64)
    found = nearest_bucket(sides, height, width)

    def distance(each: tuple[int, int]) -> float:
        return abs(math.log(each[0] / each[1]) - math.log(height / width))

    assert distance(found) == min(distance(each) for each in sides)
    assert nearest_bucket(sides, width, height) == found[::-1]


def test_every_picture_is_encoded_at_its_bucket_and_batches_are_of_one(
    family: Family, shapes: DatasetManifest, tmp_path: Path
) -> None:
    config = TrainConfig(buckets=True, bucket_step=8, batch_size=2)
    cache = build_cache(family, shapes, config, tmp_path, lambda *_: None)
    for item, (own, sides) in enumerate(SHAPES.items()):
        assert cache.latents(item, 0)[0].shape == (4, sides[0] // 4, sides[1] // 4)
        assert cache.time_ids(item, 0).tolist()[:2] == list(own)
        assert cache.time_ids(item, 0).tolist()[4:] == list(sides)
    for step in range(10):
        assert len({cache.latents(slot.item, slot.view)[0].shape for slot in cache.plan(step, 0)}) == 1


def test_a_picture_of_the_base_s_shape_is_the_same_with_buckets_and_without(
    family: Family, shapes: DatasetManifest, tmp_path: Path
) -> None:
    square = build_cache(family, shapes, TrainConfig(), tmp_path, lambda *_: None)
    sorted_ = build_cache(family, shapes, TrainConfig(buckets=True, bucket_step=8), tmp_path, lambda *_: None)
    assert torch.equal(square.latents(0, 0)[0], sorted_.latents(0, 0)[0])
    assert square.latents(1, 0)[0].shape != sorted_.latents(1, 0)[0].shape


@pytest.mark.parametrize("settings", [{"bucket_step": 24}, {"bucket_step": 64}])
def test_a_step_that_does_not_fit_the_side_is_refused(
    settings: dict[str, int], family: Family, shapes: DatasetManifest, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="cannot be sorted into buckets"):
        build_cache(family, shapes, TrainConfig(buckets=True, **settings), tmp_path, lambda *_: None)
