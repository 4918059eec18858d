from __future__ import annotations

import contextlib
import io
import threading
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from provenance.errors import ImageRefused
from provenance.images import MAX_PIXELS, ImageInfo, decode_image, inspect_image

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.new("RGB", (40, 30), "red")).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("truncated.png", "cannot be decoded"),
        ("truncated.jpg", "cannot be decoded"),
        ("truncated.webp", "cannot be decoded"),
        ("flipped-bit.png", "cannot be decoded"),
        ("bomb.png", "too many pixels"),
        ("huge-bomb.png", "decompression bomb"),
        ("text-bomb.png", "cannot be decoded"),
        ("animated.png", "animated"),
        ("animated.webp", "animated"),
        ("gif-named.png", "some other kind of file"),
        ("script-named.png", "some other kind of file"),
        ("empty.png", "some other kind of file"),
        ("corrupt-exif.jpg", "Corrupt EXIF"),
    ],
)
def test_bad_picture_is_refused_by_name_and_reason(asset: str, reason: str) -> None:
    data = (ASSETS / asset).read_bytes()
    for use in (inspect_image, decode_image):
        with pytest.raises(ImageRefused) as refusal:
            use(data, asset)
        assert asset in str(refusal.value)
        assert reason in str(refusal.value)


@pytest.mark.parametrize(("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_good_picture_is_described(kind: str, media_type: str) -> None:
    assert inspect_image(encoded(kind), "a") == ImageInfo(media_type, 40, 30)


def test_largest_allowed_picture_passes() -> None:
    side = int(MAX_PIXELS**0.5)
    assert inspect_image(encoded("PNG", Image.new("1", (side, side))), "a").width == side


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert decode_image(encoded("PNG", clear), "a").getpixel((0, 0)) == (255, 255, 255)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode_image(encoded("JPEG", exif=exif), "a")
    assert (picture.width, picture.height, picture.mode) == (30, 40, "RGB")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_becomes_rgb(mode: str) -> None:
    assert decode_image(encoded("PNG", Image.new(mode, (4, 4))), "a").mode == "RGB"


def test_warning_filters_are_left_as_they_were_by_many_threads() -> None:
    before = list(warnings.filters)
    data = encoded("PNG")
    threads = [threading.Thread(target=lambda: [inspect_image(data, "a") for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["PNG", "JPEG", "WEBP"]), place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_damaged_pictures_are_decoded_or_refused_never_anything_else(kind: str, place: int, byte: int) -> None:
    data = bytearray(encoded(kind))
    data[place % len(data)] = byte
    with contextlib.suppress(ImageRefused):
        inspect_image(bytes(data), "a")
