"""What a watermark is put into or read from: arrays, Pillow pictures and files, checked, and given back as given."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from safety.errors import WatermarkError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

MOST_PIXELS = 8192 * 8192
FORMATS = ("PNG", "JPEG", "WEBP")
MODES = {"L": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "RGBA", "P": "RGBA", "1": "L", "I;16": "I;16"}
EXPECTED = "(H, W, 3) or (H, W, 4) or (H, W), uint8 or uint16; a Pillow picture; or a PNG, JPEG or WebP file"


@dataclass(frozen=True)
class Picture:
    """The RGB that a mark works on, and what it came from: (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16."""

    rgb: NDArray[np.uint8]
    source: NDArray[Any]

    def marked(self, rgb: NDArray[np.uint8]) -> NDArray[Any]:
        """The source changed as ``rgb`` is from this picture's, with its own shape, depth and alpha."""
        if self.source is self.rgb:
            return rgb
        change = rgb.astype(np.int32) - self.rgb
        if self.source.ndim == 2:
            # One channel for three: their mean, rounded.
            change = (2 * change.sum(axis=2) + 3) // 6
        scale, top = (257, 65535) if self.source.dtype == np.uint16 else (1, 255)
        out = self.source.copy()
        colour = out if out.ndim == 2 else out[..., :3]
        colour[...] = np.clip(colour + scale * change, 0, top)
        return out


def picture(image: Any) -> Picture:
    """Checks and decodes an array, a Pillow picture or a path; raises WatermarkError for anything else."""
    if isinstance(image, str | os.PathLike):
        return _of_array(_from_file(image))
    if type(image).__module__.startswith("PIL."):
        return _of_array(_from_pillow(image))
    if isinstance(image, np.ndarray):
        return _of_array(image)
    raise _refusal(f"a {type(image).__name__}")


def _of_array(array: NDArray[Any]) -> Picture:
    grey = array.ndim == 2
    if not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))) or array.dtype not in (np.uint8, np.uint16):
        raise _refusal(f"shape {array.shape}, {array.dtype}")
    if array.size == 0 or array.shape[0] * array.shape[1] > MOST_PIXELS:
        raise WatermarkError(
            "the picture has no pixels or too many",
            expected=f"at most {MOST_PIXELS} pixels",
            found=f"{array.shape[1]} × {array.shape[0]}",
        )
    eight = array if array.dtype == np.uint8 else (array >> 8).astype(np.uint8)
    if grey:
        eight = np.repeat(eight[..., None], 3, axis=2)
    return Picture(eight if grey or array.shape[2] == 3 else np.ascontiguousarray(eight[..., :3]), array)


def _from_pillow(image: Image) -> NDArray[Any]:
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise WatermarkError("the picture is animated", expected="one frame", found=f"{frames} frames", fix="save one")
    if image.mode not in MODES:
        raise WatermarkError(
            "the picture's colour mode is not supported",
            expected=", ".join(MODES),
            found=image.mode,
            fix="convert it to RGB first, with its colour profile",
        )
    if image.width * image.height > MOST_PIXELS:
        raise WatermarkError(
            "the picture has too many pixels",
            expected=f"at most {MOST_PIXELS}",
            found=f"{image.width} × {image.height}",
        )
    opaque = image.mode == "P" and "transparency" not in image.info
    mode = "RGB" if opaque else MODES[image.mode]
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _from_file(path: str | os.PathLike[str]) -> NDArray[Any]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=FORMATS) as image:
                return _from_pillow(image)
    except WatermarkError:
        raise
    # Pillow's decoders raise whatever their libraries do: OSError, SyntaxError, struct.error and more.
    except Exception as error:
        raise WatermarkError(
            "the file is not a picture that can be read", expected="PNG, JPEG or WebP", found=str(error)[:200]
        ) from error


def _refusal(found: str) -> WatermarkError:
    return WatermarkError("this is not a picture", expected=EXPECTED, found=found)
