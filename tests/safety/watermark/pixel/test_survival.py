"""What the pixel layer's 64 bits survive, exactly."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from safety.watermark import THRESHOLD, detect, embed

from .conftest import PAYLOAD

Picture = NDArray[np.uint8]
Change = Callable[[Picture], Picture]


def jpeg(picture: Picture, quality: int) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def turned(picture: Picture, degrees: float) -> Picture:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC)


def scaled(picture: Picture, across: float, down: float | None = None) -> Picture:
    size = (round(picture.shape[1] * across), round(picture.shape[0] * (down or across)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if across < 1 else cv2.INTER_CUBIC)


def cropped(picture: Picture, area: float) -> Picture:
    height, width = (round(side * area**0.5) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 3, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def noisy(picture: Picture, sigma: float) -> Picture:
    noise = np.random.default_rng(0).normal(0, 255 * sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def brighter(picture: Picture, factor: float, offset: float = 0) -> Picture:
    return np.clip(picture * factor + offset, 0, 255).astype(np.uint8)


def sheared(picture: Picture, by: float) -> Picture:
    height, width = picture.shape[:2]
    matrix = np.array([[1, by, -by * height / 2], [0, 1, 0]])
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC)


CHANGES: dict[str, Change] = {
    "nothing": lambda p: p,
    "jpeg 30": lambda p: jpeg(p, 30),
    "blur of 2 pixels": lambda p: cv2.GaussianBlur(p, (0, 0), 2),
    "noise of 0.05": lambda p: noisy(p, 0.05),
    "brightness 1.3": lambda p: brighter(p, 1.3),
    "contrast 0.5": lambda p: brighter(p, 0.5, 64),
    "median of 5": lambda p: cv2.medianBlur(p, 5),
    "rotation by 5": lambda p: turned(p, 5),
    "rotation by 30": lambda p: turned(p, 30),
    "rotation by 90": lambda p: np.ascontiguousarray(np.rot90(p)),
    "rotation by 180": lambda p: np.ascontiguousarray(p[::-1, ::-1]),
    "rotation by 137": lambda p: turned(p, 137),
    "mirrored": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "scaled to 0.4": lambda p: scaled(p, 0.4),
    "scaled to 0.5": lambda p: scaled(p, 0.5),
    "scaled to 1.5": lambda p: scaled(p, 1.5),
    "scaled to 2.5": lambda p: scaled(p, 2.5),
    "a quarter wider": lambda p: scaled(p, 1.25, 1.0),
    "a fifth narrower": lambda p: scaled(p, 0.8, 1.0),
    "sheared by 0.1": lambda p: sheared(p, 0.1),
    "cropped to 0.4 of its area": lambda p: cropped(p, 0.4),
    "half of it at full size": lambda p: cv2.resize(cropped(p, 0.5), (512, 512), interpolation=cv2.INTER_CUBIC),
    "turned, cropped and jpeg 50": lambda p: jpeg(cropped(turned(p, 12), 0.5), 50),
    "made small, sharpened and jpeg 60": lambda p: jpeg(sharpened(scaled(p, 0.7)), 60),
}


def sharpened(picture: Picture) -> Picture:
    return np.clip(1.8 * picture - 0.8 * cv2.GaussianBlur(picture, (0, 0), 1.0), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", CHANGES)
def test_every_bit_survives(change: str, marked: list[Picture]) -> None:
    for index, picture in enumerate(marked):
        detection = detect(CHANGES[change](picture))
        assert detection.payload == PAYLOAD + index
        assert detection.p_value < THRESHOLD


@pytest.mark.parametrize("change", ["scaled to 0.5", "rotation by 30", "mirrored", "a quarter wider", "sheared by 0.1"])
def test_the_geometry_is_told(change: str, marked: list[Picture]) -> None:
    told = detect(CHANGES[change](marked[0])).geometry
    assert told.scale == pytest.approx({"scaled to 0.5": 0.5, "a quarter wider": 1.25**0.5}.get(change, 1.0), rel=0.01)
    assert told.angle == pytest.approx(30 if change == "rotation by 30" else 0, abs=0.5)
    assert told.flip == (change == "mirrored")
    assert told.aspect == pytest.approx(1.25 if change == "a quarter wider" else 1.0, rel=0.01)
    assert told.shear == pytest.approx(0.1 if change == "sheared by 0.1" else 0.0, abs=0.01)


@pytest.mark.parametrize("size", [(256, 256), (256, 700), (333, 511), (1100, 1500), (300, 2000)])
def test_pictures_of_any_shape_carry_the_payload(size: tuple[int, int], texture_of: Callable[..., Picture]) -> None:
    picture = np.ascontiguousarray(texture_of(5, max(size))[: size[0], : size[1]])
    mark = embed(picture, PAYLOAD)
    for change in (lambda p: p, lambda p: jpeg(p, 70), lambda p: jpeg(scaled(p, 0.75), 85)):
        assert detect(change(mark)).payload == PAYLOAD


def test_a_large_picture_is_read_at_a_fifth_of_its_size(texture_of: Callable[..., Picture]) -> None:
    picture = cv2.resize(texture_of(6, 1024), (3072, 2304), interpolation=cv2.INTER_CUBIC)
    assert detect(jpeg(scaled(embed(picture, PAYLOAD), 0.2), 80)).payload == PAYLOAD


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_one_flat_grey_carries_a_payload_even_black_and_white(level: int) -> None:
    assert detect(jpeg(embed(np.full((256, 256, 3), level, np.uint8), PAYLOAD), 90)).payload == PAYLOAD


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)])
def test_fully_saturated_colours_carry_a_payload(colour: tuple[int, int, int]) -> None:
    assert detect(embed(np.full((256, 256, 3), colour, np.uint8), PAYLOAD)).payload == PAYLOAD
