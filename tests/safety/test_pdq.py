"""Our PDQ against what Facebook's own implementation (pdqhash 0.2.8) gave for photographs of scikit-image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from safety.errors import FilterError
from safety.pdq import pdq_bits, pdq_hash

REFERENCE = [
    ("astronaut.png", "2d6b1af3a956c529e79ca3d2526fa834d4196c81cedd04de0a26b855fc99b724", 100),
    ("camera.png", "dc9c9d3b746978f888f40ce6e5c3f70f7266623e8d989cb99f21f2010841e1c7", 100),
    ("chelsea.png", "5feb5321f01da156898e2bf629a5d3438412cdbd23f48942464526315db33ffd", 100),
    ("coffee.png", "8c629e779a663698b9a33866c026726c21a679f61eb6e1f8c79ba7e23c8299e0", 100),
    ("moon.png", "131645cde366d981e1e371b264d8b25b9e4d13771d8c4f366d946ca57133d0c9", 83),
    ("page.png", "965b26d62ed3636b192ccdddcc91d88c3925812979849815e37b1cce4732a6fb", 100),
]
Pictures = Callable[..., np.ndarray]


def photograph(name: str) -> np.ndarray:
    import skimage.data

    return np.asarray(Image.open(Path(skimage.data.__file__).parent / name).convert("RGB"))


@pytest.mark.parametrize(("name", "digits", "quality"), REFERENCE)
def test_photographs_hash_to_the_bits_of_the_reference(name: str, digits: str, quality: int) -> None:
    found = pdq_hash(photograph(name))
    assert (found.hex, found.quality) == (digits, quality)
    assert np.array_equal(pdq_bits(digits), found.bits)


def test_a_large_picture_hashes_nearly_as_it_does_when_small() -> None:
    small = Image.fromarray(photograph("astronaut.png"))
    large = np.asarray(small.resize((2600, 2600), Image.Resampling.BICUBIC))
    assert (pdq_hash(large).bits ^ pdq_bits(REFERENCE[0][1])).sum() <= 16


WAYS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda p: p,
    lambda p: np.rot90(p, -1),
    lambda p: np.rot90(p, -2),
    lambda p: np.rot90(p, -3),
    lambda p: p[:, ::-1],
    lambda p: np.rot90(p[:, ::-1], -1),
    lambda p: np.rot90(p[:, ::-1], -2),
    lambda p: np.rot90(p[:, ::-1], -3),
]


@pytest.mark.parametrize("way", range(8))
@pytest.mark.parametrize("name", ["chelsea.png", "page.png"])
def test_orientations_are_the_hashes_of_the_turned_picture(name: str, way: int) -> None:
    picture = photograph(name)
    turned = pdq_hash(np.ascontiguousarray(WAYS[way](picture)))
    assert np.array_equal(pdq_hash(picture).orientations[way], turned.bits)


def test_one_colour_has_no_quality(scene_of: Pictures) -> None:
    assert pdq_hash(np.full((40, 60, 3), 90, np.uint8)).quality == 0
    assert pdq_hash(scene_of(1)).quality > 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 500, 3), (70, 2, 3)])
def test_small_and_narrow_pictures_hash(shape: tuple[int, int, int]) -> None:
    assert len(pdq_hash(np.random.default_rng(1).integers(0, 256, shape, np.uint8)).hex) == 64


@pytest.mark.parametrize(
    "picture",
    [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), "x"],
)
def test_what_is_no_picture_is_refused(picture: object) -> None:
    with pytest.raises(FilterError, match="cannot be hashed"):
        pdq_hash(picture)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, None])
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="not a PDQ hash"):
        pdq_bits(text)
