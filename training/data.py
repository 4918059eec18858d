"""From the signed bytes of one dataset item to the pixels the model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.images import decode_image
from training.draws import generator

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest
    from provenance.records import Record
    from training.config import TrainConfig


@dataclass(frozen=True)
class View:
    """One crop of one picture: pixels ``(3, H, W) float32`` in [-1, 1], and where they were, for SDXL's time ids."""

    pixels: torch.Tensor
    original_size: tuple[int, int]
    crop_top_left: tuple[int, int]

    @property
    def time_ids(self) -> list[int]:
        """Original height and width, crop top and left, target height and width, in px."""
        return [*self.original_size, *self.crop_top_left, *self.pixels.shape[1:]]


def read_views(manifest: DatasetManifest, record: Record, item: int, size: int, config: TrainConfig) -> list[View]:
    """Decodes an item once, from the very bytes whose digest was verified, and cuts its views.

    The shortest side is resized to ``size`` px (Lanczos), then a square is cut out of the middle, or at a place that
    (seed, item, view) draws; the same draw decides on mirroring.
    """
    import numpy as np
    import torch
    from PIL import Image

    picture = decode_image(manifest.read(record), record.path)
    height, width = picture.height, picture.width
    scale = size / min(height, width)
    shape = (max(size, round(height * scale)), max(size, round(width * scale)))
    resized = picture.resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.asarray(resized, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1.0

    views = []
    for view in range(config.views):
        draw = generator(config.seed, item, view, "view")
        free = (shape[0] - size, shape[1] - size)
        if config.crop == "random":
            top, left = (int(torch.randint(f + 1, (), generator=draw)) for f in free)
        else:
            top, left = (f // 2 for f in free)
        crop = pixels[:, top : top + size, left : left + size]
        if config.flip and bool(torch.randint(2, (), generator=draw)):
            crop = crop.flip(2)
        views.append(View(crop.contiguous(), (height, width), (top, left)))
    return views
