"""Keys, null decisions, inputs and what stays as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from safety.errors import WatermarkError
from safety.watermark import THRESHOLD, detect, embed, embed_verified

from .conftest import PAYLOAD

Picture = NDArray[np.uint8]
Pictures = Callable[..., Picture]


def psnr(first: Picture, second: Picture) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def test_marking_is_quiet_and_keeps_size_and_depth(textures: list[Picture], marked: list[Picture]) -> None:
    for picture, mark in zip(textures, marked, strict=True):
        assert mark.shape == picture.shape
        assert mark.dtype == np.uint8
        assert psnr(picture, mark) >= 36.9


def test_strength_multiplies_the_change(textures: list[Picture]) -> None:
    faint, loud = (psnr(textures[0], embed(textures[0], PAYLOAD, strength=strength)) for strength in (0.5, 1.0))
    assert 4 < faint - loud < 7


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), 1e9])
def test_a_strength_out_of_range_is_refused(strength: float, textures: list[Picture]) -> None:
    with pytest.raises(WatermarkError, match="strength"):
        embed(textures[0], PAYLOAD, strength=strength)


def test_another_key_reads_nothing(textures: list[Picture]) -> None:
    mark = embed(textures[0], PAYLOAD, key=b"one")
    assert detect(mark, key=b"one").payload == PAYLOAD
    for key in (None, b"two", b"one\0"):
        assert detect(mark, key=key).payload is None


def test_random_keys_and_unmarked_pictures_never_detect(
    textures: list[Picture], marked: list[Picture], scene_of: Pictures
) -> None:
    rng = np.random.default_rng(8)
    for picture in (textures[0], marked[0], scene_of(1)):
        assert detect(picture, key=rng.bytes(16)).p_value > THRESHOLD
    for picture in (textures[1], scene_of(2)):
        assert detect(picture).payload is None


@pytest.mark.parametrize("key", [b"", "text", 7])
def test_a_key_that_is_not_bytes_is_refused(key: bytes, textures: list[Picture]) -> None:
    with pytest.raises(WatermarkError, match="key"):
        embed(textures[0], PAYLOAD, key=key)


@given(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=40))
@settings(max_examples=12, deadline=None)
def test_any_payload_under_any_key_comes_back(payload: int, key: bytes) -> None:
    picture = np.full((256, 256, 3), (90, 160, 120), np.uint8)
    assert detect(embed(picture, payload, key=key), key=key).payload == payload


@pytest.mark.parametrize("payload", [-1, 2**64, 1.5, True, None])
def test_what_is_no_64_bit_number_is_refused(payload: int, textures: list[Picture]) -> None:
    with pytest.raises(WatermarkError, match="64-bit"):
        embed(textures[0], payload)


def test_embedding_leaves_the_given_picture_alone_and_takes_any_view(textures: list[Picture]) -> None:
    view = textures[0].copy()[:, ::-1]
    before = view.copy()
    view.flags.writeable = False
    assert np.array_equal(embed(view, PAYLOAD), embed(before, PAYLOAD))
    assert np.array_equal(view, before)


def test_a_verified_mark_reads_after_jpeg_75(scene_of: Pictures) -> None:
    mark, detection = embed_verified(scene_of(4), PAYLOAD)
    assert detection.payload == detect(mark).payload == PAYLOAD


def test_alpha_grey_and_sixteen_bits_are_marked_in_kind(textures: list[Picture]) -> None:
    alpha = np.dstack([textures[0], np.arange(512 * 512, dtype=np.uint8).reshape(512, 512)])
    grey = textures[0][..., 1].copy()
    deep = textures[0].astype(np.uint16) * 256 + 77
    for picture in (alpha, grey, deep):
        mark = embed(picture, PAYLOAD)
        assert (mark.shape, mark.dtype) == (picture.shape, picture.dtype)
        assert detect(mark).payload == PAYLOAD
    assert np.array_equal(embed(alpha, PAYLOAD)[..., 3], alpha[..., 3])


def test_pillow_pictures_and_files_are_read(marked: list[Picture], tmp_path: Path) -> None:
    path = tmp_path / "marked.png"
    Image.fromarray(marked[0]).save(path)
    assert detect(path).payload == detect(str(path)).payload == detect(Image.open(path)).payload == PAYLOAD
    palette = Image.fromarray(np.full((256, 256, 3), (10, 200, 90), np.uint8)).convert("P")
    assert detect(embed(palette, PAYLOAD)).payload == PAYLOAD


def files(folder: Path) -> dict[str, Path]:
    """One bad file for each way of being one."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    made = {name: folder / name for name in ("truncated.png", "text.png", "empty.jpg", "cmyk.jpg", "animated.webp")}
    Image.fromarray(noise).save(folder / "whole.png")
    made["truncated.png"].write_bytes((folder / "whole.png").read_bytes()[:5000])
    made["text.png"].write_text("not a picture")
    made["empty.jpg"].write_bytes(b"")
    Image.fromarray(noise).convert("CMYK").save(made["cmyk.jpg"])
    frames = [Image.fromarray(np.roll(noise, step, axis=0)) for step in range(3)]
    frames[0].save(made["animated.webp"], save_all=True, append_images=frames[1:])
    return made


@pytest.mark.parametrize("name", ["truncated.png", "text.png", "empty.jpg", "cmyk.jpg", "animated.webp", "missing.png"])
def test_a_bad_file_is_refused_and_not_read(name: str, tmp_path: Path) -> None:
    path = files(tmp_path).get(name, tmp_path / name)
    for call in (detect, lambda image: embed(image, PAYLOAD)):
        with pytest.raises(WatermarkError):
            call(path)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("L", (20_000, 20_000)).save(path)
    with pytest.raises(WatermarkError):
        detect(path)


@pytest.mark.parametrize(
    "image",
    [
        None,
        b"PNG",
        [[[0, 0, 0]]],
        np.zeros((1, 4096, 3), np.uint8),
        np.zeros((4096, 1, 3), np.uint8),
        np.zeros((60, 256, 3), np.uint8),
        np.zeros((256, 256, 2), np.uint8),
        np.zeros((256, 256, 5), np.uint8),
        np.zeros((0, 256, 3), np.uint8),
        np.zeros((20_000, 300, 3), np.uint8),
        np.full((256, 256, 3), np.nan),
        np.full((256, 256, 3), np.inf, np.float32),
        np.zeros((256, 256, 3), np.int64),
        np.zeros((256, 256, 3), bool),
        np.array(["x"], dtype=object),
    ],
)
def test_what_is_no_picture_of_a_fair_size_is_refused(image: object) -> None:
    for call in (detect, lambda image: embed(image, PAYLOAD)):
        with pytest.raises(WatermarkError):
            call(image)


@given(
    st.integers(0, 2**32 - 1), st.integers(64, 300), st.integers(64, 300), st.sampled_from(["noise", "stripes", "one"])
)
@settings(max_examples=8, deadline=None)
def test_strange_pictures_are_never_detected_in(seed: int, height: int, width: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    if kind == "stripes":
        picture[:] = picture[:, :1]
    if kind == "one":
        picture[:] = 0
        picture[height // 2, width // 2] = 255
    assert detect(picture).payload is None


def test_reading_needs_neither_torch_nor_onnxruntime() -> None:
    program = """
import sys
import safety.watermark
assert "numpy" not in sys.modules
import numpy
picture = numpy.full((256, 256, 3), 99, numpy.uint8)
assert safety.watermark.detect(safety.watermark.embed(picture, 5)).payload == 5
heavy = {"torch", "onnxruntime", "imwatermark", "pywt", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)
