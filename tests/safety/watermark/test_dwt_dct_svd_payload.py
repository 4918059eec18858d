from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from safety.errors import WatermarkError
from safety.watermark import THRESHOLD, Detection, Payload
from safety.watermark import detect as detect_with
from safety.watermark import embed as embed_with
from safety.watermark import embed_verified as verified_with

Pictures = Callable[..., np.ndarray]
PAYLOAD = Payload(0xA5, 123_456, 789).pack()
BACKEND = "dwtDctSvd"


def embed(image: object, payload: int, key: bytes | None = None, strength: float | None = None) -> np.ndarray:
    return embed_with(image, payload, key, strength, BACKEND)


def detect(image: object, key: bytes | None = None) -> Detection:
    return detect_with(image, key, BACKEND)


def embed_verified(image: object, payload: int) -> tuple[np.ndarray, Detection]:
    return verified_with(image, payload, backend=BACKEND)


def quality(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


@pytest.mark.parametrize("seed", range(5))
def test_a_flat_scene_keeps_its_payload_through_jpeg_50(seed: int, scene_of: Pictures, saved: Pictures) -> None:
    picture = scene_of(seed)
    marked = embed(picture, PAYLOAD + seed)
    assert marked.shape == picture.shape
    assert marked.dtype == np.uint8
    assert quality(picture, marked) >= 41
    for jpeg in (95, 85, 75, 60, 50):
        assert detect(saved(marked, "JPEG", quality=jpeg)).payload == PAYLOAD + seed


@pytest.mark.parametrize(("seed", "side"), [(0, 256), (1, 512), (2, 512)])
def test_a_texture_keeps_its_payload_through_jpeg_50_and_webp_80(
    seed: int, side: int, texture_of: Pictures, saved: Pictures
) -> None:
    picture = texture_of(seed, side)
    marked = embed(picture, PAYLOAD)
    assert quality(picture, marked) >= 43
    for jpeg in (95, 75, 50):
        assert detect(saved(marked, "JPEG", quality=jpeg)).payload == PAYLOAD
    assert detect(saved(marked, "WEBP", quality=80)).payload == PAYLOAD


def test_saving_as_png_keeps_the_payload(scene_of: Pictures, saved: Pictures) -> None:
    assert detect(saved(embed(scene_of(3), PAYLOAD), "PNG")).payload == PAYLOAD


@pytest.mark.parametrize("change", [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color])
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_brightness_contrast_and_colour_changes_are_found_and_undone(
    change: type, factor: float, texture_of: Pictures
) -> None:
    marked = Image.fromarray(embed(texture_of(4, 256), PAYLOAD))
    assert detect(np.asarray(change(marked).enhance(factor))).payload == PAYLOAD


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_one_flat_grey_carries_a_payload_even_black_and_white(level: int, saved: Pictures) -> None:
    marked, detection = embed_verified(np.full((256, 256, 3), level, np.uint8), PAYLOAD)
    assert detection.payload == PAYLOAD
    assert detect(saved(marked, "JPEG", quality=75)).payload == PAYLOAD


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)])
def test_fully_saturated_colours_carry_a_payload(colour: tuple[int, int, int]) -> None:
    _, detection = embed_verified(np.full((256, 256, 3), colour, np.uint8), PAYLOAD)
    assert detection.payload == PAYLOAD


@pytest.mark.parametrize("size", [(144, 144), (145, 263), (300, 200), (259, 511)])
def test_sizes_that_are_no_multiple_of_eight_work(size: tuple[int, int], texture_of: Pictures) -> None:
    picture = texture_of(5, 512)[: size[0], : size[1]]
    assert detect(embed(picture, PAYLOAD)).payload == PAYLOAD


def test_another_key_reads_nothing(scene_of: Pictures) -> None:
    marked = embed(scene_of(6), PAYLOAD, key=b"one")
    assert detect(marked, key=b"one").payload == PAYLOAD
    for key in (None, b"two", b"one\0"):
        assert detect(marked, key=key).payload is None


def test_random_keys_on_marked_and_plain_pictures_never_detect(scene_of: Pictures, texture_of: Pictures) -> None:
    rng = np.random.default_rng(8)
    pictures = [scene_of(7), embed(scene_of(7), PAYLOAD), texture_of(8, 256), embed(texture_of(8, 256), PAYLOAD)]
    lowest = min(detect(picture, key=rng.bytes(16)).p_value for picture in pictures for _ in range(8))
    assert lowest > THRESHOLD


