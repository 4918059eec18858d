"""From the signed bytes of one dataset item to the pixels the model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.canonical import Json
from provenance.images import decode_layers
from training.dataset.buckets import Sides
from training.draws import generator

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from provenance.manifest import DatasetManifest
    from provenance.records import Record
    from training.config import TrainConfig


@dataclass(frozen=True)
class View:
    """One crop of one picture: pixels ``(3, H, W) float32`` in [-1, 1], and where they were, for SDXL's time ids.

    ``alpha (H, W) float32`` in 0…1 is how much each pixel counts where the loss is masked, else None.
    """

    pixels: torch.Tensor
    original_size: tuple[int, int]
    crop_top_left: tuple[int, int]
    alpha: torch.Tensor | None = None

    @property
    def time_ids(self) -> list[int]:
        """Original height and width, crop top and left in the resized picture, target height and width, in px."""
        return [*self.original_size, *self.crop_top_left, *self.pixels.shape[1:]]


def read_views(manifest: DatasetManifest, record: Record, item: int, sides: Sides, config: TrainConfig) -> list[View]:
    """Decodes an item once, from the very bytes whose digest was verified, and cuts its views.

    The picture is resized (Lanczos) to just cover ``sides``, then cut to them in the middle, or at a place that
    (seed, item, view) draws; the same draw decides on mirroring. A picture with fewer pixels is enlarged. Transparency
    is laid over white, as it is when pictures are screened: nothing is learned that nobody could see.
    """
    import torch
    from PIL import Image as Pillow

    picture, alpha = decode_layers(manifest.read(record), record.path)
    height, width = picture.height, picture.width
    scale = max(sides[0] / height, sides[1] / width)
    shape = (max(sides[0], round(height * scale)), max(sides[1], round(width * scale)))
    resized = picture.resize((shape[1], shape[0]), Pillow.Resampling.LANCZOS)
    layers = _tensor(resized).permute(2, 0, 1) / 127.5 - 1.0
    if config.mask == "alpha":
        opaque = Pillow.new("L", (shape[1], shape[0]), 255)
        counted = opaque if alpha is None else alpha.resize((shape[1], shape[0]), Pillow.Resampling.BILINEAR)
        layers = torch.cat([layers, _tensor(counted)[None] / 255])

    free = (shape[0] - sides[0], shape[1] - sides[1])
    views = []
    for view in range(config.views):
        draw = generator(config.seed, item, view, "view")
        if config.crop == "random":
            top, left = (int(torch.randint(f + 1, (), generator=draw)) for f in free)
        else:
            top, left = (f // 2 for f in free)
        crop = layers[:, top : top + sides[0], left : left + sides[1]]
        if config.flip and bool(torch.randint(2, (), generator=draw)):
            crop, left = crop.flip(2), free[1] - left
        cut = crop[3].contiguous() if len(crop) > 3 else None
        views.append(View(crop[:3].contiguous(), (height, width), (top, left), cut))
    return views


def view_facts(item: int, sides: Sides, config: TrainConfig) -> Json:
    """Everything beside the picture that decides what its views are."""
    facts: Json = {"sides": list(sides), "views": config.views, "crop": config.crop, "flip": config.flip}
    if config.crop == "random" or config.flip:
        facts |= {"seed": config.seed, "item": item}
    return facts | ({"mask": config.mask, "mask_floor": config.mask_floor} if config.mask != "none" else {})


def _tensor(picture: Image) -> torch.Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.array(picture, dtype=np.float32))
