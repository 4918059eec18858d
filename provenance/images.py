"""Untrusted pictures: PNG, JPEG or WebP, one frame, at most 25 megapixels, decoded to the last row."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.errors import ImageRefused
from provenance.faults import printable

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 25_000_000
MAX_BYTES = 256 * 1024**2
MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
SUFFIXES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageInfo:
    """What a picture is, after all of it was decoded; sizes in pixels."""

    media_type: str
    width: int
    height: int


def inspect_image(data: bytes, name: str) -> ImageInfo:
    """Decodes a whole picture and says what it is; raises ImageRefused naming the file."""
    image = _decode(data, name)
    return ImageInfo(MEDIA_TYPES[image.format or ""], image.width, image.height)


def decode_image(data: bytes, name: str) -> Image:
    """Decodes to upright RGB: EXIF orientation applied, transparency laid over white; raises ImageRefused."""
    return decode_layers(data, name)[0]


def decode_layers(data: bytes, name: str) -> tuple[Image, Image | None]:
    """Decodes as `decode_image` does, and gives the alpha channel (mode L) beside it, or None where there is none."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    with _pillow_errors(name):
        image = ImageOps.exif_transpose(_decode(data, name))
        if not image.has_transparency_data:
            return image.convert("RGB"), None
        layer = image.convert("RGBA")
        over_white = Pillow.new("RGBA", layer.size, (255, 255, 255, 255))
        over_white.alpha_composite(layer)
        return over_white.convert("RGB"), layer.getchannel("A")


def upright_size(data: bytes, name: str) -> tuple[int, int]:
    """Height and width in px once EXIF orientation is applied, from the header alone; raises ImageRefused."""
    with _pillow_errors(name):
        image = _open(data, name)
        turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


def _decode(data: bytes, name: str) -> Image:
    image = _open(data, name)
    with _pillow_errors(name):
        image.load()
    return image


def _open(data: bytes, name: str) -> Image:
    from PIL import Image as Pillow

    if len(data) > MAX_BYTES:
        raise ImageRefused(f"{printable(name)} is too large", expected=f"at most {MAX_BYTES} bytes")
    with _pillow_errors(name):
        image = Pillow.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES))
        if image.width * image.height > MAX_PIXELS:
            raise ImageRefused(
                f"{printable(name)} has too many pixels",
                expected=f"at most {MAX_PIXELS:,}",
                found=f"{image.width} × {image.height}",
                fix="scale the picture down",
            )
        frames = getattr(image, "n_frames", 1)
        if frames != 1:
            raise ImageRefused(f"{printable(name)} is animated", expected="one still picture", found=f"{frames} frames")
    return image


@contextmanager
def _pillow_errors(name: str) -> Iterator[None]:
    from PIL import UnidentifiedImageError

    try:
        with _warnings.raised():
            yield
    except ImageRefused:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parsing stumbles on, far beyond OSError
        found = "some other kind of file" if isinstance(error, UnidentifiedImageError) else str(error)
        raise ImageRefused(
            f"{printable(name)} cannot be decoded",
            expected="a whole PNG, JPEG or WebP picture",
            found=" ".join(found.split())[:200] or type(error).__name__,
            fix="export the picture again, or take it out",
        ) from error


class _PillowWarnings:
    """Turns Pillow's warnings into errors while any thread decodes: filters are global, so threads share one change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._saved = warnings.catch_warnings()

    @contextmanager
    def raised(self) -> Iterator[None]:
        with self._lock:
            if self._depth == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("error", module=r"PIL\..*")
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    self._saved.__exit__(None, None, None)


_warnings = _PillowWarnings()
