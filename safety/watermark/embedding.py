"""Writing a payload, and proving at once that it can be read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from safety.errors import WatermarkError
from safety.watermark.backend import DEFAULT_BACKEND, backend
from safety.watermark.detection import Detection, checked, detect_payload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROOF_QUALITY = 75


def embed_payload(
    image: Any, payload: int, key: bytes | None, strength: float | None, name: str = DEFAULT_BACKEND
) -> NDArray[np.uint8]:
    """Writes a payload once; see ``safety.watermark.embed``."""
    from safety.watermark.code import encode
    from safety.watermark.keys import layout

    mark = backend(name)
    pixels = checked(image, mark)
    codeword = encode(payload)
    bits = layout(key, mark.positions(pixels.shape[0], pixels.shape[1])).spread(codeword)
    return mark.write(pixels, bits, mark.strengths[0] if strength is None else strength)


def embed_until_read(
    image: Any, payload: int, key: bytes | None, name: str = DEFAULT_BACKEND
) -> tuple[NDArray[np.uint8], Detection]:
    """Writes ever stronger until it reads back; see ``safety.watermark.embed_verified``."""
    for strength in backend(name).strengths:
        marked = embed_payload(image, payload, key, strength, name)
        detection = detect_payload(marked, key, name)
        proof = detect_payload(_recompressed(marked), key, name)
        if detection.payload == payload and proof.payload == payload:
            return marked, detection
    raise WatermarkError(
        "the watermark cannot be read back from this picture",
        expected=f"payload {payload:016x} after JPEG {PROOF_QUALITY}",
        found="another reading at every strength",
        fix="the picture is too dark, too white or too small to carry one; draw another",
    )


def _recompressed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=PROOF_QUALITY)
    return np.asarray(Image.open(file))
