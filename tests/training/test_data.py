from __future__ import annotations

import io
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from provenance.errors import ImageRefused
from training.config import TrainConfig
from training.dataset.views import read_views


@dataclass
class Bytes:
    """A manifest of one item, as far as reading is concerned."""

    data: bytes

    def read(self, record: object) -> bytes:
        return self.data


RECORD = SimpleNamespace(path="data/picture.png")


def png(pixels: np.ndarray) -> Bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Bytes(file.getvalue())


def ramp(height: int, width: int) -> np.ndarray:
    """Left to right from black to white."""
    row = np.linspace(0, 255, width).round().astype(np.uint8)
    return np.repeat(np.repeat(row[None, :, None], height, 0), 3, 2)


def test_the_shortest_side_is_resized_and_the_middle_cut_out() -> None:
    (view,) = read_views(png(ramp(32, 96)), RECORD, 0, (16, 16), TrainConfig())  # type: ignore[arg-type]
    assert view.pixels.shape == (3, 16, 16)
    assert view.original_size == (32, 96)
    assert view.crop_top_left == (0, 16)
    assert view.time_ids == [32, 96, 0, 16, 16, 16]
    assert view.pixels.mean() == pytest.approx(0, abs=0.02)


def test_pixels_lie_between_minus_one_and_one() -> None:
    (view,) = read_views(png(ramp(64, 64)), RECORD, 0, (64, 64), TrainConfig())  # type: ignore[arg-type]
    assert view.pixels.min() == -1
    assert view.pixels.max() == 1
    assert view.pixels.dtype == torch.float32


def test_a_random_crop_is_the_same_for_the_same_seed_and_item_only() -> None:
    def places(seed: int, item: int) -> list[tuple[int, int]]:
        config = TrainConfig(crop="random", views=4, seed=seed)
        return [v.crop_top_left for v in read_views(png(ramp(64, 128)), RECORD, item, (64, 64), config)]  # type: ignore[arg-type]

    assert places(1, 0) == places(1, 0)
    assert len({tuple(places(*names)) for names in [(1, 0), (2, 0), (1, 1)]}) == 3
    assert all(top == 0 and 0 <= left <= 64 for top, left in places(1, 0))


def test_flipping_mirrors_some_views_and_not_others() -> None:
    config = TrainConfig(flip=True, views=16)
    views = read_views(png(ramp(16, 16)), RECORD, 0, (16, 16), config)  # type: ignore[arg-type]
    rising = {bool(view.pixels[0, 0, 0] < view.pixels[0, 0, -1]) for view in views}
    assert rising == {True, False}


def test_a_picture_just_covers_sides_of_another_shape() -> None:
    (view,) = read_views(png(ramp(40, 100)), RECORD, 0, (16, 32), TrainConfig())  # type: ignore[arg-type]
    # 40 × 100 covers 16 × 32 at 16 × 40, of which 4 px on either side are cut.
    assert view.time_ids == [40, 100, 0, 4, 16, 32]
    (tall,) = read_views(png(ramp(100, 40)), RECORD, 0, (16, 32), TrainConfig())  # type: ignore[arg-type]
    assert tall.time_ids == [100, 40, 32, 0, 16, 32]


def test_a_small_picture_is_enlarged_and_its_own_size_is_told() -> None:
    (view,) = read_views(png(ramp(8, 8)), RECORD, 0, (16, 24), TrainConfig())  # type: ignore[arg-type]
    assert view.time_ids == [8, 8, 4, 0, 16, 24]


def test_where_a_mirrored_crop_was_is_told_as_in_the_mirrored_picture() -> None:
    config = TrainConfig(crop="random", flip=True, views=16)
    pixels = ramp(16, 80)
    for view in read_views(png(pixels), RECORD, 0, (16, 16), config):  # type: ignore[arg-type]
        left = view.crop_top_left[1]
        mirrored = bool(view.pixels[0, 0, 0] > view.pixels[0, 0, -1])
        expected = (pixels[:, ::-1] if mirrored else pixels)[0, left, 0] / 127.5 - 1
        assert float(view.pixels[0, 0, 0]) == pytest.approx(expected, abs=0.02)


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(ImageRefused, match=r"data/picture\.png"):
        read_views(Bytes(b"not a picture"), RECORD, 0, (16, 16), TrainConfig())  # type: ignore[arg-type]
