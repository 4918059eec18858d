"""Reading a payload, and deciding whether it is really there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safety.errors import WatermarkError
from safety.watermark.backend import DEFAULT_BACKEND, WatermarkBackend, backend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = 1e-9


@dataclass(frozen=True)
class Detection:
    """What was read: the payload, or None when the p-value is above 1e-9.

    ``agreement`` is the share of raw bits that say what the decoded payload would have written.
    """

    payload: int | None
    p_value: float
    backend: str
    milliseconds: float
    agreement: float = 0.0


def detect_payload(image: Any, key: bytes | None, name: str = DEFAULT_BACKEND) -> Detection:
    """Tries each reading until one is significant; see ``safety.watermark.detect``."""
    started = time.perf_counter()
    mark = backend(name)
    pixels = checked(image, mark)
    best: tuple[float, float, int | None] = (1.0, 0.0, None)
    for soft in mark.readings(pixels):
        found = _decide(soft, key, mark)
        if found is not None and found[0] < best[0]:
            best = found
        if best[0] < THRESHOLD:
            break
    p_value, agreement, payload = best
    return Detection(
        payload=payload if p_value < THRESHOLD else None,
        p_value=p_value,
        backend=name,
        milliseconds=1000 * (time.perf_counter() - started),
        agreement=agreement,
    )


def _decide(
    soft: NDArray[np.float64], key: bytes | None, mark: WatermarkBackend
) -> tuple[float, float, int | None] | None:
    import numpy as np

    from safety.watermark.code import decode, encode
    from safety.watermark.keys import layout
    from safety.watermark.significance import p_value

    plan = layout(key, len(soft))
    payload = decode(plan.gather(soft))
    if payload is None:
        return None
    agreeing = int(np.count_nonzero((soft > 0) == plan.spread(encode(payload)).astype(bool)))
    return p_value(agreeing, len(soft), mark.hypotheses), agreeing / len(soft), payload


def checked(image: Any, mark: WatermarkBackend) -> NDArray[np.uint8]:
    """The picture, if it is (H, W, 3) uint8 and large enough to carry a payload; raises WatermarkError."""
    import numpy as np

    from safety.watermark.code import CODED_BITS

    shape, kind = getattr(image, "shape", None), getattr(image, "dtype", None)
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise WatermarkError(
            "this is not an RGB picture", expected="an (H, W, 3) array of uint8", found=f"shape {shape}, {kind}"
        )
    if mark.positions(image.shape[0], image.shape[1]) < CODED_BITS:
        raise WatermarkError(
            "the picture is too small for a watermark",
            expected=f"at least {CODED_BITS} blocks of 8 × 8 pixels, as in 136 × 136",
            found=f"{image.shape[1]} × {image.shape[0]} pixels",
        )
    return image
