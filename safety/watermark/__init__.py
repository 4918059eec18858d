"""An invisible watermark of 64 bits: ``namespace 8 | stream 28 | serial 28``.

Light to import; NumPy and the backend are loaded by the first call. Nothing here needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safety.watermark.backend import DEFAULT_BACKEND, WatermarkBackend
from safety.watermark.detection import THRESHOLD, Detection
from safety.watermark.geometry import Geometry, Placement
from safety.watermark.payload import Payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "THRESHOLD",
    "Detection",
    "Geometry",
    "Payload",
    "Placement",
    "WatermarkBackend",
    "detect",
    "embed",
    "embed_verified",
]


def embed(
    image: Any,
    payload: int,
    key: bytes | None = None,
    strength: float | None = None,
    backend: str = DEFAULT_BACKEND,
) -> NDArray[Any]:
    """A marked copy of a picture, as an array of the same size and depth.

    ``image`` is an (H, W, 3) uint8 RGB array; or (H, W) grey, (H, W, 4) with alpha, which is kept, or uint16; or a
    Pillow picture, or the path of a PNG, JPEG or WebP file. ``key`` None is the public key, which anyone can read
    with. ``strength`` is the backend's own scale (None: its default). Raises WatermarkError for anything that is no
    such picture, or is too small or too large.
    """
    from safety.watermark.embedding import embed_payload

    return embed_payload(image, payload, key, strength, backend)


def embed_verified(
    image: Any, payload: int, key: bytes | None = None, backend: str = DEFAULT_BACKEND
) -> tuple[NDArray[Any], Detection]:
    """Embeds, raising the strength until the payload reads back exactly, also after JPEG 75.

    Returns the marked picture and what is detected in it; raises WatermarkError when no strength suffices.
    """
    from safety.watermark.embedding import embed_until_read

    return embed_until_read(image, payload, key, backend)


def detect(image: Any, key: bytes | None = None, backend: str = DEFAULT_BACKEND) -> Detection:
    """Reads the watermark of a picture, if there is one.

    Takes what ``embed`` takes. The p-value bounds the chance of so good an agreement in a picture that carries no
    mark of this key, over all 2^64 payloads and all readings tried; a payload is returned only below 1e-9. Raises
    WatermarkError for anything that is no picture.
    """
    from safety.watermark.embedding import detect_payload

    return detect_payload(image, key, backend)
