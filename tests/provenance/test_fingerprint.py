from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from generation.starter.scenes import COLOURS, OBJECTS, SCENES, Scene, draw_scene
from provenance.errors import FormatError, ImageRefused
from provenance.fingerprint import BYTES, MATCH_THRESHOLD, distance, fingerprint
from safety.watermark import embed

SAMPLE = [SCENES[i] for i in range(0, len(SCENES), 23)]


def drawn(scene: Scene, seed: int) -> Image.Image:
    return draw_scene(scene, np.random.default_rng(seed)).resize((256, 256), Image.Resampling.LANCZOS)


def mark_of(picture: Image.Image) -> str:
    return fingerprint(np.asarray(picture))


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


EDITS = {
    "JPEG 30": lambda p: jpeg(p, 30),
    "half size": lambda p: p.resize((128, 128)),
    "half size and back": lambda p: p.resize((128, 128)).resize((256, 256)),
    "another size": lambda p: p.resize((300, 222)),
    "brighter by 10 %": lambda p: ImageEnhance.Brightness(p).enhance(1.1),
    "darker by 10 %": lambda p: ImageEnhance.Brightness(p).enhance(0.9),
    "darker by 30 %": lambda p: ImageEnhance.Brightness(p).enhance(0.7),
    "more contrast": lambda p: ImageEnhance.Contrast(p).enhance(1.1),
    "less contrast": lambda p: ImageEnhance.Contrast(p).enhance(0.9),
    "watermarked": lambda p: Image.fromarray(embed(np.asarray(p), 7)),
    "watermarked, JPEG 50": lambda p: jpeg(Image.fromarray(embed(np.asarray(p), 7)), 50),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_the_same_picture_after_a_benign_edit_matches(edit: object) -> None:
    for seed, scene in enumerate(SAMPLE):
        picture = drawn(scene, seed)
        assert distance(mark_of(picture), mark_of(edit(picture))) < MATCH_THRESHOLD  # type: ignore[operator]


def test_another_picture_of_the_same_world_does_not_match() -> None:
    for seed, scene in enumerate(SAMPLE):
        own = mark_of(drawn(scene, seed))
        for colour in COLOURS.keys() - {scene.colour}:
            assert distance(own, mark_of(drawn(replace(scene, colour=colour), seed))) > MATCH_THRESHOLD
        for name in OBJECTS.keys() - {scene.object}:
            assert distance(own, mark_of(drawn(replace(scene, object=name), seed))) > MATCH_THRESHOLD


def test_the_same_scene_drawn_anew_does_not_match() -> None:
    for scene in SAMPLE:
        marks = [mark_of(drawn(scene, seed)) for seed in range(6)]
        assert min(distance(a, b) for i, a in enumerate(marks) for b in marks[:i]) > MATCH_THRESHOLD


def test_a_mirrored_or_turned_picture_does_not_match() -> None:
    picture = drawn(SCENES[3], 1)
    for turn in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90):
        assert distance(mark_of(picture), mark_of(picture.transpose(turn))) > MATCH_THRESHOLD


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_picture_of_any_size_has_one_and_distances_are_symmetric(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (fingerprint(rng.integers(0, 256, (height, width, 3), np.uint8)) for _ in range(2))
    assert len(one) == 2 * BYTES
    assert distance(one, one) == 0
    assert distance(one, other) == distance(other, one)
    assert 0 <= distance(one, other) <= 1


def test_the_cells_are_area_means_byte_by_byte() -> None:
    picture = np.zeros((24, 36, 3), np.uint8)
    picture[:2, :3] = (10, 20, 30)
    assert fingerprint(picture) == "01" + "0a141e" + "000000" * 143


def test_black_and_white_are_far_apart() -> None:
    black, white = (fingerprint(np.full((9, 9, 3), level, np.uint8)) for level in (0, 255))
    assert distance(black, white) == 1


@pytest.mark.parametrize(
    "image",
    [
        None,
        "x",
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 3)),
        np.zeros((8, 0, 3), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageRefused):
        fingerprint(image)


@pytest.mark.parametrize("text", ["", "01", "zz" * BYTES, "02" + "00" * (BYTES - 1), "01" + "00" * BYTES, None, b"01"])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        distance(text, "01" + "00" * (BYTES - 1))
