"""Aspect-ratio buckets: a picture is shown near its own shape, at about the number of pixels the base knows.

Every side is a multiple of ``bucket_step``, the area is at most ``size``², and the long side is at most four times the
short one, as in SDXL's training (arXiv:2307.01952, section 2.3); a longer picture is cut. A picture goes where the
logarithm of its aspect ratio is nearest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from provenance.images import upright_size
from training.errors import TrainingError

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig

MAX_ASPECT = 4
Sides = tuple[int, int]
"""Height and width of a picture in px."""


def bucket_sides(size: int, step: int) -> tuple[Sides, ...]:
    """The buckets of about ``size``² px, from low and wide to high and narrow; ``size`` is a multiple of ``step``."""
    sides = {(size, size)}
    for short in range(step, size, step):
        long = size * size // short // step * step
        if long <= MAX_ASPECT * short:
            sides |= {(short, long), (long, short)}
    return tuple(sorted(sides))


def nearest_bucket(sides: tuple[Sides, ...], height: int, width: int) -> Sides:
    """The bucket whose aspect ratio is nearest in logarithm; of two as near, the one of more pixels, then the lower."""
    wanted = math.log(height / width)
    return min(sides, key=lambda each: (abs(math.log(each[0] / each[1]) - wanted), -each[0] * each[1], each))


def sides_of(manifest: DatasetManifest, size: int, config: TrainConfig) -> list[Sides]:
    """At which sides each record of a dataset is shown; ``size`` squared without buckets, then no file is read.

    Raises TrainingError when no buckets can be made of that size.
    """
    if not config.buckets:
        return [(size, size)] * len(manifest.records)
    if size % config.bucket_step:
        raise TrainingError(
            "pictures cannot be sorted into buckets of that size",
            expected="a `size` that is a multiple of `bucket_step`",
            found=f"size = {size}, bucket_step = {config.bucket_step}",
            fix="set one of them",
        )
    sides = bucket_sides(size, config.bucket_step)
    sizes = (upright_size(manifest.read(record), record.path) for record in manifest.records)
    return [nearest_bucket(sides, *found) for found in sizes]