@pytest.mark.parametrize("seed", range(8))
def test_an_unmarked_picture_has_no_payload_under_the_public_key(
    seed: int, scene_of: Pictures, texture_of: Pictures
) -> None:
    for picture in (scene_of(1000 + seed), texture_of(1000 + seed, 256)):
        detection = detect(picture)
        assert detection.payload is None
        assert detection.p_value > THRESHOLD


@given(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=40))
@settings(max_examples=15, deadline=None)
def test_any_payload_under_any_key_comes_back(payload: int, key: bytes) -> None:
    picture = np.full((144, 144, 3), (90, 160, 120), np.uint8)
    assert detect(embed(picture, payload, key=key), key=key).payload == payload


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_hostile_arrays_are_refused_or_read_but_never_crash_or_detect(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 200), min_size=0, max_size=4)))
    kind = data.draw(st.sampled_from([np.uint8, np.int16, np.float64, np.bool_, np.complex64]))
    try:
        assert detect(np.zeros(shape, kind)).payload is None
    except WatermarkError:
        assert len(shape) != 3 or shape[2] != 3 or kind != np.uint8 or (shape[0] // 8) * (shape[1] // 8) < 304


@pytest.mark.parametrize(
    "image",
    [
        None,
        b"PNG",
        [[[0, 0, 0]]],
        np.zeros((1, 4096, 3), np.uint8),
        np.zeros((4096, 1, 3), np.uint8),
        np.zeros((128, 128, 3), np.uint8),
        np.zeros((256, 256, 2), np.uint8),
        np.zeros((0, 256, 3), np.uint8),
        np.full((256, 256, 3), np.nan),
        np.full((256, 256, 3), np.inf, np.float32),
        np.zeros((256, 256, 3), np.int64),
        np.array(["x"], dtype=object),
    ],
)
def test_what_is_no_rgb_picture_of_enough_pixels_is_refused(image: object) -> None:
    with pytest.raises(WatermarkError):
        detect(image)
    with pytest.raises(WatermarkError):
        embed(image, PAYLOAD)


@pytest.mark.parametrize("name", ["dwtDct", "nothing"])
def test_a_backend_that_cannot_carry_64_bits_is_refused_by_name(name: str, scene_of: Pictures) -> None:
    with pytest.raises(WatermarkError, match=name):
        detect_with(scene_of(1), backend=name)


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), 1e9])
def test_a_strength_out_of_range_is_refused(strength: float, scene_of: Pictures) -> None:
    with pytest.raises(WatermarkError, match="strength"):
        embed(scene_of(1), PAYLOAD, strength=strength)


@pytest.mark.parametrize("key", [b"", "text", 7])
def test_a_key_that_is_not_bytes_is_refused(key: bytes, scene_of: Pictures) -> None:
    with pytest.raises(WatermarkError, match="key"):
        embed(scene_of(1), PAYLOAD, key=key)


def test_embedding_leaves_the_given_picture_alone(scene_of: Pictures) -> None:
    picture = scene_of(2).copy()
    before = picture.copy()
    embed(picture, PAYLOAD)
    assert np.array_equal(picture, before)


def test_a_read_only_or_mirrored_view_is_marked_like_its_copy(scene_of: Pictures) -> None:
    view = scene_of(2)[:, ::-1]
    view.flags.writeable = False
    assert np.array_equal(embed(view, PAYLOAD), embed(view.copy(), PAYLOAD))


def test_importing_is_light_and_detecting_needs_neither_torch_nor_the_package() -> None:
    program = """
import sys
import safety.watermark
assert "numpy" not in sys.modules
import numpy
safety.watermark.detect(numpy.zeros((256, 256, 3), numpy.uint8), backend="dwtDctSvd")
heavy = {"torch", "onnxruntime", "cv2", "pywt", "imwatermark", "scipy", "PIL"} & set(sys.modules)
assert not heavy, heavy
safety.watermark.embed(numpy.zeros((256, 256, 3), numpy.uint8), 1, backend="dwtDctSvd")
heavy = {"torch", "onnxruntime", "imwatermark"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)
