from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmarks.watermark import drawn, pictures
from provenance.errors import Unavailable, UsageError


def test_the_shipped_photographs_are_512_squares_and_all_different() -> None:
    found = pictures.photographs()
    loaded = [picture.load() for picture in found]
    assert len(loaded) == 28
    assert {pixels.shape for pixels in loaded} == {(512, 512, 3)}
    assert {str(pixels.dtype) for pixels in loaded} == {"uint8"}
    assert len({pixels.tobytes() for pixels in loaded}) == 28
    assert len({picture.name for picture in found}) == 28


def test_small_and_large_photographs_have_their_sizes() -> None:
    assert {picture.load().shape for picture in pictures.small_photographs()} == {(256, 256, 3)}
    for picture in pictures.large_photographs():
        assert picture.load()[..., 0].size > 850_000


@pytest.mark.parametrize(
    "some",
    [
        drawn.drawn_scenes,
        drawn.starter_samples,
        drawn.text_pages,
        drawn.flat_pictures,
        drawn.dark_pictures,
        drawn.saturated_pictures,
    ],
)
def test_drawn_pictures_come_out_the_same_every_time(some: object) -> None:
    assert callable(some)
    first, again = some()[0], some()[0]
    np.testing.assert_array_equal(first.load(), again.load())
    assert first.load().shape == (512, 512, 3)
    assert first.load().dtype == np.uint8


def test_saturated_pictures_clip_and_dark_ones_are_dark() -> None:
    saturated = drawn.saturated_pictures()[0].load()
    assert np.mean((saturated == 0) | (saturated == 255)) > 0.5
    assert drawn.dark_pictures()[0].load().max() <= 32


def test_a_package_that_is_not_there_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures._folder.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="skimage") as refused:
        pictures.photographs()[0].load()
    assert "prov[bench]" in str(refused.value)
    pictures._folder.cache_clear()


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UsageError, match="no pictures"):
        pictures.from_folder(tmp_path)
    with pytest.raises(UsageError, match="no pictures"):
        pictures.from_folder(tmp_path / "absent")
