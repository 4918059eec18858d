"""What the frozen parts of the base make of the dataset, computed once: latents and text embeddings.

Latents are kept as mean and deviation, so that every step can sample them anew. They never lie in a file that has a
name: a large cache goes into an unnamed temporary file, so nobody can exchange what was verified.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import read_views
from training.draws import draw_seed
from training.pipeline import encode_caption, encode_pixels

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig

IN_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Text:
    """Captions as the UNet takes them, ``(N, L, D)`` and, for SDXL, pooled ``(N, P)``; the last row is no caption."""

    embeddings: torch.Tensor
    pooled: torch.Tensor | None


@dataclass(frozen=True)
class Cache:
    """A dataset as tensors, ``N`` items with ``V`` views each.

    ``means`` and ``deviations`` are ``(N, V, C, H/8, W/8) float32``, ``time_ids`` is ``(N, V, 6) float32``;
    ``caption_of[n]`` is a row of ``text``.
    """

    means: torch.Tensor
    deviations: torch.Tensor
    time_ids: torch.Tensor
    caption_of: tuple[int, ...]
    text: Text

    def __len__(self) -> int:
        return len(self.caption_of)

    @property
    def without_caption(self) -> int:
        """The row of ``text`` that stands for no caption."""
        return len(self.text.embeddings) - 1

    def view_at(self, seed: int, step: int, sample: int) -> int:
        """Which view of its item one sample of one step sees."""
        return draw_seed(seed, step, sample, "which view") % self.means.shape[1]


def build_cache(
    pipe: Any,
    manifest: DatasetManifest,
    size: int,
    config: TrainConfig,
    spill: Path,
    progress: Callable[[int, int], None],
) -> Cache:
    """Reads, decodes and encodes every item once; ``spill`` is the folder for a cache that outgrows memory."""
    import torch

    records = manifest.records
    captions = sorted({record.caption for record in records})
    text = _encode_text(pipe, captions, spill)
    row = {caption: i for i, caption in enumerate(captions)}

    means = deviations = torch.empty(0)
    time_ids = torch.empty(len(records), config.views, 6)
    for item, record in enumerate(records):
        views = read_views(manifest, record, item, size, config)
        mean, deviation = encode_pixels(pipe, torch.stack([view.pixels for view in views]))
        if item == 0:
            shape = (len(records), *mean.shape)
            means, deviations = _storage(shape, spill), _storage(shape, spill)
        means[item], deviations[item] = mean, deviation
        time_ids[item] = torch.tensor([view.time_ids for view in views])
        progress(item + 1, len(records))
    return Cache(means, deviations, time_ids, tuple(row[record.caption] for record in records), text)


def _encode_text(pipe: Any, captions: list[str], spill: Path) -> Text:
    first, nothing = encode_caption(pipe, captions[0])
    embeddings = _storage((len(captions) + 1, *first.embedding.shape), spill)
    pooled = None if first.pooled is None else _storage((len(captions) + 1, *first.pooled.shape), spill)
    for row, caption in enumerate(chain((encode_caption(pipe, text)[0] for text in captions), [nothing])):
        embeddings[row] = caption.embedding
        if pooled is not None and caption.pooled is not None:
            pooled[row] = caption.pooled
    return Text(embeddings, pooled)


def _storage(shape: tuple[int, ...], spill: Path) -> torch.Tensor:
    import numpy as np
    import torch

    if 4 * math.prod(shape) <= IN_MEMORY_BYTES:
        return torch.empty(shape)
    spill.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=spill) as file:
        return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="w+", shape=shape))
