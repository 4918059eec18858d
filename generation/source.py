"""The picture that others are drawn from, and the mask that says which part of it is drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from provenance.canonical import sha256_hex
from provenance.errors import UsageError
from provenance.files import read_file
from provenance.images import MAX_BYTES, decode_image, inspect_image
from provenance.ingredient import Ingredient, require_usable
from safety.errors import WatermarkError
from safety.watermark import Payload, detect

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True)
class Source:
    """An input picture (H, W, 3) uint8, upright, and its file; ``mask`` (H, W) uint8 is 255 where it is drawn anew.

    ``payload`` is what its pixel mark says, as 16 hexadecimal digits; None when no mark is read with the public key.
    """

    picture: NDArray[np.uint8]
    sha256: str
    ingredient: Ingredient
    mask: NDArray[np.uint8] | None = None
    mask_sha256: str | None = None
    payload: str | None = None


@dataclass(frozen=True)
class Canvas:
    """A source at the size that a model draws at, and at the size that is delivered.

    ``picture`` (RGB) and ``mask`` (L) are Pillow pictures of the model's size; ``kept`` (H, W, 3) uint8 and ``drawn``
    (H, W, 1), how much of each pixel is drawn anew from 0 to 1, are of the delivered one.
    """

    picture: Image
    mask: Image | None
    kept: NDArray[np.uint8]
    drawn: NDArray[np.float32] | None

    def composed(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A drawn picture with the input's own pixels where nothing was to be drawn anew."""
        if self.drawn is None:
            return picture
        mixed: NDArray[np.uint8] = (self.drawn * picture + (1 - self.drawn) * self.kept).round().astype(np.uint8)
        return mixed


def open_source(image: Path, mask: Path | None) -> Source:
    """Reads an input picture and its mask once; both are hostile until they are decoded to the last row.

    Raises FileRefused or ImageRefused, UsageError for a mask that does not fit or marks nothing, and CredentialsError
    for a picture whose Content Credentials forbid this use or cannot be carried on.
    """
    data = read_file(image, limit=MAX_BYTES)
    info = inspect_image(data, "the input picture")
    picture = np.asarray(decode_image(data, "the input picture"))
    ingredient = Ingredient(data, info.media_type, kept=mask is not None)
    require_usable(ingredient)
    source = Source(picture, sha256_hex(data), ingredient, payload=_payload(picture))
    if mask is None:
        return source
    drawn = read_file(mask, limit=MAX_BYTES)
    marked = np.asarray(decode_image(drawn, "the mask").convert("L"))
    if marked.shape != picture.shape[:2]:
        raise UsageError(
            "the mask is not of the input picture's size",
            expected=f"{picture.shape[1]} × {picture.shape[0]} px",
            found=f"{marked.shape[1]} × {marked.shape[0]} px",
        )
    if not (marked >= 128).any():
        raise UsageError("the mask marks nothing", expected="white where the picture is drawn anew, black elsewhere")
    return replace(source, mask=marked, mask_sha256=sha256_hex(drawn))


def _payload(picture: NDArray[np.uint8]) -> str | None:
    try:
        found = detect(picture).payload
    except WatermarkError:  # too small or too long to be read; what is no picture was refused before
        return None
    return None if found is None else Payload.unpack(found).hex


def stretched(source: Source, size: tuple[int, int], output_scale: int) -> Canvas:
    """A source at a model's (height, width) in px; ``output_scale`` is the base's fixed enlargement."""
    from PIL import Image

    height, width = size
    picture, delivered = Image.fromarray(source.picture), (width * output_scale, height * output_scale)
    kept = np.asarray(picture.resize(delivered, Image.Resampling.LANCZOS))
    model_picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if source.mask is None:
        return Canvas(model_picture, None, kept, None)
    mask = Image.fromarray(source.mask)
    drawn = np.asarray(mask.resize(delivered, Image.Resampling.BOX), np.float32)[..., None] / np.float32(255)
    return Canvas(model_picture, mask.resize((width, height), Image.Resampling.BOX), kept, drawn)
