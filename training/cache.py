"""What the frozen parts of the base make of the dataset, computed once: latents and text embeddings.

Latents are kept as mean and deviation, so that every step can sample them anew. They never lie in a file that has a
name: a large cache goes into an unnamed temporary file, so nobody can exchange what was verified.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import read_views
from training.draws import draw_seed, generator
from training.pipeline import encode_caption, encode_pixels
from training.stream import Stream

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig

IN_MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Text:
    """Captions as the denoiser takes them, ``(N, L, D)`` and, for SDXL, pooled ``(N, P)``; float32."""

    embeddings: torch.Tensor
    pooled: torch.Tensor | None


@dataclass(frozen=True)
class Shelf:
    """``N`` items whose pictures have one size, with ``V`` views each.

    ``means`` and ``deviations`` are ``(N, V, C, h, w) float32`` before scaling, ``time_ids`` is ``(N, V, 6) float32``,
    ``masks`` is ``(N, V, h, w) float32`` in 0…1, or None where every pixel counts.
    """

    means: torch.Tensor
    deviations: torch.Tensor
    time_ids: torch.Tensor
    masks: torch.Tensor | None = None


@dataclass(frozen=True)
class Slot:
    """One place of a batch: which view of which item it shows, and under which row of the captions.

    ``sample`` counts within the step: with seed and step it names every draw of this place.
    """

    sample: int
    item: int
    view: int
    row: int
    is_prior: bool = False


@dataclass(frozen=True)
class Cache:
    """A dataset as tensors: what every batch of a training is made of.

    ``places[n]`` is the shelf of item ``n`` and where on it; ``rows[n]`` are the rows of ``captions`` and ``texts``
    that it may be shown under. The last row is no caption.
    """

    config: TrainConfig
    shelves: tuple[Shelf, ...]
    places: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, ...], ...]
    captions: tuple[str, ...]
    texts: Text
    stream: Stream

    def __len__(self) -> int:
        return len(self.places)

    @property
    def without_caption(self) -> int:
        """The row that stands for no caption."""
        return len(self.captions) - 1

    def plan(self, step: int, part: int) -> list[Slot]:
        """What the ``part``-th batch of a step shows: pictures of one size; all of it follows from the seed."""
        config = self.config
        items = self.stream.batch(step * config.accumulate + part)
        return [self._slot(step, part * config.batch_size + place, item) for place, item in enumerate(items)]

    def _slot(self, step: int, sample: int, item: int) -> Slot:
        import torch

        config = self.config
        shelf, _ = self.places[item]
        view = draw_seed(config.seed, step, sample, "which view") % self.shelves[shelf].means.shape[1]
        drop = torch.rand((), generator=generator(config.seed, step, sample, "caption")) < config.caption_dropout
        row = self.without_caption if drop else self.rows[item][0]
        return Slot(sample, item, view, row)

    def latents(self, item: int, view: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of a view's latents, ``(C, h, w) float32`` before scaling."""
        shelf, index = self._place(item)
        return shelf.means[index, view], shelf.deviations[index, view]

    def mask(self, item: int, view: int) -> torch.Tensor | None:
        """How much each latent pixel of a view counts, ``(h, w) float32`` in 0…1, or None where all count alike."""
        shelf, index = self._place(item)
        return None if shelf.masks is None else shelf.masks[index, view]

    def time_ids(self, item: int, view: int) -> torch.Tensor:
        """Original size, crop and target size of a view in px, ``(6,) float32``, as SDXL is told."""
        shelf, index = self._place(item)
        return shelf.time_ids[index, view]

    def text(self, rows: Sequence[int]) -> Text:
        """What the text encoders made of some captions, by their rows."""
        pooled = self.texts.pooled
        return Text(self.texts.embeddings[list(rows)], None if pooled is None else pooled[list(rows)])

    def _place(self, item: int) -> tuple[Shelf, int]:
        shelf, index = self.places[item]
        return self.shelves[shelf], index


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
    texts = _encode_text(pipe, captions, spill)
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
    return Cache(
        config=config,
        shelves=(Shelf(means, deviations, time_ids),),
        places=tuple((0, item) for item in range(len(records))),
        rows=tuple((row[record.caption],) for record in records),
        captions=(*captions, ""),
        texts=texts,
        stream=Stream((tuple(range(len(records))),), config.seed, config.batch_size),
    )


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
