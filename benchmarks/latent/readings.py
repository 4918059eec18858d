"""Reading pictures and counting: exact payloads, scores, p-values, milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.latent.starter import Drawn
from generation.latent_mark_inversion import STEPS, encode, invert
from safety.watermark.latent import noise_score, read_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """How one kind of picture read: how many exactly, the score of the true mark, p-values and milliseconds."""

    name: str
    exact: int
    wrong: int
    count: int
    score: float
    least_score: float
    median_p: float
    reading_ms: float
    deciding_ms: float


def read_all(
    name: str, pipeline: Any, pictures: Sequence[NDArray[np.uint8]], drawn: Sequence[Drawn], key: bytes | None = None
) -> Row:
    """Reads every picture, an attacked version of what was drawn."""
    exact = wrong = 0
    scores, p_values, reading, deciding = [], [], [], []
    for pixels, origin in zip(pictures, drawn, strict=True):
        started = time.perf_counter()
        estimate = invert(pipeline, encode(pipeline, pixels[None]), steps=STEPS)[0]
        found = read_noise(estimate, key)
        reading.append(1000 * (time.perf_counter() - started))
        deciding.append(found.milliseconds)
        exact += found.payload == origin.payload
        wrong += found.payload is not None and found.payload != origin.payload
        scores.append(noise_score(estimate, origin.payload, key, origin.nonce))
        p_values.append(found.p_value)
    return Row(
        name,
        exact,
        wrong,
        len(drawn),
        statistics.mean(scores),
        min(scores),
        statistics.median(p_values),
        statistics.median(reading),
        statistics.median(deciding),
    )
