"""Writing a payload, and proving at once that it can be read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from safety.errors import WatermarkError
from safety.watermark.backend import DEFAULT_BACKEND, backend
from safety.watermark.detection import Detection
from safety.watermark.picture import picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROOF_QUALITY = 75


def embed_payload(
    image: Any, payload: int, key: bytes | None, strength: float | None, name: str = DEFAULT_BACKEND
) -> NDArray[Any]:
    """Writes a payload once; see ``safety.watermark.embed``."""
    given = picture(image)
    return given.marked(backend(name).embed(given.rgb, payload, key, strength))


def embed_until_read(
    image: Any, payload: int, key: bytes | None, name: str = DEFAULT_BACKEND
) -> tuple[NDArray[Any], Detection]:
    """Writes ever stronger until it reads back; see ``safety.watermark.embed_verified``."""
    given, mark = picture(image), backend(name)
    for strength in mark.strengths:
        marked = given.marked(mark.embed(given.rgb, payload, key, strength))
        seen = picture(marked).rgb
        detection = mark.detect(seen, key)
        if detection.payload == payload and mark.detect(_recompressed(seen), key).payload == payload:
            return marked, detection
    raise WatermarkError(
        "the watermark cannot be read back from this picture",
        expected=f"payload {payload:016x} after JPEG {PROOF_QUALITY}",
        found="another reading at every strength",
        fix="the picture is too dark, too white or too small to carry one; draw another",
    )


def detect_payload(image: Any, key: bytes | None, name: str = DEFAULT_BACKEND) -> Detection:
    """Reads a picture; see ``safety.watermark.detect``."""
    return backend(name).detect(picture(image).rgb, key)


def _recompressed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=PROOF_QUALITY)
    return np.asarray(Image.open(file))
